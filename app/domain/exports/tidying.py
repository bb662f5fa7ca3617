"""What an export leaves behind: the mix, converted pictures, and the files of tries that were cut short."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.assets.models import Asset
from app.domain.assets.service import asset_id_of
from app.domain.exports.models import ConvertedRun, MixWindow
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams.service import list_session_streams
from app.storage.keys import asset_prefix, conversion_prefix, mix_prefix


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Every object under `prefixes` that is none of the `kept_keys` serves nobody."""

    prefixes: tuple[str, ...]
    kept_keys: frozenset[str]


async def take_leftovers(session: AsyncSession, session_id: str) -> Leftovers | None:
    """Forget what was made for the session's export, and what may be deleted; None before it has ended."""
    capture = await session.get(CaptureSession, session_id)
    if capture is None or capture.status not in (Status.EXPORTED, Status.FAILED):
        return None
    for made in (MixWindow, ConvertedRun):
        await session.execute(delete(made).where(made.capture_session_id == session_id))
    displays = await session.scalars(
        select(Operation.id).where(
            Operation.account_id == capture.account_id,
            Operation.kind == OperationKind.EXPORT_DISPLAY.value,
            Operation.request["capture_session_id"].astext == session_id,
            Operation.status.in_(("done", "failed")),
        )
    )
    asset_ids = {asset_id_of("video", source_id) for source_id in (capture.id, *displays)}
    for stream in await list_session_streams(session, session_id):
        asset_ids.add(asset_id_of("video" if stream.media_type == "video" else "audio", stream.id))
    kept = await session.execute(
        select(Asset.storage_key, Asset.thumbnail_key).where(Asset.id.in_(asset_ids))
    )
    return Leftovers(
        prefixes=(
            mix_prefix(capture.account_id, session_id),
            conversion_prefix(capture.account_id, session_id),
            *(asset_prefix(capture.account_id, asset_id) for asset_id in sorted(asset_ids)),
        ),
        kept_keys=frozenset(key for row in kept for key in row if key),
    )
