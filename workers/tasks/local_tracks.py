"""Recorded tracks as files of this machine."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from app.domain.streams.models import Segment
from app.media.frames import Codec
from app.media.recorded import RecordedSegment, RecordedTrack
from app.process import Context


async def local_track(
    context: Context, stack: AsyncExitStack, codec: str, segments: Sequence[Segment]
) -> RecordedTrack:
    """A stream's segments, readable until `stack` is left."""
    files = [
        RecordedSegment(
            await stack.enter_async_context(context.storage.local_path(segment.storage_key)),
            segment.started_at_us,
            segment.duration_us,
        )
        for segment in segments
    ]
    return RecordedTrack(Codec(codec), files)
