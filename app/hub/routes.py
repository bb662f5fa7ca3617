"""The WebSocket: a REST call gives a URL with a ticket in it, and the socket opens with that alone."""

import logging
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from app.base.errors import Unauthenticated
from app.domain.accounts.keys import check_not_revoked
from app.domain.collections.service import get_collection
from app.hub.connections import Connection, Hub
from app.wire.deps import AnyCaller, AppContext, Session
from app.wire.envelope import success
from app.wire.tickets import SocketTicket, read_ticket, sign_ticket

logger = logging.getLogger(__name__)
router = APIRouter(tags=["websocket"])
POLICY_VIOLATION = 1008


@router.get("/collection/{collection_id}/websocket")
async def websocket_url(
    collection_id: str, caller: AnyCaller, context: AppContext, session: Session
) -> dict[str, Any]:
    """The URL of a socket for this collection (contract A5). A client token may open one too."""
    collection = await get_collection(session, caller.account_id, collection_id)
    granted = SocketTicket(
        caller.account_id,
        collection.id,
        named_only=caller.kind == "client_token",
        credential_id=caller.credential_id,
    )
    ticket = sign_ticket(context.settings, granted)
    return success({"websocket_url": f"{context.settings.websocket_base_url}/ws/{ticket}"})


@router.websocket("/ws/{ticket}")
async def connect(socket: WebSocket, ticket: str, context: AppContext) -> None:
    await socket.accept()
    try:
        granted = read_ticket(context.settings, ticket)
        async with context.db.transaction() as session:
            await check_not_revoked(session, granted.credential_id)
    except Unauthenticated as error:
        await socket.close(POLICY_VIOLATION, error.message)
        return
    hub: Hub = socket.app.state.hub
    connection = Connection(
        socket,
        granted.account_id,
        granted.collection_id,
        named_only=granted.named_only,
        credential_id=granted.credential_id,
    )
    hub.add(connection)
    try:
        with suppress(WebSocketDisconnect, TimeoutError):
            await connection.serve()
    finally:
        hub.remove(connection)
