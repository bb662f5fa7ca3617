"""Files that nobody came for: uploads that were never claimed, downloads that were kept long enough."""

import logging

from app.domain.downloads.service import delete_download, old_downloads
from app.domain.uploads.service import forget_upload, unclaimed_uploads
from app.process import Context
from app.storage.keys import download_prefix, upload_key

logger = logging.getLogger(__name__)

_HOUR_SECONDS = 3600.0


async def sweep_up(context: Context) -> None:
    """Delete some of what is due. Files go first: a row that is left is met again, a file is not."""
    try:
        await _unclaimed_uploads(context)
        await _old_downloads(context)
    except Exception:
        # Storage may be away; the next round tries again.
        logger.exception("housekeeping: sweeping up failed")


async def _unclaimed_uploads(context: Context) -> None:
    async with context.db.transaction() as session:
        due = await unclaimed_uploads(session, context.settings.upload_hours * _HOUR_SECONDS)
    for upload in due:
        await context.storage.delete(upload_key(upload.account_id, upload.id))
        async with context.db.transaction() as session:
            await forget_upload(session, upload.id)
    if due:
        logger.info("%d uploads that nobody claimed deleted", len(due))


async def _old_downloads(context: Context) -> None:
    async with context.db.transaction() as session:
        due = await old_downloads(session, context.settings.download_hours * _HOUR_SECONDS)
    for download in due:
        for key in await context.storage.list_keys(download_prefix(download.account_id, download.id)):
            await context.storage.delete(key)
        async with context.db.transaction() as session:
            await delete_download(session, download)
    if due:
        logger.info("%d old downloads deleted", len(due))
