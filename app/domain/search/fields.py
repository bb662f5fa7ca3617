"""The fields that filters of a search may name: of the passage, its index, its stream or its video."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.passages.models import Passage
from app.domain.search.conditions import json_condition, number_condition, text_condition
from app.domain.search.filters import Condition, Filter, conditions_of, filter_as_sql
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Stream

METADATA = "metadata"
_MILLISECONDS_FROM = 1e11  # a time this large is meant in milliseconds (contract C8)


async def filter_passages(
    session: AsyncSession, account_id: str, filter_: Filter | None
) -> list[ColumnElement[bool]]:
    """A filter in terms of `Passage`'s columns; times in seconds of the owner's clock, or milliseconds.

    A name that is no field is one of the metadata of records and capture sessions, with or without
    `metadata.` before it. Raises `InvalidRequest` that names the field where no metadata has it either.
    """
    if filter_ is None:
        return []
    named = {condition.field for condition in conditions_of(filter_)} - FIELDS.keys()
    for name in sorted(named):
        if not await _is_known(session, account_id, name):
            raise InvalidRequest(
                f"filter: there is no field {name}: {', '.join(sorted(FIELDS))}, or one of the metadata",
                field=name,
            )
    return [filter_as_sql(filter_, _passage_condition)]


def _passage_condition(condition: Condition) -> ColumnElement[bool]:
    field = FIELDS.get(condition.field)
    return _metadata(condition) if field is None else field(condition)


def _text(column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    return lambda condition: text_condition(column, condition)


def _seconds(column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    def compared(condition: Condition) -> ColumnElement[bool]:
        value = condition.value
        largest = max((abs(one) for one in _numbers(value)), default=0)
        return number_condition(column, condition, scale=1e3 if largest > _MILLISECONDS_FROM else 1e6)

    return compared


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, int | float)]


def _of_index(condition: Condition) -> ColumnElement[bool]:
    return Passage.index_id.in_(select(SceneIndex.id).where(text_condition(SceneIndex.name, condition)))


def _of_stream(column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    return lambda condition: Passage.stream_id.in_(select(Stream.id).where(text_condition(column, condition)))


def _of_asset(column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    return lambda condition: Passage.asset_id.in_(select(Asset.id).where(text_condition(column, condition)))


def _of_either(stream_column: Any, asset_column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    return lambda condition: or_(_of_stream(stream_column)(condition), _of_asset(asset_column)(condition))


def _of_session(column: Any) -> Callable[[Condition], ColumnElement[bool]]:
    return lambda condition: _in_sessions(text_condition(column, condition))


def _in_sessions(which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Of the streams of these capture sessions, and of what they were exported as."""
    streams = select(Stream).join(CaptureSession, CaptureSession.id == Stream.capture_session_id).where(which)
    return or_(
        Passage.stream_id.in_(streams.with_only_columns(Stream.id)),
        Passage.asset_id.in_(streams.with_only_columns(Stream.exported_asset_id)),
        Passage.asset_id.in_(select(CaptureSession.exported_video_id).where(which)),
    )


def _metadata(condition: Condition) -> ColumnElement[bool]:
    path = _metadata_path(condition.field)
    of_record = select(IndexRecord.id).where(IndexRecord.id == Passage.record_id, _in_record(path, condition))
    return or_(of_record.exists(), _in_sessions(json_condition(CaptureSession.metadata_, path, condition)))


def _in_record(path: list[str], condition: Condition) -> ColumnElement[bool]:
    """What the maker of an index gave each record lies in `metadata` of its details."""
    return or_(
        json_condition(IndexRecord.details, [METADATA, *path], condition),
        json_condition(IndexRecord.details, path, condition),
    )


def _metadata_path(field: str) -> list[str]:
    return field.removeprefix(f"{METADATA}.").split(".")


async def _is_known(session: AsyncSession, account_id: str, name: str) -> bool:
    path, there = _metadata_path(name), Condition(name, "exists", True)
    of_records = (
        select(IndexRecord.id)
        .join(SceneIndex, SceneIndex.id == IndexRecord.index_id)
        .where(SceneIndex.account_id == account_id, _in_record(path, there))
    )
    of_sessions = select(CaptureSession.id).where(
        CaptureSession.account_id == account_id, json_condition(CaptureSession.metadata_, path, there)
    )
    return bool(await session.scalar(select(or_(of_sessions.exists(), of_records.exists()))))


FIELDS: Mapping[str, Callable[[Condition], ColumnElement[bool]]] = {
    "kind": _text(Passage.kind),
    "text": _text(Passage.text),
    "start": _seconds(Passage.start_us),
    "end": _seconds(Passage.end_us),
    "index_id": _text(Passage.index_id),
    "scene_index_id": _text(Passage.index_id),
    "rtstream_index_id": _text(Passage.index_id),
    "index_name": _of_index,
    "scene_index_name": _of_index,
    "rtstream_id": _text(Passage.stream_id),
    "rtstream_name": _of_stream(Stream.name),
    "channel_id": _of_stream(Stream.category),
    "video_id": _text(Passage.asset_id),
    "title": _of_asset(Asset.name),
    "collection_id": _of_either(Stream.collection_id, Asset.collection_id),
    "capture_session_id": _of_session(CaptureSession.id),
    "end_user_id": _of_session(CaptureSession.end_user_id),
}
