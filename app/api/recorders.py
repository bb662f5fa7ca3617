"""A capture session as its recorder drives it: start, status, stop. A client token is enough here."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.shapes import polled_status, publishing_shape
from app.base.errors import InvalidRequest, NotFound, Unavailable
from app.base.outbound import refuse_literal
from app.base.redis import CONTROL_CHANNEL, publish
from app.domain.accounts.credentials import Caller
from app.domain.sessions import service as sessions
from app.domain.sessions.channels import ChosenChannel, RequestedChannel, choose_channels
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.placement import place_session
from app.domain.sessions.states import Status
from app.domain.streams.ending import request_stop
from app.domain.streams.playback import play_session
from app.domain.streams.publishing import LIVE_STATUSES
from app.domain.streams.service import list_session_streams, open_streams
from app.wire.deps import AnyCaller, AppContext, Session
from app.wire.envelope import success

router = APIRouter(prefix="/capture/session", tags=["recorders"])
Json = dict[str, Any]


class WantedChannel(BaseModel):
    """The vendor's recorder, both SDKs' shapes, and the product documents' `{"name", "store"}`."""

    channel_id: str | None = None
    channel_name: str | None = None
    name: str | None = None
    type: str | None = None
    store: bool | None = None
    is_primary: bool | None = None


class Start(BaseModel):
    session_id: str | None = None
    channels: list[WantedChannel] | None = None
    primary_video_channel_id: str | None = None
    ws_connection_id: str | None = None
    callback_url: str | None = None


@router.post("/start")
async def start(wanted: Start, caller: AnyCaller, session: Session, context: AppContext) -> Json:
    """Begin a session with its channels, on an ingest process that has room.

    The same request again gets the same answer while the session is live and that process lives.
    """
    if wanted.callback_url:
        refuse_literal(wanted.callback_url, context.settings.allowed_networks, "callback_url")
    capture = await _locked(session, caller, wanted.session_id)
    chosen = choose_channels(
        [_requested(one) for one in wanted.channels or []], wanted.primary_video_channel_id
    )
    for one in chosen:
        caller.require_channel(one.name)
    channels = await sessions.list_channels(session, capture.id)
    if capture.status in LIVE_STATUSES and _same(channels, chosen):
        streams = await list_session_streams(session, capture.id)
    else:
        channels = await sessions.begin(
            session,
            capture,
            chosen,
            ws_connection_id=wanted.ws_connection_id,
            callback_url=wanted.callback_url,
        )
        streams = await open_streams(session, capture, channels)
        if any(stream.store for stream in streams):
            await play_session(session, capture)
    if (node := await place_session(session, capture)) is None:
        raise Unavailable("no ingest process takes publishers now")
    return success(publishing_shape(capture, channels, streams, node, context.settings))


@router.get("/{session_id}")
async def status(session_id: str, caller: AnyCaller, context: AppContext, session: Session) -> Json:
    """What a recorder polls until it may send: where, and whether it is time.

    A token that is bound to some channels is told of those alone: where to publish is a secret.
    """
    capture = await _owned(session, caller, session_id)
    channels = [
        channel
        for channel in await sessions.list_channels(session, capture.id)
        if caller.channels is None or channel.name in caller.channels
    ]
    streams = await list_session_streams(session, capture.id)
    node = await place_session(session, capture)
    shape = publishing_shape(capture, channels, streams, node, context.settings)
    return success(shape | {"status": polled_status(capture, node)})


@router.post("/{session_id}/stop")
async def stop(session_id: str, caller: AnyCaller, context: AppContext) -> Json:
    """Stop a session. One that is stopping or has ended well is left as it is: recorders say it twice."""
    async with context.db.transaction() as session:
        capture = await _locked(session, caller, session_id)
        if capture.status not in (Status.STOPPING, Status.STOPPED, Status.EXPORTED):
            await request_stop(session, capture)
        data = {"session_id": capture.id, "status": capture.status.value}
    # After the commit, so that the ingest processes read what is true.
    await publish(context.redis, CONTROL_CHANNEL, {"capture_session_id": session_id})
    return success(data, message="capture session is stopping")


async def _owned(session: AsyncSession, caller: Caller, session_id: str | None) -> CaptureSession:
    capture = await session.get(CaptureSession, session_id) if session_id else None
    if capture is None:
        raise NotFound(f"no capture session {session_id}")
    caller.require_session(capture.account_id, capture.id)
    return await sessions.get_session(session, caller.account_id, capture.id)


async def _locked(session: AsyncSession, caller: Caller, session_id: str | None) -> CaptureSession:
    if not session_id:
        raise InvalidRequest("session_id is required", field="session_id")
    capture = await _owned(session, caller, session_id)
    return await sessions.lock_session(session, capture.id)


def _requested(wanted: WantedChannel) -> RequestedChannel:
    wire_id = wanted.channel_id or wanted.name or wanted.channel_name
    if not wire_id:
        raise InvalidRequest("each channel needs a channel_id", field="channels")
    return RequestedChannel(
        wire_id=wire_id,
        label=wanted.channel_name or wanted.name,
        type=wanted.type,
        store=True if wanted.store is None else wanted.store,
        is_primary=bool(wanted.is_primary),
    )


def _same(rows: list[Channel], chosen: list[ChosenChannel]) -> bool:
    return [(row.name, row.store) for row in rows] == [(one.name, one.store) for one in chosen]
