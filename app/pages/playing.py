"""What a slug plays: of each part the whole fragments around it, as a file and a stretch of time of its own.

A part's file is its asset's header and those fragments, so that the slug of a cut opens the cut alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.domain.assets.models import Asset
from app.domain.assets.playback import Part, open_playback
from app.media.hls import FragmentIndex, covering_fragments
from app.wire.deps import Session

_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PlayedPart:
    """One part as it is played.

    `index` holds the played fragments: places count in the part's file, times in the asset.
    `starts_at_seconds` is when the part begins in the playback.
    """

    name: str
    asset: Asset
    index: FragmentIndex
    skipped_bytes: int  # of the stored file, between its header and the first fragment
    starts_at_seconds: float

    @property
    def asset_start_seconds(self) -> float:
        return self.index.fragments[0].start_seconds

    @property
    def asset_end_seconds(self) -> float:
        return self.index.fragments[-1].end_seconds

    @property
    def duration_seconds(self) -> float:
        return self.asset_end_seconds - self.asset_start_seconds

    @property
    def size_bytes(self) -> int:
        last = self.index.fragments[-1]
        return last.offset_bytes + last.length_bytes

    def stored_ranges(self, first: int, last: int) -> list[tuple[int, int]]:
        """Where bytes `first` to `last` of the part's file lie in storage: offsets and lengths."""
        header = self.index.init_length_bytes
        ranges = []
        if first < header:
            ranges.append((first, min(last + 1, header) - first))
        if last >= header:
            start = max(first, header)
            ranges.append((start + self.skipped_bytes, last + 1 - start))
        return ranges


@dataclass(frozen=True, slots=True)
class Playing:
    """A playback, ready to be played; `wanted_from_seconds` is where what was asked for begins in it."""

    slug: str
    title: str
    parts: Sequence[PlayedPart]
    wanted_from_seconds: float

    @property
    def duration_seconds(self) -> float:
        return sum(part.duration_seconds for part in self.parts)

    @property
    def has_picture(self) -> bool:
        return any(part.asset.kind == "video" for part in self.parts)

    @property
    def thumbnail_key(self) -> str | None:
        """The asset's picture, where the playback begins with it; a cut does not show what it leaves out."""
        first = self.parts[0]
        return first.asset.thumbnail_key if first.asset_start_seconds == 0 else None

    @property
    def captured_at(self) -> datetime | None:
        """The wall clock of its second zero."""
        first = self.parts[0]
        if first.asset.started_at_us is None:
            return None
        seconds = first.asset.started_at_us / 1e6 + first.asset_start_seconds
        return _EPOCH + timedelta(seconds=seconds)


async def open_playing(session: AsyncSession, slug: str) -> Playing:
    """Find what `slug` plays. Raises `NotFound`, also for what cannot be a slug."""
    if not _SLUG.fullmatch(slug):
        raise NotFound("nothing is playable here")
    playback, parts = await open_playback(session, slug)
    played = _play(parts)
    if not played:
        raise NotFound("nothing is playable here")
    first = played[0]
    wanted = next(part.start_seconds for part in parts if part.asset is first.asset)
    return Playing(slug, playback.title, played, max(0.0, wanted - first.asset_start_seconds))


async def _from_path(slug: str, session: Session) -> Playing:
    return await open_playing(session, slug)


PathPlaying = Annotated[Playing, Depends(_from_path)]


def _play(parts: Sequence[Part]) -> list[PlayedPart]:
    played: list[PlayedPart] = []
    starts_at_seconds = 0.0
    for part in parts:
        index = FragmentIndex.from_json(part.asset.hls_index or {})
        fragments = covering_fragments(index, part.start_seconds, part.end_seconds)
        if not fragments:
            continue
        skipped_bytes = fragments[0].offset_bytes - index.init_length_bytes
        moved = tuple(replace(one, offset_bytes=one.offset_bytes - skipped_bytes) for one in fragments)
        extension = part.asset.storage_key.rpartition(".")[2]
        one = PlayedPart(
            name=f"{len(played)}.{extension}",
            asset=part.asset,
            index=FragmentIndex(index.init_length_bytes, moved, fragments[-1].end_seconds),
            skipped_bytes=skipped_bytes,
            starts_at_seconds=starts_at_seconds,
        )
        played.append(one)
        starts_at_seconds += one.duration_seconds
    return played
