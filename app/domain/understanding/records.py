"""The records of named indexes: read in their order, asked by their fields, and counted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, cast, column, false, func, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.search.conditions import json_condition, number_condition
from app.domain.search.filters import Condition, Filter, filter_as_sql
from app.domain.understanding.documents import document
from app.domain.understanding.fields import check_filter, merged, require_field, unknown_field
from app.domain.understanding.models import NamedIndex

Json = dict[str, Any]
Order = list[tuple[str, bool]]  # fields, and whether each goes down

MOST_ROWS = 1000
MOST_ORDERS = 5
MOST_BESIDE = 5000
_TIMES = {"start": "start_us", "end": "end_us"}


@dataclass(frozen=True, slots=True)
class Held:
    """A record as an index holds it; times in microseconds on its owner's clock."""

    id: str
    asset_id: str | None
    index_id: str
    index_name: str
    start_us: int
    end_us: int
    text: str
    data: Json


def read_order(sort: object, field: str = "sort") -> Order:
    """`"start"`, which goes down as with the vendor, or `[["start", "asc"], …]`. Raises `InvalidRequest`."""
    if sort is None or sort == "" or sort == []:
        return []
    parts = [[sort, "desc"]] if isinstance(sort, str) else sort
    found = []
    for part in parts if isinstance(parts, list) else [None]:
        pair = [part, "desc"] if isinstance(part, str) else part
        if (
            not isinstance(pair, list | tuple)
            or len(pair) != 2
            or not isinstance(pair[0], str)
            or pair[1] not in ("asc", "desc")
        ):
            raise InvalidRequest(f'{field} must be a field or a list such as [["start", "asc"]]', field=field)
        found.append((pair[0], pair[1] == "desc"))
    if len(found) > MOST_ORDERS:
        raise InvalidRequest(f"{field} may have {MOST_ORDERS} fields", field=field)
    return found


async def query_records(
    session: AsyncSession, indexes: Sequence[NamedIndex], filter_: Filter | None, order: Order, limit: int
) -> list[Held]:
    """The indexes' records for which the filter holds, by the order and then by time.

    Raises `InvalidRequest` that names the field which the indexes do not have, or not for this.
    """
    schema = merged([index.field_schema for index in indexes])
    check_filter(filter_, schema)
    for name, _ in order:
        require_field("sort", name, "sort", schema)
    rows = _rows(indexes)
    by: list[ColumnElement[Any]] = []
    for name, goes_down in order:
        value = rows.c[_TIMES[name]] if name in _TIMES else _first(rows.c.data, name)
        by.append(value.desc().nulls_last() if goes_down else value.asc().nulls_last())
    found = await session.execute(
        _filtered(rows, filter_).order_by(*by, rows.c.start_us, rows.c.id).limit(min(limit, MOST_ROWS))
    )
    return [Held(**row._mapping) for row in found]


async def count_groups(
    session: AsyncSession,
    indexes: Sequence[NamedIndex],
    filter_: Filter | None,
    group_by: str | None,
    order: Order,
    limit: int,
) -> list[Json]:
    """How many records hold each value of a field, `{field: value, "count": n}`, the most frequent first;
    of a list each value counts once. Without `group_by` how many there are at all, as the one row.

    Raises `InvalidRequest` that names the field which the indexes do not have, or not for this.
    """
    schema = merged([index.field_schema for index in indexes])
    check_filter(filter_, schema)
    rows = _filtered(_rows(indexes), filter_).subquery()
    if group_by is None:
        return [{"count": await session.scalar(select(func.count()).select_from(rows))}]
    require_field("group_by", group_by, "aggregate", schema)
    found_values = func.jsonb_path_query(rows.c.data, cast(_place(group_by) + "[*]", JSONPATH))
    values = found_values.table_valued(column("value", JSONB)).render_derived(name="each")
    count = func.count(rows.c.id.distinct())
    by: list[ColumnElement[Any]] = []
    for name, goes_down in order or [("count", True)]:
        if name not in ("count", group_by):
            raise unknown_field("sort", name, {"count": {}, group_by: {}})
        by.append(_directed(count if name == "count" else values.c.value, goes_down=goes_down))
    found = await session.execute(
        select(values.c.value, count)
        .select_from(rows.join(values, true()))
        .where(func.jsonb_typeof(values.c.value).in_(("string", "number", "boolean")))
        .group_by(values.c.value)
        .order_by(*by, values.c.value)
        .limit(min(limit, MOST_ROWS))
    )
    return [{group_by: value, "count": number} for value, number in found]


