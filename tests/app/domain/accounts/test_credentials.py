import pytest
from sqlalchemy import delete, select, text, update

from app.base.errors import Forbidden, InvalidRequest, Unauthenticated
from app.base.ids import utc_now
from app.domain.accounts.credentials import (
    DEFAULT_TOKEN_SECONDS,
    MAX_TOKEN_SECONDS,
    Caller,
    Scope,
    authenticate,
    create_account,
    create_client_token,
    ensure_first_key,
)
from app.domain.accounts.models import Account, ApiKey, ClientToken
from app.process import Context
from tests.fixtures.factories import make_tenant


async def who(context: Context, secret: str | None) -> Caller:
    async with context.db.transaction() as session:
        return await authenticate(session, secret)


async def test_a_key_and_a_token_stand_for_their_account(context: Context) -> None:
    tenant, _ = await make_tenant(context), await make_tenant(context)
    by_key = await who(context, tenant.api_key)
    assert (by_key.account_id, by_key.kind) == (tenant.account_id, "api_key")
    assert by_key.scopes == set(Scope)
    caller = await who(context, tenant.client_token)
    assert (caller.account_id, caller.kind) == (tenant.account_id, "client_token")
    with pytest.raises(Forbidden):
        caller.require_api_key()


async def test_no_secret_is_in_the_database(context: Context) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        for table in ("api_keys", "client_tokens"):
            rows = " ".join(await session.scalars(text(f"select row_to_json(t)::text from {table} t")))
            assert rows
            for secret in (tenant.api_key, tenant.client_token):
                assert secret not in rows
                assert secret[3:] not in rows


async def test_what_is_no_credential(context: Context) -> None:
    for secret in [None, "", "sk-none", "st-none", "x" * 10_000, "ключ"]:
        await make_tenant(context)
        with pytest.raises(Unauthenticated) as refused:
            await who(context, secret)
        assert not secret or secret not in refused.value.message


async def test_a_hash_is_no_credential(context: Context) -> None:
    await make_tenant(context)
    async with context.db.transaction() as session:
        stored = await session.scalar(select(ApiKey.secret_hash))
    with pytest.raises(Unauthenticated):
        await who(context, stored)


async def test_a_token_ends_and_a_key_can_be_revoked(context: Context) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        await session.execute(update(ClientToken).values(expires_at=utc_now()))
        await session.execute(update(ApiKey).values(revoked_at=utc_now()))
    with pytest.raises(Unauthenticated, match="expired"):
        await who(context, tenant.client_token)
    with pytest.raises(Unauthenticated, match="revoked"):
        await who(context, tenant.api_key)


async def test_credentials_go_with_their_account(context: Context) -> None:
    async with context.db.transaction() as session:
        account_id = await create_account(session, "short-lived")
        secret, _ = await create_client_token(session, account_id, expires_in_seconds=60, user_id=None)
    async with context.db.transaction() as session:
        await session.execute(delete(Account).where(Account.id == account_id))
    with pytest.raises(Unauthenticated):
        await who(context, secret)


async def test_how_long_a_token_may_live(context: Context) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        for asked, given in [(None, DEFAULT_TOKEN_SECONDS), (1, 1), (MAX_TOKEN_SECONDS, MAX_TOKEN_SECONDS)]:
            _, token = await create_client_token(
                session, tenant.account_id, expires_in_seconds=asked, user_id=None
            )
            assert given - 60 < (token.expires_at - utc_now()).total_seconds() <= given
        for wrong in (0, -1, MAX_TOKEN_SECONDS + 1, 10**30):
            with pytest.raises(InvalidRequest) as refused:
                await create_client_token(session, tenant.account_id, expires_in_seconds=wrong, user_id=None)
            assert refused.value.field == "expires_in"


async def test_the_first_key_is_made_once(context: Context) -> None:
    for secret in ("sk-first", "sk-first", "sk-second"):
        async with context.db.transaction() as session:
            await ensure_first_key(session, secret)
    assert (await who(context, "sk-first")).account_id == (await who(context, "sk-second")).account_id
    async with context.db.transaction() as session:
        assert len((await session.scalars(select(Account.id))).all()) == 1
        assert len((await session.scalars(select(ApiKey.id))).all()) == 2
