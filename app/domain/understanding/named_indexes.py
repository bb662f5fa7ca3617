"""Named indexes: made over an output, found by name, stopped, started and taken away."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.base.ids import new_id, utc_now
from app.domain.assets.models import Asset
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.passages.models import Passage
from app.domain.understanding.analyzers import MAX_NAME_CHARACTERS
from app.domain.understanding.fields import GIVEN, Schema
from app.domain.understanding.models import NamedIndex

Json = dict[str, Any]
MOST_SPANS = 100
MOST_IN_SCOPE = 1000


async def name_output(
    session: AsyncSession,
    output: SceneIndex,
    *,
    name: str,
    analyzer_type: str,
    source: Json,
    use_for: Sequence[str],
    schema: Schema,
) -> NamedIndex:
    """Make an index over an output's records, those to come included.

    A name that its stream or asset has already is given to this output instead. Raises `InvalidRequest` for
    an empty or overlong name.
    """
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"name must hold 1 to {MAX_NAME_CHARACTERS} characters", field="name")
    index = await find_named(session, name, stream_id=output.stream_id, asset_id=output.asset_id)
    if index is None:
        index = NamedIndex(
            id=new_id("idx"),
            account_id=output.account_id,
            stream_id=output.stream_id,
            asset_id=output.asset_id,
            name=name,
        )
        session.add(index)
    replaced = index.output_id if index.analyzer_type == GIVEN else None
    index.output_id, index.analyzer_type, index.source = output.id, analyzer_type, source
    index.use_for, index.field_schema = list(use_for), schema
    index.is_stopped, index.spans = False, [[0, None]]
    await session.flush()
    if replaced is not None:
        await session.execute(delete(SceneIndex).where(SceneIndex.id == replaced))
    return index


async def delete_named(session: AsyncSession, index: NamedIndex) -> None:
    """Take the name away; what an analyzer found stays, and records that came along with it go."""
    await session.delete(index)
    await session.flush()
    if index.analyzer_type == GIVEN:
        await session.execute(delete(SceneIndex).where(SceneIndex.id == index.output_id))


async def statuses(session: AsyncSession, indexes: Sequence[NamedIndex]) -> dict[str, tuple[str, str | None]]:
    """`building`, `ready` or `failed` of each index by its id, and why it failed.

    One whose records still wait for their vectors is building, but not for ever: the engine may be missing.
    """
    waiting = (
        select(Passage.id)
        .where(Passage.index_id == SceneIndex.id, Passage.due_at.is_not(None), Passage.attempts == 0)
        .exists()
    )
    rows = await session.execute(
        select(SceneIndex.id, SceneIndex.status, SceneIndex.notice, waiting).where(
            SceneIndex.id.in_([index.output_id for index in indexes])
        )
    )
    of_output = {
        id_: (status, notice if status == "failed" else None)
        if status != "ready" or not is_waiting
        else ("building", None)
        for id_, status, notice, is_waiting in rows
    }
    return {index.id: of_output[index.output_id] for index in indexes}


async def find_named(
    session: AsyncSession, name: str, *, stream_id: str | None = None, asset_id: str | None = None
) -> NamedIndex | None:
    """The index of this name over a stream or an asset."""
    of_owner = NamedIndex.stream_id == stream_id if stream_id else NamedIndex.asset_id == asset_id
    return await session.scalar(select(NamedIndex).where(of_owner, NamedIndex.name == name))


async def get_named(
    session: AsyncSession, index_id: str, *, stream_id: str | None = None, asset_id: str | None = None
) -> NamedIndex:
    """The index of this id over its one owner. Raises `NotFound`."""
    index = await session.get(NamedIndex, index_id)
    if index is None or (index.stream_id, index.asset_id) != (stream_id, asset_id):
        raise NotFound(f"there is no index {index_id}")
    return index


async def list_named(
    session: AsyncSession, *, stream_id: str | None = None, asset_id: str | None = None
) -> list[NamedIndex]:
    """All indexes over a stream or an asset, oldest first."""
    of_owner = NamedIndex.stream_id == stream_id if stream_id else NamedIndex.asset_id == asset_id
    return list(await session.scalars(select(NamedIndex).where(of_owner).order_by(NamedIndex.created_at)))


async def stop_named(session: AsyncSession, index: NamedIndex) -> None:
    """Let records from now on be none of the index's; those it has stay."""
    if not index.is_stopped:
        index.is_stopped = True
        index.spans = [*index.spans[:-1], [index.spans[-1][0], _now_us()]]
        await session.flush()


