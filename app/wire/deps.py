"""What routes ask for: the process's context, a transaction, and who is calling."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.accounts.credentials import Caller, RefusedCredential, Scope, authenticate
from app.domain.assets.links import Links
from app.domain.collections.models import Collection
from app.domain.collections.service import get_collection
from app.process import Context
from app.wire.rate_limit import RateLimit
from app.wire.uses import Uses


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
    connection: HTTPConnection,
    context: AppContext,
    x_access_token: Annotated[str | None, Header()] = None,
    authorization: Annotated[str | None, Header()] = None,
) -> Caller:
    """Who asks, by either header. Raises `Unauthenticated`."""
    scheme, _, bearer = (authorization or "").partition(" ")
    secret = x_access_token or (bearer.strip() if scheme.lower() == "bearer" else None)
    uses: Uses = connection.app.state.uses
    address = client_address(connection)
    try:
        async with context.db.transaction() as session:
            caller = await authenticate(session, secret)
    except RefusedCredential as error:
        await uses.note(error.account_id, error.kind, error.credential_id, address, error.outcome)
        raise
    rate_limit: RateLimit = connection.app.state.rate_limit
    await rate_limit.take(caller.credential_id)
    await uses.note(caller.account_id, caller.kind, caller.credential_id, address)
    return caller


async def _caller_for_method(
    connection: HTTPConnection, caller: Annotated[Caller, Depends(any_caller)]
) -> Caller:
    caller.require_scope(Scope.READ if connection.scope["method"] in ("GET", "HEAD") else Scope.WRITE)
    return caller


async def _reading_caller(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    caller.require_api_key()
    caller.require_scope(Scope.READ)
    return caller


async def _server_caller(caller: Annotated[Caller, Depends(_caller_for_method)]) -> Caller:
    caller.require_api_key()
    return caller


async def _admin_caller(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    caller.require_api_key()
    caller.require_scope(Scope.ADMIN)
    return caller


# A client token is good for capture, ingest and the WebSocket: those routes take `AnyCaller`. A key needs the
# scope `read` for GET and `write` for all else, save for what says `ReadingCaller`, since it only looks, and
# what says `AdminCaller`.
AnyCaller = Annotated[Caller, Depends(_caller_for_method)]
ServerCaller = Annotated[Caller, Depends(_server_caller)]
ReadingCaller = Annotated[Caller, Depends(_reading_caller)]
AdminCaller = Annotated[Caller, Depends(_admin_caller)]


def client_address(connection: HTTPConnection) -> str | None:
    """Where a request comes from; behind a proxy that uvicorn trusts, where that says so."""
    return connection.client.host if connection.client else None


Address = Annotated[str | None, Depends(client_address)]


async def _collection(collection_id: str, caller: ServerCaller, session: Session) -> Collection:
    return await get_collection(session, caller.account_id, collection_id)


PathCollection = Annotated[Collection, Depends(_collection)]


def _links(context: AppContext) -> Links:
    return Links(context.settings)


AppLinks = Annotated[Links, Depends(_links)]
