"""What a slug of assets plays: of each part exactly what was asked for.

A part is whole fragments of its asset, as a file with the asset's header, and clips at its edges, which are
made when they are asked for. So the slug of a cut opens the cut alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.domain.assets.fragments import read_piece
from app.domain.assets.models import Asset, Playback
from app.domain.assets.playback import Part, open_parts
from app.media.clip import make_clip
from app.media.hls import FragmentIndex, Piece, cut_pieces, joined_fragments
from app.media.live import clip_entry
from app.media.playlist import ByteRange, Entry, MediaHeader, media_playlist
from app.pages.clips import ClipSource
from app.process import Context

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PlayedPart:
    """One part as it is played; `starts_at_seconds` is when it begins in the playback."""

    name: str
    asset: Asset
    init_length_bytes: int
    pieces: Sequence[Piece]
    starts_at_seconds: float

    @property
    def asset_start_seconds(self) -> float:
        return self.pieces[0].start_seconds

    @property
    def asset_end_seconds(self) -> float:
        return self.pieces[-1].end_seconds

    @property
    def duration_seconds(self) -> float:
        return self.asset_end_seconds - self.asset_start_seconds

    def playback_seconds(self, at_us: int) -> float:
        """When the asset's microsecond `at_us` is played, within the part."""
        within = min(max(at_us / 1e6 - self.asset_start_seconds, 0.0), self.duration_seconds)
        return round(self.starts_at_seconds + within, 3)

    def is_played(self, at_us: float) -> bool:
        """Whether the asset's microsecond `at_us` is in the part."""
        return self.asset_start_seconds <= at_us / 1e6 < self.asset_end_seconds

    @property
    def file_name(self) -> str:
        return f"{self.name}.{self.asset.storage_key.rpartition('.')[2]}"

    @property
    def whole(self) -> Piece | None:
        """What is played of the asset as it lies."""
        return next((piece for piece in self.pieces if not piece.is_edge), None)

    @property
    def skipped_bytes(self) -> int:
        """Of the stored file, between its header and what is played as it lies."""
        return self.whole.range.offset_bytes - self.init_length_bytes if self.whole else 0

    @property
    def size_bytes(self) -> int:
        return self.init_length_bytes + (self.whole.range.length_bytes if self.whole else 0)

    def edge_name(self, piece: Piece) -> str:
        """The name of an edge's clip."""
        return f"{self.name}-{'head' if piece is self.pieces[0] else 'tail'}"

    def entries(self) -> list[Entry]:
        """The part in a playlist."""
        found: list[Entry] = []
        file = MediaHeader(self.file_name, ByteRange(0, self.init_length_bytes), self.name)
        for piece in self.pieces:
            if piece.is_edge:
                made = [clip_entry(self.edge_name(piece), piece.duration_seconds)]
            else:
                made = [
                    Entry(
                        self.file_name,
                        fragment.duration_seconds,
                        file,
                        ByteRange(fragment.offset_bytes - self.skipped_bytes, fragment.length_bytes),
                    )
                    for fragment in joined_fragments(piece.fragments)
                ]
            found += [replace(made[0], after_discontinuity=True), *made[1:]]
        return found


@dataclass(frozen=True, slots=True)
class Playing:
    """A playback of assets, ready to be played."""

    slug: str
    title: str
    parts: Sequence[PlayedPart]
    is_live = False

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

    def playlist(self) -> str:
        """The HLS playlist."""
        first, *others = [entry for part in self.parts for entry in part.entries()]
        return media_playlist([replace(first, after_discontinuity=False), *others])

    def clip(self, name: str) -> ClipSource | None:
        """How the clip of this name is made."""
        for part in self.parts:
            for piece in part.pieces:
                if piece.is_edge and part.edge_name(piece) == name:
                    return _clip(part, piece)
        return None


async def open_assets(session: AsyncSession, playback: Playback) -> Playing:
    """What a playback of assets plays. Raises `NotFound`."""
    played = _play(await open_parts(session, playback))
    if not played:
        raise NotFound("nothing is playable here")
    return Playing(playback.slug, playback.title, played)


def _play(parts: Sequence[Part]) -> list[PlayedPart]:
    played: list[PlayedPart] = []
    starts_at_seconds = 0.0
    for part in parts:
        index = FragmentIndex.from_json(part.asset.hls_index or {})
        pieces = cut_pieces(index, part.start_seconds, part.end_seconds)
        if not pieces:
            continue
        one = PlayedPart(str(len(played)), part.asset, index.init_length_bytes, pieces, starts_at_seconds)
        played.append(one)
        starts_at_seconds += one.duration_seconds
    return played


def _clip(part: PlayedPart, piece: Piece) -> ClipSource:
    async def read(context: Context) -> bytes:
        return await read_piece(context.storage, part.asset, piece)

    return ClipSource(
        identity=f"{part.asset.storage_key} {piece.start_seconds:.3f} {piece.end_seconds:.3f}",
        read=read,
        make=lambda data: make_clip(data, piece.start_seconds, piece.end_seconds),
    )
