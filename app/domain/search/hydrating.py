"""What indexes hold beside a match, as a search's `return_fields` asks for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.search.service import Match
from app.domain.transcripts.models import Utterance

Json = dict[str, Any]
TRANSCRIPT = "transcript"  # the name of the spoken words
MAX_INDEXES = 50
MAX_ROWS = 2000


@dataclass(frozen=True, slots=True)
class ReturnFields:
    """Which indexes, by name or id, and which fields of each; None stands for all."""

    indexes: Mapping[str, Sequence[str] | None] | None

    def of(self, *names: str) -> tuple[bool, Sequence[str] | None]:
        """Whether an index of one of these names is asked for, and which of its fields."""
        if self.indexes is None:
            return True, None
        for name in names:
            if name in self.indexes:
                return True, self.indexes[name]
        return False, None


def read_return_fields(value: object) -> ReturnFields | None:
    """None, `"all"` or `"*"`, an index's name or id, a list of them, or the fields by index.

    Raises `InvalidRequest` for anything else.
    """
    if value is None or value == [] or value == {}:
        return None
    if value in ("all", "*"):
        return ReturnFields(None)
    found: dict[str, Sequence[str] | None] = {}
    for name in [value] if isinstance(value, str) else value if isinstance(value, list | dict) else [None]:
        fields = value[name] if isinstance(value, dict) and isinstance(name, str) else None
        is_named = isinstance(fields, list) and all(isinstance(field, str) for field in fields)
        if not isinstance(name, str) or not (fields is None or is_named):
            raise _mistake()
        found[name] = fields
    if len(found) > MAX_INDEXES:
        raise _mistake()
    return ReturnFields(found)


async def hydrated(session: AsyncSession, matches: Sequence[Match], asked: ReturnFields) -> list[Json]:
    """Of each match, by the index's name, the rows that overlap it in its stream or video, in their order."""
    found: list[Json] = [{} for _ in matches]
    if not matches:
        return found
    if asked.of(TRANSCRIPT)[0]:
        for row in await session.scalars(_overlapping(Utterance, Utterance, matches)):
            said = {"text": row.text, "language": row.language}
            _give(found, matches, row, row, TRANSCRIPT, _chosen(said, asked.of(TRANSCRIPT)[1]))
    records = await session.execute(_overlapping(IndexRecord, SceneIndex, matches))
    for record, index in records:
        wanted, fields = asked.of(index.name, index.id)
        if wanted:
            held = {"text": record.text, "description": record.text, **record.details}
            _give(found, matches, record, index, index.name, _chosen(held, fields))
    return found


def _overlapping(rows: Any, owner: Any, matches: Sequence[Match]) -> Any:
    """Rows of the matches' streams and videos that overlap any of them."""
    query = select(rows) if rows is owner else select(rows, owner).join(owner, owner.id == rows.index_id)
    which = or_(
        *(
            and_(
                owner.stream_id == match.stream_id if match.stream_id else owner.asset_id == match.asset_id,
                rows.start_us < match.end_us,
                rows.end_us > match.start_us,
            )
            for match in matches
        )
    )
    return query.where(which).order_by(rows.start_us).limit(MAX_ROWS)


def _give(
    found: Sequence[Json], matches: Iterable[Match], row: Any, owner: Any, name: str, held: Json
) -> None:
    times = {"start": row.start_us / 1e6, "end": row.end_us / 1e6}
    for match, into in zip(matches, found, strict=True):
        of_owner = (owner.stream_id, owner.asset_id) == (match.stream_id, match.asset_id)
        if of_owner and row.start_us < match.end_us and row.end_us > match.start_us:
            into.setdefault(name, []).append(times | {"data": held})


def _chosen(held: Json, fields: Sequence[str] | None) -> Json:
    return held if fields is None else {name: held[name] for name in fields if name in held}


def _mistake() -> InvalidRequest:
    return InvalidRequest(
        "return_fields must be all, an index's name, a list of names, or lists of fields by name",
        field="return_fields",
    )
