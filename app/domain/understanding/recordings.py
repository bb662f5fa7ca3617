"""Understandings of recordings: each analyzer builds an index, and the run is done when all of them are."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unprocessable
from app.base.ids import new_id
from app.domain.assets.models import Asset
from app.domain.indexes.extraction import Extraction, read_recorded_extraction
from app.domain.scenes.indexing import WantedIndex, delete_recorded_index, request_index
from app.domain.understanding.analyzers import AnalyzerRequest
from app.domain.understanding.models import Understanding
from app.domain.understanding.service import Output, analyzer_row, outputs_of

_OF_INDEX = {"building": "running", "ready": "done", "failed": "failed"}


async def understand_recording(
    session: AsyncSession,
    asset: Asset,
    wanted: Sequence[AnalyzerRequest],
    request: dict[str, Any],
    callback_url: str | None,
) -> Understanding:
    """Let each analyzer work on the recording; one that has no engine here, or no pictures, is skipped.

    `callback_url` hears of the end of each. Raises `InvalidRequest` for more pictures than are taken.
    """
    understanding = Understanding(
        id=new_id("und"), account_id=asset.account_id, asset_id=asset.id, request=request
    )
    session.add(understanding)
    await session.flush()
    for number, one in enumerate(wanted):
        row = analyzer_row(understanding, number, one, None)
        if one.extraction is not None:
            try:
                index, _ = await request_index(
                    session,
                    asset,
                    WantedIndex(
                        _recorded(one.extraction, asset),
                        prompt=one.prompt,
                        name=one.name,
                        model_name=one.model,
                        language_code=one.language_code,
                        callback_url=callback_url,
                    ),
                )
                row.output_id = index.id
            except Unprocessable as error:
                row.notice = error.message
        session.add(row)
    await session.flush()
    return understanding


def _recorded(extraction: Extraction, asset: Asset) -> Extraction:
    if extraction.kind == "audio":
        return extraction
    return read_recorded_extraction(extraction.type, extraction.config, asset.length_seconds)


def analyzer_status(output: Output) -> str:
    """`running`, `done`, `failed`, `skipped` (nothing here can do it) or `cancelled` (its output is gone)."""
    if output.index is None:
        return "skipped" if output.analyzer.notice else "cancelled"
    return _OF_INDEX.get(output.index.status, output.index.status)


def run_status(outputs: Sequence[Output]) -> str:
    """`running` while any analyzer is, then `done` where one has found something, else `failed`."""
    states = {analyzer_status(output) for output in outputs}
    if "running" in states:
        return "running"
    return "done" if "done" in states else "failed"


async def delete_understanding(session: AsyncSession, understanding: Understanding) -> None:
    """Forget the run and all that it found, with the indexes over it."""
    for output in (await outputs_of(session, [understanding]))[understanding.id]:
        if output.index is not None:
            await delete_recorded_index(session, output.index)
    await session.delete(understanding)
    await session.flush()
