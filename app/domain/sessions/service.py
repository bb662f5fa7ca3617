"""Capture sessions: the only code that changes a session's status."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.base.ids import new_id, utc_now
from app.domain.outbox.events import Route, emit
from app.domain.outbox.session_events import SessionMoved
from app.domain.sessions.channels import ChosenChannel
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.states import Status, check_move
from app.domain.webhooks.service import add_endpoint, check_callback_url

Json = dict[str, Any]


async def create_session(
    session: AsyncSession,
    account_id: str,
    collection_id: str,
    *,
    end_user_id: str | None,
    callback_url: str | None,
    ws_connection_id: str | None,
    metadata: Json | None,
) -> CaptureSession:
    """Make a capture session. Raises `InvalidRequest` for a missing user or a bad callback URL."""
    if not end_user_id:
        raise InvalidRequest("end_user_id is required", field="end_user_id")
    capture = CaptureSession(
        id=new_id("cap"),
        account_id=account_id,
        collection_id=collection_id,
        end_user_id=end_user_id,
        status=Status.CREATED,
        callback_url=callback_url and check_callback_url(callback_url),
        ws_connection_id=ws_connection_id or None,
        metadata_=metadata or {},
        last_event_seq=0,
    )
    session.add(capture)
    await session.flush()
    if capture.callback_url:
        await add_endpoint(session, account_id, capture.id, capture.callback_url)
    await _emit_status(session, capture, {})
    return capture


async def get_session(session: AsyncSession, account_id: str, session_id: str) -> CaptureSession:
    """Find a session of the account, in whatever collection. Raises `NotFound`."""
    capture = await session.get(CaptureSession, session_id)
    if capture is None or capture.account_id != account_id or capture.deleted_at is not None:
        raise NotFound(f"no capture session {session_id}")
    return capture


async def lock_session(session: AsyncSession, session_id: str) -> CaptureSession:
    """Read the session's row again and hold it until the transaction ends. Raises `NotFound`."""
    capture = await session.get(CaptureSession, session_id, with_for_update=True, populate_existing=True)
    if capture is None:
        raise NotFound(f"no capture session {session_id}")
    return capture


async def list_sessions(
    session: AsyncSession,
    account_id: str,
    collection_id: str,
    *,
    status: Status | None,
    end_user_id: str | None,
    limit: int,
    before: tuple[datetime, str] | None,
) -> list[CaptureSession]:
    """A collection's sessions, newest first, at most `limit`, older than `before`."""
    query = select(CaptureSession).where(
        CaptureSession.account_id == account_id,
        CaptureSession.collection_id == collection_id,
        CaptureSession.deleted_at.is_(None),
    )
    if status:
        query = query.where(CaptureSession.status == status)
    if end_user_id:
        query = query.where(CaptureSession.end_user_id == end_user_id)
    if before:
        created_at, session_id = before
        query = query.where(
            (CaptureSession.created_at < created_at)
            | ((CaptureSession.created_at == created_at) & (CaptureSession.id < session_id))
        )
    rows = await session.scalars(
        query.order_by(CaptureSession.created_at.desc(), CaptureSession.id.desc()).limit(limit)
    )
    return list(rows)


async def list_channels(session: AsyncSession, session_id: str) -> list[Channel]:
    """The session's channels, the primary display first."""
    return (await channels_by_session(session, [session_id]))[session_id]


async def channels_by_session(session: AsyncSession, session_ids: Sequence[str]) -> dict[str, list[Channel]]:
    """The channels of several sessions, each's in their order."""
    rows = await session.scalars(
        select(Channel).where(Channel.capture_session_id.in_(session_ids)).order_by(Channel.position)
    )
    found: dict[str, list[Channel]] = {session_id: [] for session_id in session_ids}
    for row in rows:
        found[row.capture_session_id].append(row)
    return found


async def begin(
    session: AsyncSession,
    capture: CaptureSession,
    channels: Sequence[ChosenChannel],
    *,
    ws_connection_id: str | None,
    callback_url: str | None,
) -> list[Channel]:
    """Move a locked session to `starting` with its channels. Raises `IllegalMove`."""
    check_move(capture.status, Status.STARTING)
    rows = [
        Channel(
            id=new_id("ch"),
            capture_session_id=capture.id,
            name=channel.name,
            wire_id=channel.wire_id,
            label=channel.label,
            category=channel.category,
            media_type=channel.media_type,
            store=channel.store,
            is_primary=channel.is_primary,
            position=position,
        )
        for position, channel in enumerate(channels)
    ]
    session.add_all(rows)
    capture.primary_video_channel_id = next((row.name for row in rows if row.is_primary), None)
    capture.ws_connection_id = ws_connection_id or capture.ws_connection_id
    if callback_url:
        await add_endpoint(session, capture.account_id, capture.id, check_callback_url(callback_url))
    await move(session, capture, Status.STARTING)
    return rows


async def move(
    session: AsyncSession, capture: CaptureSession, status: Status, data: Json | None = None
) -> None:
    """Change a locked session's status and emit its event, in the caller's transaction.

    Raises `IllegalMove`, having changed nothing.
    """
    check_move(capture.status, status)
    capture.status = status
    capture.status_changed_at = utc_now()
    await session.flush()
    await _emit_status(session, capture, data or {})


async def fail(session: AsyncSession, capture: CaptureSession, code: str, message: str) -> None:
    """Move a locked session to `failed`, saying why. Raises `IllegalMove`."""
    check_move(capture.status, Status.FAILED)
    capture.error = {"code": code, "message": message}
    await move(session, capture, Status.FAILED, {"error": capture.error})


async def _emit_status(session: AsyncSession, capture: CaptureSession, data: Json) -> None:
    await emit(
        session,
        SessionMoved(capture.id, capture.end_user_id, capture.status.value, data),
        account_id=capture.account_id,
        route=Route(capture.collection_id, capture.ws_connection_id),
        seq=await next_seq(session, capture.id),
    )


async def next_seq(session: AsyncSession, session_id: str | None) -> int | None:
    """The number of a session's next event; None where there is no session.

    Its row is held until the transaction ends: so its events are written one after another, in the order of
    their commits.
    """
    if session_id is None:
        return None
    return (
        await session.scalars(
            update(CaptureSession)
            .where(CaptureSession.id == session_id)
            .values(last_event_seq=CaptureSession.last_event_seq + 1)
            .returning(CaptureSession.last_event_seq)
        )
    ).one()


async def stale_sessions(session: AsyncSession, status: Status, *, older_than_seconds: float) -> list[str]:
    """Sessions that have been in `status` for longer than this."""
    rows = await session.scalars(
        select(CaptureSession.id).where(
            CaptureSession.status == status,
            CaptureSession.status_changed_at < utc_now() - timedelta(seconds=older_than_seconds),
        )
    )
    return list(rows)
