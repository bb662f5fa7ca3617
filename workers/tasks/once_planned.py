"""Waits, within a limit, until what an export is made of is all there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unavailable
from app.domain.operations.models import Operation
from app.process import Context

Plan = TypeVar("Plan")
LIMIT_SECONDS = 60.0
POLL_SECONDS = 0.25


async def once_planned(
    context: Context,
    operation: Operation,
    plan: Callable[[AsyncSession, Operation], Awaitable[Plan | None]],
    *,
    meanwhile: str,
) -> Plan:
    """What `plan` returns once that is not None. Raises `Unavailable` with `meanwhile` after a minute."""
    for _ in range(round(LIMIT_SECONDS / POLL_SECONDS)):
        async with context.db.transaction() as session:
            planned = await plan(session, operation)
        if planned is not None:
            return planned
        await asyncio.sleep(POLL_SECONDS)
    raise Unavailable(meanwhile)
