"""Client tokens after they were handed out: listed, and revoked one by one or all of a capture session."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.shapes import unix_seconds
from app.base.redis import REVOKED_CHANNEL, publish
from app.domain.accounts import audit, keys
from app.domain.accounts.models import ClientToken
from app.domain.sessions.service import get_session
from app.wire.deps import Address, AppContext, ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/client_tokens", tags=["client tokens"])
MAX_TOKENS = 1000


@router.get("")
async def list_all(
    caller: ServerCaller,
    session: Session,
    session_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_TOKENS)] = 100,
) -> Json:
    """The tokens that are still good, the newest first; their secrets are known to nobody here."""
    if session_id is not None:
        await get_session(session, caller.account_id, session_id)
    rows = await keys.list_client_tokens(
        session, caller.account_id, capture_session_id=session_id, limit=limit
    )
    return success({"client_tokens": [_shape(row) for row in rows]})


@router.delete("")
async def revoke_all(session_id: str, caller: ServerCaller, context: AppContext, address: Address) -> Json:
    """Refuse every token that is bound to the capture session."""
    async with context.db.transaction() as session:
        await get_session(session, caller.account_id, session_id)
        revoked = await keys.revoke_session_tokens(session, caller.account_id, session_id)
        for token_id in revoked:
            await audit.record(
                session, caller.account_id, "client_token.revoked", token_id, caller=caller, address=address
            )
    await publish(context.redis, REVOKED_CHANNEL, {"revoked": revoked})
    return success({"session_id": session_id, "revoked": revoked}, message="client tokens revoked")


@router.delete("/{token_id}")
async def revoke(token_id: str, caller: ServerCaller, context: AppContext, address: Address) -> Json:
    """Refuse the token from now on, and close the sockets that were opened with it."""
    async with context.db.transaction() as session:
        token = await keys.revoke_client_token(session, caller.account_id, token_id)
        await audit.record(
            session, caller.account_id, "client_token.revoked", token.id, caller=caller, address=address
        )
    await publish(context.redis, REVOKED_CHANNEL, {"revoked": [token.id]})
    return success(_shape(token), message="client token revoked")


def _shape(token: ClientToken) -> Json:
    return {
        "id": token.id,
        "user_id": token.user_id,
        "session_id": token.capture_session_id,
        "channels": token.channels,
        "created_at": unix_seconds(token.created_at),
        "expires_at": unix_seconds(token.expires_at),
        "revoked_at": unix_seconds(token.revoked_at) if token.revoked_at else None,
    }
