"""Recorded tracks as files of this machine."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from app.domain.exports.models import ConvertedRun
from app.domain.streams.models import Segment
from app.media.frames import Codec
from app.media.recorded import RecordedSegment, RecordedTrack
from app.process import Context


async def local_track(
    context: Context, stack: AsyncExitStack, segments: Sequence[Segment | ConvertedRun]
) -> RecordedTrack:
    """A stream's segments, as recorded or converted, readable until `stack` is left."""
    files = []
    for segment in segments:
        assert segment.storage_key is not None
        path = await stack.enter_async_context(context.storage.local_path(segment.storage_key))
        codec = Codec(segment.codec) if isinstance(segment, Segment) else Codec.H264
        files.append(RecordedSegment(codec, path, segment.started_at_us or 0, segment.duration_us or 0))
    return RecordedTrack(files)
