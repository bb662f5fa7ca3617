"""Puts rows of named indexes beside the shots of a search, as its `return_fields` asks."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.search.hydrating import TRANSCRIPT
from app.domain.understanding.named_indexes import all_in_scope, unnamed_in_scope
from app.domain.understanding.records import Held, overlapping_records

Json = dict[str, Any]
ALL = ("all", "*")


async def hydrate(
    session: AsyncSession, scope: ColumnElement[bool], results: Sequence[Json], return_fields: object
) -> None:
    """Give each document the rows of named indexes that overlap it: `metadata.indexes`, `{name: [row, …]}`.

    What indexes without a name of their own hold is there already (`domain/search/hydrating`).
    `return_fields` is None for nothing, `"all"`, a name or an id, a list of them, or `{name: [field, …]}`.
    Raises `InvalidRequest` for what is none of these, and for an index that is not there.
    """
    wanted = _read(return_fields)
    if wanted is None or not results:
        return
    named = await all_in_scope(session, scope)
    known = {one for index in named for one in (index.name, index.id)} | {TRANSCRIPT}
    known |= await unnamed_in_scope(session, scope)
    for name in wanted:
        if name not in ALL and name not in known:
            raise InvalidRequest(f"return_fields: there is no index {name[:100]}", field="return_fields")
    chosen = [index for index in named if {index.name, index.id, *ALL} & wanted.keys()]
    fields = {index.id: _fields(wanted, index.name, index.id) for index in chosen}
    stretches = {
        result["video_id"]: (
            min(doc["start"] for doc in result["docs"]),
            max(doc["end"] for doc in result["docs"]),
        )
        for result in results
        if result["docs"]
    }
    rows = await overlapping_records(session, chosen, stretches)
    for result in results:
        own = [row for row in rows if row.asset_id == result["video_id"]]
        for doc in result["docs"]:
            doc["metadata"].setdefault("indexes", {}).update(_beside(doc, own, fields))


def _read(return_fields: object) -> dict[str, list[str] | None] | None:
    if return_fields is None or return_fields == [] or return_fields == {}:
        return None
    if isinstance(return_fields, str):
        return {return_fields: None}
    if isinstance(return_fields, list) and all(isinstance(name, str) for name in return_fields):
        return dict.fromkeys(return_fields)
    if isinstance(return_fields, dict) and all(
        names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))
        for names in return_fields.values()
    ):
        return dict(return_fields)
    raise InvalidRequest(
        "return_fields must be all, a name, a list, or {name: [field]}", field="return_fields"
    )


def _fields(wanted: dict[str, list[str] | None], *names: str) -> list[str] | None:
    return next((wanted[name] for name in (*names, *ALL) if name in wanted), None)


def _beside(doc: Json, rows: Sequence[Held], fields: dict[str, list[str] | None]) -> Json:
    found: Json = {}
    for row in rows:
        if row.start_us / 1e6 < doc["end"] and row.end_us / 1e6 > doc["start"]:
            chosen = fields[row.index_id]
            held = row.data if chosen is None else {name: row.data.get(name) for name in chosen}
            times = {"start": row.start_us / 1e6, "end": row.end_us / 1e6}
            found.setdefault(row.index_name, []).append(times | {"data": held})
    return found
