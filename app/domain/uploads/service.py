"""Keeps count of uploaded files, so that those that nobody claims can be removed."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind
from app.domain.uploads.models import Upload

AT_ONCE = 100


async def add_upload(session: AsyncSession, account_id: str, upload_id: str) -> None:
    """Say that a file is about to be stored; once however often it is said."""
    await session.execute(insert(Upload).values(id=upload_id, account_id=account_id).on_conflict_do_nothing())


async def unclaimed_uploads(session: AsyncSession, older_than_seconds: float) -> Sequence[Upload]:
    """Uploads that nobody is making an asset of, oldest first, at most `AT_ONCE`."""
    claimed = select(Operation.id).where(
        Operation.account_id == Upload.account_id,
        Operation.kind == OperationKind.IMPORT_UPLOAD.value,
        Operation.status.in_(("pending", "running")),
        Operation.request["upload_id"].astext == Upload.id,
    )
    rows = await session.scalars(
        select(Upload)
        .where(Upload.created_at < utc_now() - timedelta(seconds=older_than_seconds), ~claimed.exists())
        .order_by(Upload.created_at)
        .limit(AT_ONCE)
    )
    return rows.all()


async def forget_upload(session: AsyncSession, upload_id: str) -> None:
    """Its file is gone."""
    await session.execute(delete(Upload).where(Upload.id == upload_id))
