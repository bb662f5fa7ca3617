import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.domain.accounts.models import Account
from app.process import Context


async def test_a_block_that_ends_commits_and_one_that_raises_leaves_nothing(context: Context) -> None:
    async with context.db.transaction() as session:
        session.add(Account(id="acc-1", name="kept"))

    async def fail() -> None:
        async with context.db.transaction() as session:
            session.add(Account(id="acc-2", name="dropped"))
            await session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with context.db.transaction() as session:
        assert list(await session.scalars(select(Account.name))) == ["kept"]


async def test_an_abandoned_transaction_does_not_hold_its_locks_for_ever(context: Context) -> None:
    async with context.db.transaction() as session:
        assert await session.scalar(text("show idle_in_transaction_session_timeout")) == "30s"


async def test_errors_of_statements_do_not_repeat_what_was_said(context: Context) -> None:
    async with context.db.transaction() as session:
        with pytest.raises(DBAPIError) as raised:
            await session.execute(text("select cast(:said as text), 1 / 0").bindparams(said="spoken words"))
        await session.rollback()
    assert "division by zero" in str(raised.value)
    assert "spoken" not in str(raised.value)
