"""Erases captures, media and end users: marked first, so that nobody sees them; then objects, then rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Text,
    and_,
    any_,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.base.errors import Conflict, NotFound
from app.base.ids import new_id, utc_now
from app.domain.accounts.models import ClientToken
from app.domain.assets.models import Asset, Playback
from app.domain.assets.service import asset_id_of
from app.domain.indexes.models import IndexRecord, SceneIndex, ScreenFrame
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.domain.outbox.models import OutboxMessage
from app.domain.scenes.models import SceneCollection
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams.models import Segment, Stream
from app.domain.transcripts.models import SpeechChunk, Utterance
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.storage.keys import (
    asset_prefix,
    conversion_prefix,
    download_prefix,
    mix_prefix,
    screen_prefix,
    speech_prefix,
    stream_prefix,
)

Json = dict[str, Any]
_OF_SESSIONS = (mix_prefix, conversion_prefix)
_OF_STREAMS = (stream_prefix, speech_prefix, screen_prefix)
_OF_ASSETS = (asset_prefix, screen_prefix)
AT_REST = (Status.CREATED, Status.STOPPED, Status.EXPORTED, Status.FAILED)


async def erase_session(session: AsyncSession, capture: CaptureSession) -> Operation:
    """Erase a capture session with all that was made of it. Raises `Conflict` while something is going on."""
    return await _request(session, capture.account_id, capture.id, [capture.id], [])


async def erase_asset(session: AsyncSession, asset: Asset) -> Operation:
    """Erase a video, audio or image, with its words and the images taken from it."""
    return await _request(session, asset.account_id, asset.id, [], [asset.id])


async def erase_end_user(session: AsyncSession, account_id: str, end_user_id: str) -> Operation:
    """Erase all captures of an end user, and the client tokens that were made for them.

    Raises `NotFound` where there are none; `Conflict`, having erased nothing, while one of them is going on.
    """
    found = await session.scalars(
        select(CaptureSession.id).where(
            CaptureSession.account_id == account_id,
            CaptureSession.end_user_id == end_user_id,
            CaptureSession.deleted_at.is_(None),
        )
    )
    session_ids = list(found)
    tokens = await _deleted(
        session,
        delete(ClientToken).where(ClientToken.account_id == account_id, ClientToken.user_id == end_user_id),
    )
    if not session_ids and not tokens:
        raise NotFound(f"no end user {end_user_id}")
    # Not the user's id: what is kept of an erasure must not name whom it was about.
    return await _request(session, account_id, new_id("user"), session_ids, [], client_tokens=tokens)


async def _request(
    session: AsyncSession,
    account_id: str,
    subject_id: str,
    session_ids: Sequence[str],
    asset_ids: Sequence[str],
    *,
    client_tokens: int = 0,
) -> Operation:
    await _check_at_rest(session, account_id, session_ids)
    streams = await session.execute(
        select(Stream.id, Stream.media_type, Stream.exported_asset_id).where(
            _among(Stream.capture_session_id, session_ids)
        )
    )
    stream_rows = streams.all()
    made = {*asset_ids, *(row.exported_asset_id for row in stream_rows if row.exported_asset_id)}
    made |= {asset_id_of("video", session_id) for session_id in session_ids}
    # Tries of an export that failed lie under the id that it would have had.
    made |= {asset_id_of("video" if row.media_type == "video" else "audio", row.id) for row in stream_rows}
    displays = await session.scalars(
        select(Operation.id).where(
            Operation.account_id == account_id,
            Operation.kind == OperationKind.EXPORT_DISPLAY.value,
            _among(Operation.request["capture_session_id"].astext, session_ids),
        )
    )
    made |= {asset_id_of("video", operation_id) for operation_id in displays}
    assets = await session.scalars(
        select(Asset).where(
            Asset.account_id == account_id,
            or_(_among(Asset.id, made), _among(Asset.source_asset_id, made)),
        )
    )
    rows = assets.all()
    made |= {row.id for row in rows}
    stream_ids = [row.id for row in stream_rows]
    downloads = list(
        await session.scalars(
            select(Operation.id).where(
                Operation.account_id == account_id,
                Operation.kind == OperationKind.MAKE_DOWNLOAD.value,
                Operation.request["asset_ids"].has_any(cast(sorted(made), ARRAY(Text))),
            )
        )
    )
    now = utc_now()
    for model, ids in ((CaptureSession, session_ids), (Stream, stream_ids), (Asset, made)):
        await session.execute(
            update(model)
            .where(_among(model.id, ids), model.account_id == account_id)
            .values(deleted_at=now)
            .execution_options(synchronize_session=False)
        )
    request: Json = {
        "capture_session_ids": list(session_ids),
        "stream_ids": stream_ids,
        "asset_ids": sorted(made),
        "download_ids": downloads,
        "prefixes": [
            *(prefix(account_id, one) for one in session_ids for prefix in _OF_SESSIONS),
            *(prefix(account_id, one) for one in stream_ids for prefix in _OF_STREAMS),
            *(prefix(account_id, one) for one in sorted(made) for prefix in _OF_ASSETS),
            *(download_prefix(account_id, one) for one in downloads),
        ],
        "keys": [key for row in rows for key in (row.storage_key, row.thumbnail_key) if key],
        "client_tokens": client_tokens,
    }
    operation = await request_operation(
        session, account_id, OperationKind.ERASE, f"erase:{subject_id}", request
    )
    if operation.status == "done":  # a display that was deleted, and exported again since
        operation.request = request
        await restart_operation(session, operation)
    return operation


async def _check_at_rest(session: AsyncSession, account_id: str, session_ids: Sequence[str]) -> None:
    rows = await session.execute(
        select(CaptureSession.id, CaptureSession.status)
        .where(_among(CaptureSession.id, session_ids))
        .order_by(CaptureSession.id)
        .with_for_update()
    )
    busy = {row.id: f"is {row.status.value}" for row in rows if row.status not in AT_REST}
    working = await session.scalars(
        select(Operation.request["capture_session_id"].astext).where(
            Operation.account_id == account_id,
            Operation.status.in_(("pending", "running")),
            _among(Operation.request["capture_session_id"].astext, session_ids),
        )
    )
    busy |= dict.fromkeys(working, "is being exported")
    if busy:
        first, state = next(iter(busy.items()))
        more = f", and {len(busy) - 1} more" if len(busy) > 1 else ""
        raise Conflict(f"{first} {state}{more}: it can be deleted once that has ended", code="session_busy")


async def remove_rows(session: AsyncSession, operation: Operation) -> Json:
    """Remove every row of what is being erased; returns how many of each kind went.

    What plays a part of it goes too: it could not be played any more. Videos that were rendered from it are
    videos of their own, and stay.
    """
    request, account_id = operation.request, operation.account_id
    sessions, streams, assets = (
        request["capture_session_ids"],
        request["stream_ids"],
        request["asset_ids"],
    )
    event = or_(
        _among(OutboxMessage.capture_session_id, sessions),
        _among(OutboxMessage.payload["frames"][0]["rtstream_id"].astext, streams),
    ) & (OutboxMessage.account_id == account_id)
    kinds = await session.execute(
        select(Asset.kind, func.count(), func.sum(Asset.size_bytes))
        .where(_among(Asset.id, assets))
        .group_by(Asset.kind)
    )
    of_kind = {kind: (number, int(size)) for kind, number, size in kinds}
    recorded_bytes = await session.scalar(
        select(func.coalesce(func.sum(Segment.size_bytes), 0)).where(_among(Segment.stream_id, streams))
    )
    removed = {
        "media_bytes": int(recorded_bytes or 0) + sum(size for _, size in of_kind.values()),
        "utterances": await _deleted(
            session,
            delete(Utterance).where(
                or_(_among(Utterance.stream_id, streams), _among(Utterance.asset_id, assets))
            ),
        ),
        "speech_chunks": await _deleted(
            session, delete(SpeechChunk).where(_among(SpeechChunk.stream_id, streams))
        ),
        "index_records": await _deleted(
            session,
            delete(IndexRecord).where(
                exists().where(
                    SceneIndex.id == IndexRecord.index_id,
                    or_(_among(SceneIndex.stream_id, streams), _among(SceneIndex.asset_id, assets)),
                )
            ),
        ),
        "screens": await _deleted(
            session,
            delete(ScreenFrame).where(
                or_(_among(ScreenFrame.stream_id, streams), _among(ScreenFrame.asset_id, assets))
            ),
        ),
        "scene_collections": await _deleted(
            session, delete(SceneCollection).where(_among(SceneCollection.asset_id, assets))
        ),
        "segments": await _deleted(session, delete(Segment).where(_among(Segment.stream_id, streams))),
        "playbacks": await _deleted(
            session,
            delete(Playback).where(Playback.account_id == account_id, _plays(request)),
        ),
        "webhook_deliveries": await _deleted(
            session,
            delete(WebhookDelivery).where(
                exists().where(OutboxMessage.id == WebhookDelivery.outbox_id, event)
            ),
        ),
        "events": await _deleted(session, delete(OutboxMessage).where(event)),
        "jobs": await _deleted(
            session,
            delete(OutboxMessage).where(
                OutboxMessage.kind == "job",
                _among(OutboxMessage.payload["subject_id"].astext, [*sessions, *streams, *assets]),
            ),
        ),
        "webhook_endpoints": await _deleted(
            session, delete(WebhookEndpoint).where(_among(WebhookEndpoint.capture_session_id, sessions))
        ),
        "client_tokens": request["client_tokens"]
        + await _deleted(
            session, delete(ClientToken).where(_among(ClientToken.capture_session_id, sessions))
        ),
        "operations": await _deleted(
            session,
            delete(Operation).where(
                Operation.account_id == account_id,
                or_(
                    _among(Operation.request["capture_session_id"].astext, sessions),
                    _among(Operation.request["asset_id"].astext, assets),
                    _among(Operation.id, request["download_ids"]),
                    # Answers about a whole collection may quote any of these.
                    and_(Operation.kind == OperationKind.ANSWER_QUESTION.value, Operation.status == "done"),
                ),
            ),
        ),
        "streams": len(streams),
        **{f"{kind}s": of_kind.get(kind, (0, 0))[0] for kind in ("video", "audio", "image")},
        # Its channels, streams and spools are removed with a session.
        "capture_sessions": await _deleted(
            session, delete(CaptureSession).where(_among(CaptureSession.id, sessions))
        ),
    }
    await _deleted(session, delete(Asset).where(_among(Asset.id, assets)))
    return removed


def _plays(request: Mapping[str, Any]) -> ColumnElement[bool]:
    """Holds for a playback that plays a part of what is being erased."""
    part = func.jsonb_array_elements(Playback.parts, type_=JSONB).column_valued("part")
    return exists(
        select(part).where(
            or_(
                _among(part["asset_id"].astext, request["asset_ids"]),
                _among(part["stream_id"].astext, request["stream_ids"]),
                _among(part["capture_session_id"].astext, request["capture_session_ids"]),
            )
        )
    )


async def _deleted(session: AsyncSession, statement: Any) -> int:
    ended = await session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(ended, CursorResult)
    return ended.rowcount


def _among(
    column: InstrumentedAttribute[Any] | ColumnElement[Any], ids: Iterable[str]
) -> ColumnElement[bool]:
    """`column in ids` with one parameter, however many ids there are: a statement takes 32,767 of them."""
    found: ColumnElement[bool] = column == any_(cast(list(ids), ARRAY(Text)))
    return found
