"""An operation has ended: removes what its tries have left in storage."""

import logging
from typing import get_args

from sqlalchemy import select

from app.domain.assets.models import Asset
from app.domain.assets.service import AssetKind, asset_id_of
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind
from app.domain.uploads.service import forget_upload
from app.process import Context
from app.storage.keys import asset_prefix, download_prefix, upload_key

logger = logging.getLogger(__name__)

_MAKES: dict[str, tuple[AssetKind, ...]] = {
    OperationKind.RENDER_TIMELINE: ("video",),
    OperationKind.IMPORT_UPLOAD: get_args(AssetKind),
}


async def tidy_operation(context: Context, operation_id: str) -> None:
    """Delete what serves nobody. Harmless when run again, or too early; exports have their own tidying."""
    async with context.db.transaction() as session:
        operation = await session.get(Operation, operation_id)
    if operation is None:
        return
    asset_ids = [asset_id_of(kind, operation.id) for kind in _MAKES.get(operation.kind, ())]
    prefixes = [asset_prefix(operation.account_id, asset_id) for asset_id in asset_ids]
    if operation.kind == OperationKind.MAKE_DOWNLOAD:
        prefixes.append(download_prefix(operation.account_id, operation.id))
    # Listed before it is seen to have ended: what a run that is begun again puts there is not among them.
    found = [key for prefix in prefixes for key in await context.storage.list_keys(prefix)]
    async with context.db.transaction() as session:
        operation = await session.get(Operation, operation_id)
        if operation is None or operation.status not in ("done", "failed"):
            return
        rows = await session.execute(
            select(Asset.storage_key, Asset.thumbnail_key).where(Asset.id.in_(asset_ids))
        )
        kept = {key for row in rows for key in row} | {(operation.result or {}).get("storage_key")}
    left = [key for key in found if key not in kept]
    for key in left:
        await context.storage.delete(key)
    if operation.status == "failed" and "url" in operation.request:
        await _drop_fetched(context, operation.account_id, operation.request["upload_id"])
    logger.info("%d leftovers of %s deleted", len(left), operation.id)


async def _drop_fetched(context: Context, account_id: str, upload_id: str) -> None:
    """Nobody else knows of a file that was fetched; one that was uploaded may be asked for again."""
    await context.storage.delete(upload_key(account_id, upload_id))
    async with context.db.transaction() as session:
        await forget_upload(session, upload_id)
