"""Playbacks as single files to take away: each is an operation, whose result says where its file lies."""

import hashlib
import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.assets.links import read_media_grant
from app.domain.assets.playback import find_playback, open_parts
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation

MAX_NAME_CHARACTERS = 200
AT_ONCE = 100
_STREAM = re.compile(r"/media/([A-Za-z0-9_.-]{1,200})/[^/]*")
_KIND = OperationKind.MAKE_DOWNLOAD


def playback_slug(settings: Settings, link: str, *, field: str) -> str:
    """The slug in a stream's or a player's URL, which may have expired: the owner asks.

    Raises `InvalidRequest`, and `NotFound` for a forged one.
    """
    try:
        parts = urlsplit(link)
        named = parse_qs(parts.query).get("v", [""])[0] if parts.path.endswith(("/watch", "/embed")) else ""
    except ValueError:
        parts, named = urlsplit(""), ""
    found = _STREAM.search(parts.path)
    grant = found.group(1) if found else named
    if not grant:
        raise InvalidRequest(f"{field}: must be a stream_url of this server", field=field)
    return read_media_grant(settings, grant).slug


async def request_download(
    session: AsyncSession, account_id: str, slug: str, *, name: str | None, field: str
) -> Operation:
    """The operation that makes one file of a playback; the same one for the same playback and name.

    Raises `NotFound` for an unknown playback and another account's, `InvalidRequest` for one of streams.
    """
    playback = await find_playback(session, slug)
    if playback.account_id != account_id:
        raise NotFound("nothing is playable here")
    if "asset_id" not in playback.parts[0]:
        raise InvalidRequest(
            f"{field}: this is what streams have recorded: export it, and download the export", field=field
        )
    parts = await open_parts(session, playback)
    called = (name or playback.title or "download")[:MAX_NAME_CHARACTERS]
    digest = hashlib.sha256(called.encode(errors="replace")).hexdigest()[:16]
    asset_ids = sorted({part.asset.id for part in parts})
    request = {"slug": slug, "name": called, "asset_ids": asset_ids}
    operation = await request_operation(session, account_id, _KIND, f"download:{slug}:{digest}", request)
    if operation.status == "failed":
        await restart_operation(session, operation)
    return operation


async def get_download(session: AsyncSession, account_id: str, download_id: str) -> Operation:
    """Raises `NotFound` for an unknown download and another account's."""
    operation = await session.get(Operation, download_id)
    if operation is None or operation.account_id != account_id or operation.kind != _KIND.value:
        raise NotFound(f"no download {download_id}")
    return operation


async def list_downloads(session: AsyncSession, account_id: str) -> Sequence[Operation]:
    """The account's downloads, newest first."""
    rows = await session.scalars(
        select(Operation)
        .where(Operation.account_id == account_id, Operation.kind == _KIND.value)
        .order_by(Operation.created_at.desc())
    )
    return rows.all()


async def delete_download(session: AsyncSession, download: Operation) -> None:
    """Forget a download; its files, under `download_prefix`, are deleted after the commit."""
    await session.execute(delete(Operation).where(Operation.id == download.id))


async def old_downloads(session: AsyncSession, older_than_seconds: float) -> Sequence[Operation]:
    """Finished downloads that were asked for so long ago, at most `AT_ONCE`."""
    rows = await session.scalars(
        select(Operation)
        .where(
            Operation.kind == _KIND.value,
            Operation.status.in_(("done", "failed")),
            Operation.created_at < utc_now() - timedelta(seconds=older_than_seconds),
        )
        .order_by(Operation.created_at)
        .limit(AT_ONCE)
    )
    return rows.all()
