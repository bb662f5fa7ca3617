"""How an exact stretch of a recorded segment, or a part of one, is made when a player asks for it."""

import io

from app.domain.streams.models import Segment
from app.media.clip import make_clip
from app.media.hls import FragmentIndex
from app.media.live_parts import cut_part, media_zero_seconds
from app.pages.clips import ClipSource
from app.pages.spooled import SpooledSegment, read_recorded
from app.process import Context


def clip_source(
    row: Segment, stretch_us: tuple[int, int] | None, held: SpooledSegment | None
) -> ClipSource | None:
    """The clip of a stretch in Unix microseconds; None where the segment is played as it lies."""
    if stretch_us is None:
        return None
    low, high = stretch_us

    async def read(context: Context) -> bytes:
        return await read_recorded(context, row, held)

    return ClipSource(
        identity=f"{row.storage_key} {low} {high}",
        read=read,
        make=lambda data: make_clip(
            data,
            (low - row.started_at_us) / 1e6,
            (high - row.started_at_us) / 1e6,
            first_seconds=0.0,
        ),
    )


def part_source(row: Segment, start: float, end: float, held: SpooledSegment | None) -> ClipSource:
    """The frames from `start` to `end`, in seconds from the segment's first."""
    index = FragmentIndex.from_json(row.hls_index or {})
    needed = [one for one in index.fragments if one.end_seconds > start and one.start_seconds < end]
    first, last = needed[0], needed[-1]

    async def read(context: Context) -> bytes:
        return await read_recorded(context, row, held)

    def make(data: bytes) -> bytes:
        header = data[: index.init_length_bytes]
        media = data[first.offset_bytes : last.offset_bytes + last.length_bytes]
        return cut_part(header, media, start, end, media_zero_seconds(io.BytesIO(data)))

    return ClipSource(f"{row.storage_key} part {start:.6f} {end:.6f}", read, make)
