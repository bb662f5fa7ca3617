"""The migrations and the models say the same, and there is a way back."""

import asyncio
import os
import subprocess
import sys
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from app.base.db import Base
from tests.fixtures.servers import migrate

LIMIT_SECONDS = 60


def on_database(url: str, work: Any) -> Any:
    async def run() -> Any:
        engine = create_async_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": False}
    )
    return list(compare_metadata(context, Base.metadata))


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def alembic(url: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "alembic", "-c", "pyproject.toml", *arguments]
    ended = subprocess.run(
        command, env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert ended.returncode == 0, ended.stderr


def test_the_migrations_make_what_the_models_say(database_url: str) -> None:
    assert on_database(database_url, differences) == []
    assert set(Base.metadata.tables) | {"alembic_version"} == on_database(database_url, tables)


def test_there_is_a_way_back_and_forth_again(database_url: str) -> None:
    alembic(database_url, "downgrade", "base")
    assert on_database(database_url, tables) == {"alembic_version"}
    migrate(database_url)
    migrate(database_url)  # an operator may say it twice
    assert on_database(database_url, differences) == []


def test_there_is_one_line_of_migrations() -> None:
    assert len(ScriptDirectory("migrations").get_heads()) == 1
