"""Tells whoever asked for an operation, at the URL that came with the request, how it ended."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.operations.models import Operation
from app.domain.outbox.account_events import OperationEnded
from app.domain.outbox.events import Route, emit

CALLBACK_FIELD = "callback_url"  # of an operation's request


async def tell_of_success(session: AsyncSession, operation: Operation, data: dict[str, Any]) -> None:
    """Send the final envelope (contract §2.5) in the transaction that finishes the operation."""
    await _tell(session, operation, {"success": True, "data": data})


async def tell_of_failure(session: AsyncSession, operation: Operation) -> None:
    """Send the envelope of a failure in the transaction that ends the operation."""
    await _tell(session, operation, {"success": False, "message": operation.error or "the operation failed"})


async def _tell(session: AsyncSession, operation: Operation, body: dict[str, Any]) -> None:
    url = operation.request.get(CALLBACK_FIELD)
    if not url:
        return
    await emit(
        session,
        OperationEnded(operation.id, body),
        account_id=operation.account_id,
        route=Route(operation.request.get("collection_id")),
        callback_url=url,
    )
