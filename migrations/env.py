"""Runs migrations: one at a time over all processes, never waiting long for a lock."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.base.db import Base
from app.base.settings import get_settings
from app.domain import models as _all_tables  # noqa: F401 - fills Base.metadata

ADVISORY_LOCK = 0x6F63617074  # "ocapt": two deployments must not migrate together


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("set local lock_timeout = '4s'"))
        connection.execute(text("set local statement_timeout = '60s'"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        connection.execute(text("set local statement_timeout = '5s'"))
        context.run_migrations()


async def connect_and_run() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url") or get_settings().database_url
    if not url:
        raise SystemExit("set DATABASE_URL to the Postgres that is to be migrated")
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(connect_and_run())
