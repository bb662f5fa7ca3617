"""Indexes of recordings: asked for, built by an operation, listed, and forgotten."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, NotFound
from app.base.ids import new_id
from app.domain.assets.models import Asset
from app.domain.indexes.extraction import Extraction
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.indexes.service import DEFAULT_PROMPT, Found, keep_record
from app.domain.operations.callbacks import CALLBACK_FIELD
from app.domain.operations.models import Operation
from app.domain.operations.service import (
    OperationKind,
    find_operation,
    request_operation,
    restart_operation,
)
from app.domain.scenes.service import request_extraction, require_pictures
from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import index_subject


@dataclass(frozen=True, slots=True)
class GivenScene:
    """A scene as its owner cut it, in microseconds, and described it; without a description it gets one."""

    start_us: int
    end_us: int
    looks_us: tuple[int, ...]
    description: str | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """What is asked of an index; `scenes` are given ones, None where the recording is to be cut."""

    extraction: Extraction
    prompt: str | None = None
    name: str | None = None
    model_name: str | None = None
    language_code: str | None = None
    metadata: dict[str, Any] | None = None
    scenes: Sequence[GivenScene] | None = None
    callback_url: str | None = None


async def request_index(
    session: AsyncSession, asset: Asset, wanted: WantedIndex
) -> tuple[SceneIndex, Operation]:
    """A new index of the recording, and the operation that builds it.

    Raises `Unprocessable` where there are no pictures to index.
    """
    kind = wanted.extraction.kind
    index = SceneIndex(
        id=new_id("idx"),
        account_id=asset.account_id,
        asset_id=asset.id,
        kind=kind,
        name=wanted.name or f"{kind} index of {asset.name}",
        prompt=wanted.prompt or DEFAULT_PROMPT[kind],
        model_name=wanted.model_name,
        extraction=asdict(wanted.extraction),
        status="building",
    )
    request: dict[str, Any] = {
        "asset_id": asset.id,
        "index_id": index.id,
        "collection_id": asset.collection_id,
        "metadata": wanted.metadata or {},
        CALLBACK_FIELD: wanted.callback_url,
    }
    if wanted.scenes is not None:
        require_pictures(asset)
        request["scenes"] = [asdict(scene) for scene in wanted.scenes]
    elif kind == "visual":
        cut, first = await request_extraction(session, asset, wanted.extraction)
        request |= {"scene_collection_id": cut.id, "first": first.id}
    else:
        request["first"] = (await _request_words(session, asset, wanted.language_code)).id
    session.add(index)
    await session.flush()
    operation = await request_operation(
        session, asset.account_id, OperationKind.INDEX_RECORDING, building_subject(index.id), request
    )
    return index, operation


async def _request_words(session: AsyncSession, asset: Asset, language_code: str | None) -> Operation:
    """The operation that finds the recording's words, or has found them."""
    operation = await request_operation(
        session,
        asset.account_id,
        OperationKind.INDEX_SPOKEN_WORDS,
        index_subject(asset.id),
        {"asset_id": asset.id, "language_code": language_code},
    )
    if operation.status == "failed":
        await restart_operation(session, operation)
    return operation


def building_subject(index_id: str) -> str:
    """What the operation that builds an index is about."""
    return f"index_recording:{index_id}"


async def get_recorded_index(session: AsyncSession, asset: Asset, index_id: str) -> SceneIndex:
    """The recording's index of this id. Raises `NotFound`."""
    index = await session.get(SceneIndex, index_id)
    if index is None or index.asset_id != asset.id:
        raise NotFound(f"{asset.id} has no index {index_id}")
    return index


async def list_recorded_indexes(session: AsyncSession, asset: Asset) -> list[SceneIndex]:
    """The recording's indexes, oldest first."""
    rows = await session.scalars(
        select(SceneIndex).where(SceneIndex.asset_id == asset.id).order_by(SceneIndex.created_at)
    )
    return list(rows)


async def known_sources(session: AsyncSession, index_id: str) -> set[str]:
    """What the index has records of."""
    rows = await session.scalars(select(IndexRecord.source_id).where(IndexRecord.index_id == index_id))
    return set(rows)


async def keep_found(session: AsyncSession, index_id: str, found: Sequence[Found]) -> None:
    """Save records, each once. Raises `NotFound` where the index was deleted meanwhile."""
    index = await _lock(session, index_id)
    for one in found:
        await keep_record(session, index, one)


async def index_built(session: AsyncSession, index_id: str, notice: str | None) -> dict[str, Any]:
    """Let the index be ready; what is told of it. Raises `NotFound` where it was deleted meanwhile."""
    index = await _lock(session, index_id)
    index.status, index.notice = "ready", notice
    records = await session.scalar(
        select(func.count()).select_from(IndexRecord).where(IndexRecord.index_id == index_id)
    )
    return index_facts(index) | {"record_count": records}


async def index_failed(session: AsyncSession, index_id: str, reason: str | None) -> None:
    """Keep why an index could not be built, where it is still there."""
    index = await session.get(SceneIndex, index_id)
    if index is not None:
        index.status, index.notice = "failed", reason


def index_facts(index: SceneIndex) -> dict[str, Any]:
    """An index of a recording as clients read it (contract §2, Videos)."""
    return {
        "scene_index_id": index.id,
        "name": index.name,
        "status": index.status,
        "notice": index.told_notice,
        "prompt": index.prompt,
        "model_name": index.model_name,
        "index_type": index.kind,
        "extraction_type": index.extraction["type"],
        "extraction_config": index.extraction["config"],
    }


async def _lock(session: AsyncSession, index_id: str) -> SceneIndex:
    index = await session.get(SceneIndex, index_id, with_for_update=True)
    if index is None:
        raise NotFound("the index has been deleted")
    return index


async def delete_recorded_index(session: AsyncSession, index: SceneIndex) -> None:
    """Forget the index and its records; one that is being built is built no further."""
    operation = await find_operation(session, index.account_id, building_subject(index.id))
    if operation is not None:
        await session.delete(operation)
    await session.delete(index)
    await session.flush()


async def delete_words(session: AsyncSession, asset: Asset) -> None:
    """Forget what was said in the recording. Raises `Conflict` while its words are being found."""
    operation = await find_operation(session, asset.account_id, index_subject(asset.id))
    if operation is None:
        return
    if operation.status not in ("done", "failed"):
        raise Conflict(f"{asset.id} is being indexed", code="indexing")
    await session.execute(delete(Utterance).where(Utterance.asset_id == asset.id))
    await session.delete(operation)
    await session.flush()
