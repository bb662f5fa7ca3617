"""Recorded segments to one finished, playable file: H.264 copied, and sound that is encoded already."""

from collections.abc import Callable
from pathlib import Path

import av

from app.base.errors import Unprocessable
from app.media.copied_sound import CopiedSound
from app.media.picture import CopiedPicture
from app.media.recorded import RecordedSegment, RecordedTrack
from app.media.writing import AUDIO_FRAGMENTS, VIDEO_FRAGMENTS, ExportedFile, write_interleaved

__all__ = ["ExportedFile", "RecordedSegment", "RecordedTrack", "export_recording"]


def export_recording(
    video: RecordedTrack | None,
    sound: CopiedSound | None,
    target: Path,
    *,
    zero_us: int,
    ends_at_us: int,
    on_progress: Callable[[float], None] | None = None,
) -> ExportedFile:
    """Write `target` (`.mp4`, or `.m4a` without video) and tell how it came out.

    The file's time counts from `zero_us`. The video is H.264, copied; its first picture is shown from zero,
    its last until `ends_at_us`. `on_progress` hears fractions from 0 to 1. Raises `Unprocessable`
    when there is nothing to export; nothing is left at `target` on failure.
    """
    if ends_at_us <= zero_us or not (sound or (video and video.segments)):
        raise Unprocessable("Nothing was recorded that could be exported.")
    picture = CopiedPicture(video, zero_us, ends_at_us) if video and video.segments else None
    try:
        seconds = (ends_at_us - zero_us) / 1_000_000
        duration_seconds = _write(picture, sound, target, seconds, on_progress)
        if not duration_seconds:
            raise Unprocessable("Nothing that was recorded could be read.")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return ExportedFile(
        path=target,
        duration_seconds=duration_seconds,
        has_video=picture is not None,
        has_audio=sound is not None,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        skipped_segments=sum(part.skipped_segments for part in (picture, sound) if part),
    )


def _write(
    picture: CopiedPicture | None,
    sound: CopiedSound | None,
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
        if sound:
            parts.append(sound.packets(sound.add_stream(output)))
        return write_interleaved(output, parts, seconds, on_progress)
