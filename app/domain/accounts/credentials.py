"""Checks API keys and client tokens, and makes both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Forbidden, InvalidRequest, Unauthenticated
from app.base.ids import new_id, new_secret, utc_now
from app.domain.accounts.models import Account, ApiKey, ClientToken

MAX_TOKEN_SECONDS = 7 * 86_400
DEFAULT_TOKEN_SECONDS = 86_400  # what both SDKs send by default
MAX_NAME_CHARACTERS = 200
_HINT_CHARACTERS = 4

CredentialKind = Literal["api_key", "client_token"]


class Scope(StrEnum):
    """What a key may do: look, change things, and hand out keys and say how long things are kept."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


ALL_SCOPES = tuple(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: an account, by its key or by a client token that it handed out.

    `capture_session_id` and `channels` say what a token is bound to; None: to nothing.
    """

    account_id: str
    kind: CredentialKind
    credential_id: str
    scopes: frozenset[Scope] = frozenset()
    capture_session_id: str | None = None
    channels: frozenset[str] | None = None

    def require_api_key(self) -> None:
        """Raises `Forbidden` for a client token: it is good for capture and the WebSocket only."""
        if self.kind != "api_key":
            raise Forbidden("a client token may not do this: use the API key on your server")

    def require_scope(self, scope: Scope) -> None:
        """Raises `Forbidden` for a key without this scope; tokens have none and are not asked."""
        if self.kind == "api_key" and scope not in self.scopes:
            raise Forbidden(f"this API key may not do this: it lacks the scope {scope}", code="missing_scope")

    def require_session(self, account_id: str, capture_session_id: str | None) -> None:
        """Raises `Unauthenticated` when a client token is used on another session than its own."""
        bound = self.capture_session_id
        if self.kind == "client_token" and (
            self.account_id != account_id or bound not in (None, capture_session_id)
        ):
            raise Unauthenticated("this token is not for this capture session")

    def require_channel(self, name: str) -> None:
        """Raises `Forbidden` for a channel that the token is not bound to."""
        if self.channels is not None and name not in self.channels:
            raise Forbidden(f"this token is not for the channel {name}", code="channel_not_granted")


class RefusedCredential(Unauthenticated):
    """A credential that once was good: `outcome` is `expired` or `revoked`."""

    def __init__(
        self, message: str, *, account_id: str, kind: CredentialKind, credential_id: str, outcome: str
    ) -> None:
        super().__init__(message)
        self.account_id = account_id
        self.kind = kind
        self.credential_id = credential_id
        self.outcome = outcome


def _hash(secret: str) -> str:
    # A plain hash is enough: keys and tokens are 192 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


async def authenticate(session: AsyncSession, secret: str | None) -> Caller:
    """Return the caller behind `secret`, read anew each time, so that a revoked one is refused at once.

    Raises `Unauthenticated`: missing or unknown; `RefusedCredential`: revoked or expired.
    """
    if not secret:
        raise Unauthenticated("no credential: send the API key or client token in x-access-token")
    key = await session.scalar(select(ApiKey).where(ApiKey.secret_hash == _hash(secret)))
    if key is not None:
        _check(key, "api_key", "this API key has expired: it was replaced by another one")
        scopes = frozenset(Scope(scope) for scope in key.scopes)
        return Caller(key.account_id, "api_key", key.id, scopes)
    token = await session.scalar(select(ClientToken).where(ClientToken.secret_hash == _hash(secret)))
    if token is None:
        raise Unauthenticated("unknown or revoked API key or token")
    _check(token, "client_token", "this client token has expired: ask your backend for a new one")
    return Caller(
        token.account_id,
        "client_token",
        token.id,
        capture_session_id=token.capture_session_id,
        channels=None if token.channels is None else frozenset(token.channels),
    )


def _check(row: ApiKey | ClientToken, kind: CredentialKind, expired: str) -> None:
    if row.revoked_at is not None:
        message, outcome = "unknown or revoked API key or token", "revoked"
    elif row.expires_at is not None and row.expires_at <= utc_now():
        message, outcome = expired, "expired"
    else:
        return
    raise RefusedCredential(
        message, account_id=row.account_id, kind=kind, credential_id=row.id, outcome=outcome
    )


async def create_client_token(
    session: AsyncSession,
    account_id: str,
    *,
    expires_in_seconds: int | None,
    user_id: str | None,
    capture_session_id: str | None = None,
    channels: Sequence[str] | None = None,
) -> tuple[str, ClientToken]:
    """Make a client token; returns its secret, which is shown once, and its row.

    Raises `InvalidRequest` when `expires_in_seconds` is not between 1 second and 7 days, and for channels
    without a session.
    """
    seconds = DEFAULT_TOKEN_SECONDS if expires_in_seconds is None else expires_in_seconds
    if not 1 <= seconds <= MAX_TOKEN_SECONDS:
        raise InvalidRequest(f"expires_in must be from 1 to {MAX_TOKEN_SECONDS} seconds", field="expires_in")
    if channels is not None and capture_session_id is None:
        raise InvalidRequest("channels need the session_id that they belong to", field="channels")
    secret = new_secret("st")
    token = ClientToken(
        id=new_id("tok"),
        account_id=account_id,
        user_id=user_id,
        secret_hash=_hash(secret),
        expires_at=utc_now() + timedelta(seconds=seconds),
        capture_session_id=capture_session_id,
        channels=None if channels is None else sorted(set(channels)),
    )
    session.add(token)
    await session.flush()
    return secret, token


async def create_api_key(
    session: AsyncSession,
    account_id: str,
    *,
    name: str,
    secret: str | None = None,
    scopes: Sequence[Scope] = ALL_SCOPES,
) -> str:
    """Make an API key of an account, or register the given `secret` as one; returns the secret."""
    secret, _ = await add_api_key(session, account_id, name=name, secret=secret, scopes=scopes)
    return secret


async def add_api_key(
    session: AsyncSession,
    account_id: str,
    *,
    name: str,
    secret: str | None = None,
    scopes: Sequence[Scope] = ALL_SCOPES,
) -> tuple[str, ApiKey]:
    """The same; returns the key's row, too. Raises `InvalidRequest` without a name or scopes."""
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"name must have 1 to {MAX_NAME_CHARACTERS} characters", field="name")
    if not scopes:
        raise InvalidRequest(f"scopes must name at least one of {', '.join(Scope)}", field="scopes")
    secret = secret or new_secret("sk")
    key = ApiKey(
        id=new_id("key"),
        account_id=account_id,
        name=name,
        secret_hash=_hash(secret),
        hint=secret[-_HINT_CHARACTERS:] if len(secret) > 4 * _HINT_CHARACTERS else None,
        scopes=[scope.value for scope in Scope if scope in scopes],
    )
    session.add(key)
    await session.flush()
    return secret, key


async def create_account(session: AsyncSession, name: str) -> str:
    """Make an account; returns its id."""
    account = Account(id=new_id("acc"), name=name)
    session.add(account)
    await session.flush()
    return account.id


async def first_account(session: AsyncSession) -> str:
    """The oldest account, made where there is none."""
    oldest = await session.scalar(select(Account.id).order_by(Account.created_at).limit(1))
    return oldest or await create_account(session, "default")


async def ensure_first_key(session: AsyncSession, secret: str) -> None:
    """Make `secret` a working key of the first account. Idempotent: one that was revoked stays so."""
    if await session.scalar(select(ApiKey.id).where(ApiKey.secret_hash == _hash(secret))):
        return
    await create_api_key(session, await first_account(session), name="first key", secret=secret)