async def start_named(session: AsyncSession, index: NamedIndex) -> None:
    """Let records from now on be the index's again. Raises `Conflict` where that was done too often."""
    if index.is_stopped:
        if len(index.spans) >= MOST_SPANS:
            raise Conflict(f"an index can be started {MOST_SPANS} times")
        index.is_stopped = False
        index.spans = [*index.spans, [_now_us(), None]]
        await session.flush()


def _now_us() -> int:
    return round(utc_now().timestamp() * 1_000_000)


def within_spans(index: NamedIndex, start_us: Any) -> ColumnElement[bool]:
    """Whether a column of start times lies within the index's spans."""
    return or_(
        *(
            and_(start_us >= begin, start_us < end if end is not None else true())
            for begin, end in index.spans
        )
    )


async def narrow_to(
    session: AsyncSession, account_id: str, index_id: str, columns: Any
) -> ColumnElement[bool]:
    """The condition that rows are of the index of this id: a named one's output within its spans, or an
    output itself. `columns` has the columns `index_id` and `start_us`."""
    named = await session.get(NamedIndex, index_id)
    if named is None or named.account_id != account_id:
        return columns.index_id == index_id  # type: ignore[no-any-return]
    return and_(columns.index_id == named.output_id, within_spans(named, columns.start_us))


async def all_in_scope(session: AsyncSession, which_assets: ColumnElement[bool]) -> list[NamedIndex]:
    """All indexes over these assets, newest first, at most `MOST_IN_SCOPE`."""
    rows = await session.scalars(
        select(NamedIndex)
        .join(Asset, Asset.id == NamedIndex.asset_id)
        .where(which_assets, Asset.deleted_at.is_(None))
        .order_by(NamedIndex.created_at.desc())
        .limit(MOST_IN_SCOPE)
    )
    return list(rows)


async def unnamed_in_scope(session: AsyncSession, which_assets: ColumnElement[bool]) -> set[str]:
    """Names and ids of the indexes of these assets that make records themselves, as many of them."""
    rows = await session.execute(
        select(SceneIndex.id, SceneIndex.name)
        .join(Asset, Asset.id == SceneIndex.asset_id)
        .where(which_assets, Asset.deleted_at.is_(None))
        .order_by(SceneIndex.created_at.desc())
        .limit(MOST_IN_SCOPE)
    )
    return {one for row in rows for one in row}


async def named_in_scope(
    session: AsyncSession,
    which_assets: ColumnElement[bool],
    capability: str,
    *,
    names: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> list[NamedIndex]:
    """Indexes over these assets that are good for this, newest first: of these names and ids, or one for each
    output where none are given.

    Raises `InvalidRequest` that says which there are where one is asked for that is not there.
    """
    rows = await all_in_scope(session, which_assets)
    fit = [index for index in rows if capability in index.use_for]
    for field, wanted, there in (
        ("index_name", names, {index.name for index in fit}),
        ("index_id", ids, {index.id for index in fit}),
    ):
        missing = [one for one in wanted if one not in there]
        if missing:
            known = ", ".join(sorted({index.name for index in fit})) or "none"
            raise InvalidRequest(
                f"there is no index {missing[0][:100]} for {capability} here; there are: {known}", field=field
            )
    if names or ids:
        return [index for index in fit if index.name in names or index.id in ids]
    return list({index.output_id: index for index in fit}.values())


async def count_records(session: AsyncSession, output_ids: Sequence[str]) -> dict[str, int]:
    """How many records each of these outputs has."""
    rows = await session.execute(
        select(IndexRecord.index_id, func.count())
        .where(IndexRecord.index_id.in_(output_ids))
        .group_by(IndexRecord.index_id)
    )
    return {index_id: count for index_id, count in rows}  # noqa: C416 - rows are no pairs to the type checker
