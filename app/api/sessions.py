"""Capture sessions for backends: create, read, list, and the tokens of their clients."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.shapes import created_session_shape, session_shape
from app.base.errors import InvalidRequest
from app.base.outbound import refuse_literal
from app.domain.accounts import audit
from app.domain.accounts.credentials import create_client_token
from app.domain.assets.links import Links
from app.domain.assets.service import find_assets
from app.domain.exports.displays import ask_for_export
from app.domain.exports.service import export_statuses
from app.domain.sessions import service as sessions
from app.domain.sessions.channels import channel_name
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams.service import streams_by_session
from app.wire.deps import Address, AppContext, AppLinks, PathCollection, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(tags=["capture sessions"])
Json = dict[str, Any]
NO_LINKS: Json = {"stream_url": None, "player_url": None}


class NewSession(BaseModel):
    end_user_id: str | None = None
    callback_url: str | None = None
    ws_connection_id: str | None = None
    metadata: Json | None = None


class NewToken(BaseModel):
    """Both SDKs send `expires_in`; `session_id` and `channels` bind the token to one capture."""

    expires_in: int | None = None
    user_id: str | None = None
    session_id: str | None = None
    channels: list[str] | None = Field(None, min_length=1, max_length=100)


class NewExport(BaseModel):
    """The socket to be told is `connection_id` in Python's SDK, and `ws_connection_id` elsewhere (C37)."""

    video_channel_id: str | None = None
    connection_id: str | None = None
    ws_connection_id: str | None = None


@router.post("/capture/session/token")
async def create_token(wanted: NewToken, caller: ServerCaller, session: Session, address: Address) -> Json:
    """A token for a desktop client. Channels are named as they are captured: `mic:default`, or `mic`."""
    if wanted.session_id is not None:
        await sessions.get_session(session, caller.account_id, wanted.session_id)
    secret, token = await create_client_token(
        session,
        caller.account_id,
        expires_in_seconds=wanted.expires_in,
        user_id=wanted.user_id,
        capture_session_id=wanted.session_id,
        channels=None if wanted.channels is None else [channel_name(one) for one in wanted.channels],
    )
    await audit.record(
        session, caller.account_id, "client_token.created", token.id, caller=caller, address=address
    )
    left = (token.expires_at - datetime.now(UTC)).total_seconds()
    expires_at = int(token.expires_at.timestamp())
    made = {"token": secret, "expires_at": expires_at, "expires_in": round(left)}
    return success(made | {"token_id": token.id})


@router.post("/collection/{collection_id}/capture/session")
async def create(
    wanted: NewSession, collection: PathCollection, session: Session, context: AppContext
) -> Json:
    if wanted.callback_url:
        refuse_literal(wanted.callback_url, context.settings.allowed_networks, "callback_url")
    capture = await sessions.create_session(
        session,
        collection.account_id,
        collection.id,
        end_user_id=wanted.end_user_id,
        callback_url=wanted.callback_url,
        ws_connection_id=wanted.ws_connection_id,
        metadata=wanted.metadata,
    )
    await session.refresh(capture)
    return success(created_session_shape(capture))


@router.get("/collection/{collection_id}/capture/session")
async def list_all(
    collection: PathCollection,
    session: Session,
    links: AppLinks,
    status: str | None = None,
    end_user_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Json:
    rows = await sessions.list_sessions(
        session,
        collection.account_id,
        collection.id,
        status=_status(status),
        end_user_id=end_user_id,
        limit=limit + 1,
        before=_read_cursor(cursor),
    )
    page = rows[:limit]
    next_page = f"{page[-1].created_at.timestamp():.6f}:{page[-1].id}" if len(rows) > limit else None
    return success({"sessions": await _shapes(session, page, links), "next_page": next_page})


@router.post("/collection/{collection_id}/capture/session/{session_id}/export")
async def export(
    wanted: NewExport, session_id: str, caller: ServerCaller, session: Session, links: AppLinks
) -> Json:
    """Export the session, or another of its displays; asked again, how far that is (contract C18)."""
    capture = await sessions.get_session(session, caller.account_id, session_id)
    requested = await ask_for_export(
        session,
        capture,
        video_channel_id=wanted.video_channel_id,
        connection_id=wanted.connection_id or wanted.ws_connection_id,
    )
    return success(
        {
            "session_id": capture.id,
            "video_channel_id": requested.video_channel_id,
            "export_status": requested.status,
            "video_id": requested.video.id if requested.video else None,
            **(links.of_asset(requested.video) if requested.video else NO_LINKS),
        }
    )


@router.get("/collection/{collection_id}/capture/session/{session_id}")
async def show(session_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    # Whatever collection the path names: webhook handlers ask under `default` (contract §1.6).
    capture = await sessions.get_session(session, caller.account_id, session_id)
    return success((await _shapes(session, [capture], links))[0])


async def _shapes(session: Session, captures: Sequence[CaptureSession], links: Links) -> list[Json]:
    """Sessions of one account as the wire shows them, with one query for each kind of row."""
    ids = [capture.id for capture in captures]
    channels = await sessions.channels_by_session(session, ids)
    streams = await streams_by_session(session, ids)
    statuses = await export_statuses(session, captures)
    exported = await find_assets(session, [one.exported_video_id for one in captures])
    return [
        session_shape(
            capture,
            channels[capture.id],
            streams[capture.id],
            exported.get(capture.exported_video_id or ""),
            statuses[capture.id],
            links,
        )
        for capture in captures
    ]


def _status(text: str | None) -> Status | None:
    if not text:
        return None
    try:
        return Status(text)
    except ValueError:
        raise InvalidRequest(f"status must be one of {', '.join(Status)}", field="status") from None


def _read_cursor(text: str | None) -> tuple[datetime, str] | None:
    if not text:
        return None
    seconds, _, session_id = text.partition(":")
    try:
        return datetime.fromtimestamp(float(seconds), UTC), session_id
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest("cursor is not one that this list gave", field="cursor") from None
