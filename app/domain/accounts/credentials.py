"""Checks API keys and client tokens, and makes both."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Forbidden, InvalidRequest, Unauthenticated
from app.base.ids import new_id, new_secret, utc_now
from app.domain.accounts.models import Account, ApiKey, ClientToken

MAX_TOKEN_SECONDS = 7 * 86_400
DEFAULT_TOKEN_SECONDS = 86_400  # what both SDKs send by default


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: an account, by its key or by a client token that it handed out."""

    account_id: str
    kind: Literal["api_key", "client_token"]

    def require_api_key(self) -> None:
        """Raises `Forbidden` for a client token: it is good for capture and the WebSocket only."""
        if self.kind != "api_key":
            raise Forbidden("a client token may not do this: use the API key on your server")


def _hash(secret: str) -> str:
    # A plain hash is enough: keys and tokens are 192 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


async def authenticate(session: AsyncSession, secret: str | None) -> Caller:
    """Return the caller behind `secret`. Raises `Unauthenticated`: missing, unknown, revoked or expired."""
    if not secret:
        raise Unauthenticated("no credential: send the API key or client token in x-access-token")
    found = await session.scalar(
        select(ApiKey.account_id).where(ApiKey.secret_hash == _hash(secret), ApiKey.revoked_at.is_(None))
    )
    if found:
        return Caller(found, "api_key")
    token = await session.scalar(select(ClientToken).where(ClientToken.secret_hash == _hash(secret)))
    if token is None:
        raise Unauthenticated("unknown or revoked API key or token")
    if token.expires_at <= utc_now():
        raise Unauthenticated("this client token has expired: ask your backend for a new one")
    return Caller(token.account_id, "client_token")


async def create_client_token(
    session: AsyncSession, account_id: str, *, expires_in_seconds: int | None, user_id: str | None
) -> tuple[str, ClientToken]:
    """Make a client token; returns its secret, which is shown once, and its row.

    Raises `InvalidRequest` when `expires_in_seconds` is not between 1 second and 7 days.
    """
    seconds = DEFAULT_TOKEN_SECONDS if expires_in_seconds is None else expires_in_seconds
    if not 1 <= seconds <= MAX_TOKEN_SECONDS:
        raise InvalidRequest(f"expires_in must be from 1 to {MAX_TOKEN_SECONDS} seconds", field="expires_in")
    secret = new_secret("st")
    token = ClientToken(
        id=new_id("tok"),
        account_id=account_id,
        user_id=user_id,
        secret_hash=_hash(secret),
        expires_at=utc_now() + timedelta(seconds=seconds),
    )
    session.add(token)
    await session.flush()
    return secret, token


async def create_api_key(
    session: AsyncSession, account_id: str, *, name: str, secret: str | None = None
) -> str:
    """Make an API key of an account, or register the given `secret` as one; returns the secret."""
    secret = secret or new_secret("sk")
    session.add(ApiKey(id=new_id("key"), account_id=account_id, name=name, secret_hash=_hash(secret)))
    await session.flush()
    return secret


async def create_account(session: AsyncSession, name: str) -> str:
    """Make an account; returns its id."""
    account = Account(id=new_id("acc"), name=name)
    session.add(account)
    await session.flush()
    return account.id


async def ensure_first_key(session: AsyncSession, secret: str) -> None:
    """Make `secret` a working key: of the oldest account, or of a first one made here. Idempotent."""
    if await session.scalar(select(ApiKey.id).where(ApiKey.secret_hash == _hash(secret))):
        return
    account_id = await session.scalar(select(Account.id).order_by(Account.created_at).limit(1))
    if account_id is None:
        account_id = await create_account(session, "default")
    await create_api_key(session, account_id, name="first key", secret=secret)