async def records_page(
    session: AsyncSession, index: NamedIndex, cursor: str | None, limit: int
) -> tuple[list[Held], str | None]:
    """An index's records by time from a cursor on, and the cursor of the next page, None at the end.

    Raises `InvalidRequest` for a cursor that is none.
    """
    rows = _rows([index])
    query = select(rows)
    if cursor is not None:
        start_us, _, record_id = cursor.partition(".")
        if not (start_us.lstrip("-").isdecimal() and len(start_us) < 18 and record_id):
            raise InvalidRequest("cursor is none of this index", field="cursor")
        begun = int(start_us)
        query = query.where(
            or_(rows.c.start_us > begun, and_(rows.c.start_us == begun, rows.c.id > record_id))
        )
    found = await session.execute(query.order_by(rows.c.start_us, rows.c.id).limit(limit + 1))
    records = [Held(**row._mapping) for row in found]
    more = len(records) > limit
    last = records[limit - 1] if more else None
    return records[:limit], f"{last.start_us}.{last.id}" if last else None


async def output_records(
    session: AsyncSession,
    output: SceneIndex,
    analyzer_type: str,
    *,
    within: ColumnElement[bool] | None = None,
    start_us: int | None = None,
    end_us: int | None = None,
    offset: int = 0,
    limit: int,
) -> tuple[list[Held], bool]:
    """An output's records that overlap `[start_us, end_us)` by time, and whether there are more of them.

    `within` narrows them further, in terms of `IndexRecord`'s columns.
    """
    query = select(
        IndexRecord.id,
        IndexRecord.start_us,
        IndexRecord.end_us,
        IndexRecord.text,
        document(analyzer_type).label("data"),
    ).where(IndexRecord.index_id == output.id)
    query = query.where(within) if within is not None else query
    query = query.where(IndexRecord.end_us > start_us) if start_us is not None else query
    query = query.where(IndexRecord.start_us < end_us) if end_us is not None else query
    found = await session.execute(
        query.order_by(IndexRecord.start_us, IndexRecord.id).offset(offset).limit(limit + 1)
    )
    records = [
        Held(asset_id=output.asset_id, index_id=output.id, index_name=output.name, **row._mapping)
        for row in found
    ]
    return records[:limit], len(records) > limit


async def overlapping_records(
    session: AsyncSession, indexes: Sequence[NamedIndex], stretches: Mapping[str, tuple[float, float]]
) -> list[Held]:
    """The indexes' records within a stretch of each asset, seconds by asset id; so many as are ever shown."""
    rows = _rows(indexes)
    within = [
        and_(
            rows.c.asset_id == asset_id,
            rows.c.end_us > round(start * 1e6),
            rows.c.start_us < round(end * 1e6),
        )
        for asset_id, (start, end) in stretches.items()
    ]
    found = await session.execute(
        select(rows).where(or_(false(), *within)).order_by(rows.c.start_us, rows.c.id).limit(MOST_BESIDE)
    )
    return [Held(**row._mapping) for row in found]


def matching_records(indexes: Sequence[NamedIndex], filter_: Filter | None) -> Select[Any]:
    """The ids of the indexes' records for which the filter holds. Raises as `query_records` does."""
    check_filter(filter_, merged([index.field_schema for index in indexes]))
    rows = _rows(indexes)
    return _filtered(rows, filter_).with_only_columns(rows.c.id)


def _rows(indexes: Sequence[NamedIndex]) -> Subquery:
    return (
        select(
            IndexRecord.id,
            NamedIndex.asset_id,
            NamedIndex.id.label("index_id"),
            NamedIndex.name.label("index_name"),
            IndexRecord.start_us,
            IndexRecord.end_us,
            IndexRecord.text,
            cast(document(NamedIndex.analyzer_type), JSONB).label("data"),
        )
        .join(NamedIndex, NamedIndex.output_id == IndexRecord.index_id)
        .where(NamedIndex.id.in_([index.id for index in indexes]))
        .subquery()
    )


def _filtered(rows: Subquery, filter_: Filter | None) -> Select[Any]:
    def as_sql(condition: Condition) -> ColumnElement[bool]:
        if condition.field in _TIMES:
            return number_condition(rows.c[_TIMES[condition.field]], condition, scale=1e6)
        return json_condition(rows.c.data, condition.field.split("."), condition)

    return select(rows) if filter_ is None else select(rows).where(filter_as_sql(filter_, as_sql))


def _place(field: str) -> str:
    """The field's path in the database's language for paths; names are quoted as JSON."""
    return "$" + "".join("." + json.dumps(step) for step in field.split("."))


def _first(data: ColumnElement[Any], field: str) -> ColumnElement[Any]:
    return func.jsonb_path_query_first(data, cast(_place(field) + "[*]", JSONPATH), type_=JSONB)


def _directed(value: ColumnElement[Any], *, goes_down: bool) -> ColumnElement[Any]:
    return value.desc() if goes_down else value.asc()
