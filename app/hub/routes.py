"""The WebSocket: a REST call gives a URL with a ticket in it, and the socket opens with that alone."""

import logging
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, WebSocket
from starlette.websockets import WebSocketDisconnect

from app.base.db import DATABASE_AWAY
from app.base.errors import NotFound, Unauthenticated
from app.domain.accounts.keys import check_not_revoked
from app.domain.collections.service import get_collection
from app.domain.outbox.published import position_to_resume
from app.hub.connections import POLICY_VIOLATION, TRY_AGAIN_LATER, Connection
from app.hub.hub import Hub
from app.wire.deps import AnyCaller, AppContext, Session
from app.wire.envelope import success
from app.wire.tickets import (
    SocketTicket,
    check_connection_id,
    new_connection_id,
    read_ticket,
    sign_ticket,
)

logger = logging.getLogger(__name__)
router = APIRouter(tags=["websocket"])

SeenEvent = Annotated[str | None, Query(max_length=100)]
EarlierConnection = Annotated[str | None, Query(max_length=200)]


@router.get("/collection/{collection_id}/websocket")
async def websocket_url(
    collection_id: str,
    caller: AnyCaller,
    context: AppContext,
    session: Session,
    connection_id: EarlierConnection = None,
    last_event_id: SeenEvent = None,
) -> dict[str, Any]:
    """The URL of a socket for this collection (contract A5). A client token may open one too.

    Who was cut off passes the connection id of before, so that pipelines that name it still find the client,
    and the id of the last event seen, so that all that followed comes first.
    """
    collection = await get_collection(session, caller.account_id, collection_id)
    granted = SocketTicket(
        caller.account_id,
        collection.id,
        named_only=caller.kind == "client_token",
        credential_id=caller.credential_id,
    )
    resumed = {}
    if connection_id:
        check_connection_id(context.settings, granted, connection_id)
        resumed["connection_id"] = connection_id
    if last_event_id is not None:
        await position_to_resume(session, caller.account_id, last_event_id)
        resumed["last_event_id"] = last_event_id
    url = f"{context.settings.websocket_base_url}/ws/{sign_ticket(context.settings, granted)}"
    return success({"websocket_url": f"{url}?{urlencode(resumed)}" if resumed else url})


@router.websocket("/ws/{ticket}")
async def connect(
    socket: WebSocket,
    ticket: str,
    context: AppContext,
    connection_id: EarlierConnection = None,
    last_event_id: SeenEvent = None,
) -> None:
    """Frames of the ticket's collection; the queries are those of `websocket_url`."""
    await socket.accept()
    hub: Hub = socket.app.state.hub
    try:
        granted = read_ticket(context.settings, ticket)
        async with context.db.transaction() as session:
            await check_not_revoked(session, granted.credential_id)
        if connection_id:
            check_connection_id(context.settings, granted, connection_id)
        after, seen_event_id = await hub.find_start(granted.account_id, last_event_id)
    except (Unauthenticated, NotFound) as error:
        await socket.close(POLICY_VIOLATION, error.message)
        return
    except DATABASE_AWAY as error:
        logger.warning("a socket cannot be opened now: %s", type(error).__name__)
        await socket.close(TRY_AGAIN_LATER, "events cannot be read now")
        return
    hub.counts.resumed += last_event_id is not None
    connection = Connection(socket, granted, connection_id or new_connection_id(context.settings, granted))
    with suppress(WebSocketDisconnect, TimeoutError):
        await hub.serve(connection, after, seen_event_id)
