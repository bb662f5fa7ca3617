import asyncio

import pytest

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.domain.accounts.credentials import create_account
from app.domain.collections import service as collections
from app.process import Context
from tests.fixtures.factories import make_tenant


async def test_the_default_collection_is_made_once(context: Context) -> None:
    async with context.db.transaction() as session:
        account_id = await create_account(session, "new")

    async def ask() -> str:
        async with context.db.transaction() as session:
            return (await collections.get_collection(session, account_id, "default")).id

    assert len(set(await asyncio.gather(*(ask() for _ in range(5))))) == 1


async def test_collections_are_found_by_their_account_alone(context: Context) -> None:
    one, other = await make_tenant(context), await make_tenant(context)
    async with context.db.transaction() as session:
        found = await collections.get_collection(session, one.account_id, one.collection_id)
        assert found.is_default
        for unknown in (other.collection_id, "c-none", ""):
            with pytest.raises(NotFound):
                await collections.get_collection(session, one.account_id, unknown)


async def test_lists_begin_with_the_default_one(context: Context) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        made = await collections.create_collection(
            session, tenant.account_id, name="Second", description="d", is_public=True
        )
        listed = await collections.list_collections(session, tenant.account_id)
        assert [row.id for row in listed] == [tenant.collection_id, made.id]
        with pytest.raises(InvalidRequest) as refused:
            await collections.create_collection(
                session, tenant.account_id, name="  ", description="", is_public=False
            )
        assert refused.value.field == "name"


async def test_only_an_empty_one_that_is_not_the_default_may_go(context: Context) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        default = await collections.get_collection(session, tenant.account_id, "default")
        made = await collections.create_collection(
            session, tenant.account_id, name="Second", description="", is_public=False
        )
        with pytest.raises(Conflict, match="default"):
            await collections.delete_collection(session, default, is_empty=True)
        with pytest.raises(Conflict, match="still holds"):
            await collections.delete_collection(session, made, is_empty=False)
        await collections.delete_collection(session, made, is_empty=True)
    async with context.db.transaction() as session:
        assert len(await collections.list_collections(session, tenant.account_id)) == 1
