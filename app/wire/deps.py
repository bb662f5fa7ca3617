"""What routes ask for: the process's context, a transaction, and who is calling."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unauthenticated
from app.domain.accounts.credentials import Caller, authenticate
from app.domain.collections.models import Collection
from app.domain.collections.service import get_collection
from app.process import Context


def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


AppContext = Annotated[Context, Depends(_context)]


async def _transaction(context: AppContext) -> AsyncIterator[AsyncSession]:
    async with context.db.transaction() as session:
        yield session


# Function scope: the commit comes before the answer, so that a caller never hears of what is not true.
Session = Annotated[AsyncSession, Depends(_transaction, scope="function")]


async def any_caller(
    context: AppContext,
    x_access_token: Annotated[str | None, Header()] = None,
    authorization: Annotated[str | None, Header()] = None,
) -> Caller:
    """Who asks, by either header. Raises `Unauthenticated`."""
    scheme, _, bearer = (authorization or "").partition(" ")
    secret = x_access_token or (bearer.strip() if scheme.lower() == "bearer" else None)
    async with context.db.transaction() as session:
        return await authenticate(session, secret)


async def _server_caller(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    caller.require_api_key()
    return caller


# A client token is good for capture, ingest and the WebSocket: those routes take `AnyCaller`.
AnyCaller = Annotated[Caller, Depends(any_caller)]
ServerCaller = Annotated[Caller, Depends(_server_caller)]


async def _collection(collection_id: str, caller: ServerCaller, session: Session) -> Collection:
    return await get_collection(session, caller.account_id, collection_id)


PathCollection = Annotated[Collection, Depends(_collection)]


def require_owner(caller: Caller, account_id: str) -> None:
    """Raises `Unauthenticated` when a client token is used on another account's session or stream."""
    if caller.account_id != account_id:
        raise Unauthenticated("this token is not for this capture session")
