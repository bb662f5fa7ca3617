"""API keys and client tokens after they were made: listed, rotated, revoked, and swept up when long dead."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from app.base.ids import utc_now
from app.domain.accounts.credentials import Scope, add_api_key
from app.domain.accounts.models import ApiKey, ClientToken

DEFAULT_GRACE_SECONDS = 86_400
MAX_GRACE_SECONDS = 30 * 86_400
KEPT_AFTER_EXPIRY = timedelta(days=7)  # for so long an expired token is told that it has expired


async def list_api_keys(session: AsyncSession, account_id: str) -> Sequence[ApiKey]:
    """All keys of the account, the newest first, those that were revoked among them."""
    rows = await session.scalars(
        select(ApiKey).where(ApiKey.account_id == account_id).order_by(ApiKey.created_at.desc(), ApiKey.id)
    )
    return rows.all()


async def rotate_api_key(
    session: AsyncSession, account_id: str, key_id: str, *, grace_seconds: int | None
) -> tuple[str, ApiKey, ApiKey]:
    """Make a key of the same name and scopes; the old one lives on for `grace_seconds`.

    Returns the new secret, its row and the old one's. Raises `NotFound`; `Conflict` for a key that is
    revoked, or was rotated already; `InvalidRequest`.
    """
    seconds = DEFAULT_GRACE_SECONDS if grace_seconds is None else grace_seconds
    if not 0 <= seconds <= MAX_GRACE_SECONDS:
        raise InvalidRequest(
            f"grace_seconds must be from 0 to {MAX_GRACE_SECONDS}: 30 days", field="grace_seconds"
        )
    old = await _api_key(session, account_id, key_id)
    if old.revoked_at is not None or old.expires_at is not None:
        raise Conflict("this key was revoked or replaced before: rotate the one that replaced it")
    secret, new = await add_api_key(
        session, account_id, name=old.name, scopes=[Scope(scope) for scope in old.scopes]
    )
    old.expires_at = utc_now() + timedelta(seconds=seconds)
    return secret, new, old


async def revoke_api_key(session: AsyncSession, account_id: str, key_id: str) -> ApiKey:
    """Refuse the key from now on; again is no error. Raises `NotFound`."""
    key = await _api_key(session, account_id, key_id)
    key.revoked_at = key.revoked_at or utc_now()
    return key


async def account_of_key(session: AsyncSession, key_id: str) -> str:
    """Whose key it is, for the operator, who is asked for no credential. Raises `NotFound`."""
    account_id = await session.scalar(select(ApiKey.account_id).where(ApiKey.id == key_id))
    if account_id is None:
        raise NotFound(f"no API key {key_id}")
    return account_id


async def list_client_tokens(
    session: AsyncSession, account_id: str, *, capture_session_id: str | None, limit: int
) -> Sequence[ClientToken]:
    """The account's tokens that are still good, or those of one session; the newest first."""
    query = select(ClientToken).where(
        ClientToken.account_id == account_id,
        ClientToken.revoked_at.is_(None),
        ClientToken.expires_at > utc_now(),
    )
    if capture_session_id is not None:
        query = query.where(ClientToken.capture_session_id == capture_session_id)
    rows = await session.scalars(query.order_by(ClientToken.created_at.desc(), ClientToken.id).limit(limit))
    return rows.all()


async def revoke_client_token(session: AsyncSession, account_id: str, token_id: str) -> ClientToken:
    """Refuse the token from now on; again is no error. Raises `NotFound`."""
    token = await session.get(ClientToken, token_id)
    if token is None or token.account_id != account_id:
        raise NotFound(f"no client token {token_id}")
    token.revoked_at = token.revoked_at or utc_now()
    return token


async def revoke_session_tokens(session: AsyncSession, account_id: str, capture_session_id: str) -> list[str]:
    """Refuse every token that is bound to the session; returns the ids of those that were still good."""
    rows = await session.scalars(
        update(ClientToken)
        .where(
            ClientToken.account_id == account_id,
            ClientToken.capture_session_id == capture_session_id,
            ClientToken.revoked_at.is_(None),
        )
        .values(revoked_at=utc_now())
        .returning(ClientToken.id)
    )
    return list(rows)


async def check_not_revoked(session: AsyncSession, credential_id: str) -> None:
    """Raises `Unauthenticated` for a key or token that was revoked, or is no longer known."""
    good = (
        select(kind.id).where(kind.id == credential_id, kind.revoked_at.is_(None))
        for kind in (ApiKey, ClientToken)
    )
    if await session.scalar(union_all(*good)) is None:
        raise Unauthenticated("the key or token of this ticket was revoked")


async def purge_tokens(session: AsyncSession) -> None:
    """Forget tokens that expired long ago."""
    await session.execute(delete(ClientToken).where(ClientToken.expires_at < utc_now() - KEPT_AFTER_EXPIRY))


async def _api_key(session: AsyncSession, account_id: str, key_id: str) -> ApiKey:
    key = await session.get(ApiKey, key_id, with_for_update=True)
    if key is None or key.account_id != account_id:
        raise NotFound(f"no API key {key_id}")
    return key
