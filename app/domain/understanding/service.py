"""Understandings of streams: started, stopped, started again, and found by their outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.base.ids import new_id
from app.domain.indexes.models import SceneIndex
from app.domain.indexes.service import create_stream_index, start_index, stop_index
from app.domain.streams.models import Stream
from app.domain.understanding.analyzers import AnalyzerRequest
from app.domain.understanding.models import Analyzer, Understanding


@dataclass(frozen=True, slots=True)
class Output:
    """An analyzer, and the index whose records it makes, if there is one."""

    analyzer: Analyzer
    index: SceneIndex | None


async def understand_stream(
    session: AsyncSession,
    stream: Stream,
    wanted: Sequence[AnalyzerRequest],
    request: dict[str, Any],
    ws_connection_id: str | None,
) -> Understanding:
    """Let each analyzer work on the stream from now on.

    Raises `InvalidRequest` naming the analyzer that has no engine here, or nothing to work on, and `Conflict`
    where the stream has stopped.
    """
    understanding = Understanding(
        id=new_id("und"), account_id=stream.account_id, stream_id=stream.id, request=request
    )
    session.add(understanding)
    await session.flush()
    for number, one in enumerate(wanted):
        if one.extraction is None:
            raise InvalidRequest(one.notice or one.type, field=f"analyzers[{number}].type")
        index = await create_stream_index(
            session,
            stream,
            one.extraction,
            prompt=one.prompt,
            name=one.name,
            model_name=one.model,
            ws_connection_id=ws_connection_id,
        )
        session.add(analyzer_row(understanding, number, one, index.id))
    await session.flush()
    return understanding


def analyzer_row(
    understanding: Understanding, position: int, wanted: AnalyzerRequest, output_id: str | None
) -> Analyzer:
    """What keeps an analyzer of a run, to be added to the session."""
    return Analyzer(
        id=new_id("an"),
        understanding_id=understanding.id,
        position=position,
        name=wanted.name,
        type=wanted.type,
        config=wanted.config,
        output_id=output_id,
        notice=wanted.notice,
    )


async def get_understanding(
    session: AsyncSession, understanding_id: str, *, stream_id: str | None = None, asset_id: str | None = None
) -> Understanding:
    """The run of this id over its one owner. Raises `NotFound`."""
    found = await session.get(Understanding, understanding_id)
    if found is None or (found.stream_id, found.asset_id) != (stream_id, asset_id):
        raise NotFound(f"there is no understanding {understanding_id}")
    return found


async def list_understandings(
    session: AsyncSession, *, stream_id: str | None = None, asset_id: str | None = None
) -> list[Understanding]:
    """All runs over a stream or an asset, oldest first."""
    of_owner = Understanding.stream_id == stream_id if stream_id else Understanding.asset_id == asset_id
    rows = await session.scalars(select(Understanding).where(of_owner).order_by(Understanding.created_at))
    return list(rows)


async def outputs_of(
    session: AsyncSession, understandings: Sequence[Understanding]
) -> dict[str, list[Output]]:
    """The outputs of each of these runs, by its id and in the order of its analyzers."""
    rows = await session.execute(
        select(Analyzer, SceneIndex)
        .outerjoin(SceneIndex, SceneIndex.id == Analyzer.output_id)
        .where(Analyzer.understanding_id.in_([one.id for one in understandings]))
        .order_by(Analyzer.position)
    )
    found: dict[str, list[Output]] = {one.id: [] for one in understandings}
    for analyzer, index in rows:
        found[analyzer.understanding_id].append(Output(analyzer, index))
    return found


async def get_output(
    session: AsyncSession, understanding: Understanding, name_or_id: str, *, field: str
) -> Output:
    """The output of the analyzer of this name or id. Raises `InvalidRequest` naming those that there are."""
    outputs = (await outputs_of(session, [understanding]))[understanding.id]
    for output in outputs:
        if name_or_id in (output.analyzer.name, output.analyzer.id):
            return output
    known = ", ".join(output.analyzer.name for output in outputs)
    raise InvalidRequest(f"there is no output {name_or_id}, but {known}", field=field)


async def stop_understanding(session: AsyncSession, understanding: Understanding) -> None:
    """Stop its analyzers: what was shown or said before still becomes records."""
    for output in (await outputs_of(session, [understanding]))[understanding.id]:
        if output.index is not None:
            await stop_index(session, output.index)


async def start_understanding(session: AsyncSession, stream: Stream, understanding: Understanding) -> None:
    """Let its analyzers go on. Raises `Conflict` where the stream has stopped."""
    for output in (await outputs_of(session, [understanding]))[understanding.id]:
        if output.index is not None:
            await start_index(session, stream, output.index)
