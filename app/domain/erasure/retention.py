"""Erases what has been kept for as long as its collection says, and tries again what could not be erased."""

import logging
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.base.errors import Conflict
from app.base.ids import utc_now
from app.domain.assets.models import Asset
from app.domain.collections.models import Collection
from app.domain.erasure.service import AT_REST, erase_asset, erase_session
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, restart_operation
from app.domain.sessions.models import CaptureSession

logger = logging.getLogger(__name__)

BATCH = 100


async def expired_sessions(session: AsyncSession, default_days: int) -> list[str]:
    """Capture sessions that have ended and are past their collection's retention, the oldest first."""
    rows = await session.scalars(
        select(CaptureSession.id)
        .join(Collection, Collection.id == CaptureSession.collection_id)
        .where(
            CaptureSession.deleted_at.is_(None),
            CaptureSession.status.in_(AT_REST),
            *_is_past(CaptureSession.status_changed_at, default_days),
        )
        .order_by(CaptureSession.status_changed_at)
        .limit(BATCH)
    )
    return list(rows)


async def expired_assets(session: AsyncSession, default_days: int) -> list[str]:
    """Videos, audios and images past their collection's retention, the oldest first."""
    rows = await session.scalars(
        select(Asset.id)
        .join(Collection, Collection.id == Asset.collection_id)
        .where(Asset.deleted_at.is_(None), *_is_past(Asset.created_at, default_days))
        .order_by(Asset.created_at)
        .limit(BATCH)
    )
    return list(rows)


async def erase_expired_session(session: AsyncSession, session_id: str) -> None:
    """Erase it, unless it is gone or something is going on with it: then the next round will."""
    capture = await session.get(CaptureSession, session_id)
    if capture is not None and capture.deleted_at is None:
        try:
            await erase_session(session, capture)
        except Conflict as error:
            logger.info("kept beyond its retention for now: %s", error.message)


async def erase_expired_asset(session: AsyncSession, asset_id: str) -> None:
    """Erase it, unless it is gone."""
    asset = await session.get(Asset, asset_id)
    if asset is not None and asset.deleted_at is None:
        await erase_asset(session, asset)


async def restart_failed_erasures(session: AsyncSession) -> None:
    """Storage may have been away for longer than an operation is tried: what was promised to go must go."""
    failed = await session.scalars(
        select(Operation).where(Operation.kind == OperationKind.ERASE.value, Operation.status == "failed")
    )
    for operation in failed:
        await restart_operation(session, operation)


def _is_past(since: InstrumentedAttribute[object], default_days: int) -> tuple[ColumnElement[bool], ...]:
    days = func.coalesce(Collection.retention_days, default_days)
    return days > 0, since + days * timedelta(days=1) < utc_now()
