"""An account's streams in pages, as the SDKs ask for them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.streams.models import Stream

_FIELDS = {"created_at": Stream.created_at, "name": Stream.name, "status": Stream.status, "id": Stream.id}
Ordering = Sequence[ColumnElement[Any]]


def read_ordering(text: str | None) -> Ordering:
    """What a list is ordered by, `-` in front meaning the other way; newest first where nothing is asked.

    Raises `InvalidRequest` for a field that lists are not ordered by.
    """
    name = text or "-created_at"
    column: Any = _FIELDS.get(name.removeprefix("-"))
    if column is None:
        raise InvalidRequest(f"ordering must be one of {', '.join(_FIELDS)}, or - and one", field="ordering")
    # Streams of one session begin together: the id decides, or pages would overlap.
    return (column.desc(), Stream.id.desc()) if name.startswith("-") else (column.asc(), Stream.id.asc())


async def list_streams(
    session: AsyncSession,
    account_id: str,
    *,
    status: str | None,
    name: str | None,
    ordering: Ordering,
    limit: int,
    offset: int,
) -> tuple[list[Stream], int]:
    """A page of the streams whose name holds `name` in either case, and how many there are of them."""
    query = select(Stream).where(Stream.account_id == account_id)
    query = query.where(Stream.status == status) if status else query
    query = query.where(Stream.name.icontains(name, autoescape=True)) if name else query
    count = await session.scalar(select(func.count()).select_from(query.subquery()))
    rows = await session.scalars(query.order_by(*ordering).limit(limit).offset(offset))
    return list(rows), count or 0
