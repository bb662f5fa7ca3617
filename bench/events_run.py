"""What the parts of `bench.events` share: the product's processes, and an event."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.domain.outbox.events import Route, emit
from app.domain.outbox.session_events import SessionMoved
from app.process import Context
from bench.child import ROOT
from tests.fixtures.factories import Tenant

DATA = {"rtstreams": [{"rtstream_id": "rts-1", "name": "mic:default", "media_types": ["audio"]}]}


@asynccontextmanager
async def process(module: str, environment: dict[str, str], *arguments: str) -> AsyncIterator[None]:
    """One of the product's processes, as `capture up` starts it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, env=os.environ | environment
    )
    try:
        yield
    finally:
        child.terminate()
        await asyncio.wait_for(child.wait(), 30)


async def commit_event(context: Context, tenant: Tenant, session_id: str) -> tuple[str, float]:
    """One event in a transaction of its own; returns its id and when its commit had returned."""
    async with context.db.transaction() as session:
        message = await emit(
            session,
            SessionMoved(session_id, "user-1", "active", DATA),
            account_id=tenant.account_id,
            route=Route(tenant.collection_id),
        )
    return message.message_id or "", time.time()
