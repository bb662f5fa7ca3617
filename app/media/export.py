"""Recorded segments to one finished, playable file: video copied, sound mixed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av

from app.base.errors import Unprocessable
from app.media.picture import CopiedPicture, TranscodedPicture, open_picture
from app.media.recorded import RecordedSegment, RecordedTrack
from app.media.sound import RATE_HZ, PlacedTrack, Sound, mixed
from app.media.writing import (
    AUDIO_FRAGMENTS,
    VIDEO_FRAGMENTS,
    ExportedFile,
    add_aac_stream,
    encoded,
    write_interleaved,
)

__all__ = ["ExportedFile", "RecordedSegment", "RecordedTrack", "export_recording"]


def export_recording(
    video: RecordedTrack | None,
    audio: Sequence[RecordedTrack],
    target: Path,
    *,
    zero_us: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ExportedFile:
    """Write `target` (`.mp4`, or `.m4a` without video) and tell how it came out.

    Time zero is the earliest start of all tracks, or `zero_us`. H.264 is copied and its first picture shown
    from zero on; VP8 is transcoded. Sound lies where the wall clock puts it, with silence in the gaps and to
    the end of the picture. `on_progress` hears fractions from 0 to 1. Raises `Unprocessable` when there is
    nothing to export; nothing is left at `target` on failure.
    """
    video = video if video and video.segments else None
    audio = [track for track in audio if track.segments]
    segments = [segment for track in [*audio, *([video] if video else [])] for segment in track.segments]
    if not segments:
        raise Unprocessable("Nothing was recorded that could be exported.")
    zero = min(segment.started_at_us for segment in segments) if zero_us is None else zero_us
    end = max(segment.ended_at_us for segment in segments)
    if end <= zero:
        raise Unprocessable("Everything that was recorded lies before the start of the export.")
    picture = open_picture(video, zero, end) if video else None
    tracks = [PlacedTrack(track, zero) for track in audio]
    parts = [*tracks, *([picture] if picture else [])]
    try:
        duration_seconds = _write(picture, tracks, target, (end - zero) / 1_000_000, on_progress)
        skipped = sum(part.skipped_segments for part in parts)
        if skipped >= len(segments) or not duration_seconds:
            raise Unprocessable("Nothing that was recorded could be read.")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return ExportedFile(
        path=target,
        duration_seconds=duration_seconds,
        has_video=picture is not None,
        has_audio=bool(tracks),
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        skipped_segments=skipped,
        damaged_packets=sum(part.damaged_packets for part in parts),
    )


def _write(
    picture: CopiedPicture | TranscodedPicture | None,
    tracks: list[PlacedTrack],
    target: Path,
    seconds: float,
    on_progress: Callable[[float], None] | None,
) -> float:
    """Write the file; return its length in seconds."""
    options = VIDEO_FRAGMENTS if picture else AUDIO_FRAGMENTS
    with av.open(str(target), "w", format="mp4", options=options) as output:
        parts = []
        if picture:
            parts.append(picture.packets(picture.add_stream(output)))
        if tracks:
            frames = mixed([Sound(track.blocks()) for track in tracks], round(seconds * RATE_HZ))
            parts.append(encoded(frames, add_aac_stream(output)))
        return write_interleaved(output, parts, seconds, on_progress)
