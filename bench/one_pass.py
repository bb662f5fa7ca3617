"""The baseline of `bench.export`: all of an export after the stop, its sound decoded, mixed and encoded."""

from collections.abc import Sequence
from pathlib import Path

import av

from app.media.picture import open_picture
from app.media.recorded import RecordedTrack
from app.media.sound import RATE_HZ, PlacedTrack, Sound, mixed
from app.media.writing import AUDIO_FRAGMENTS, VIDEO_FRAGMENTS, add_aac_stream, encoded, write_interleaved


def export_in_one_pass(
    video: RecordedTrack | None,
    audio: Sequence[RecordedTrack],
    target: Path,
    *,
    zero_us: int,
    ends_at_us: int,
) -> None:
    """Write `target` with the video copied and the mix of `audio` made on the way."""
    options = VIDEO_FRAGMENTS if video else AUDIO_FRAGMENTS
    seconds = (ends_at_us - zero_us) / 1e6
    with av.open(str(target), "w", format="mp4", options=options) as output:
        parts = []
        if video:
            picture = open_picture(video, zero_us, ends_at_us)
            parts.append(picture.packets(picture.add_stream(output)))
        if audio:
            sounds = [Sound(PlacedTrack(track, zero_us).blocks()) for track in audio]
            parts.append(encoded(mixed(sounds, round(seconds * RATE_HZ)), add_aac_stream(output)))
        write_interleaved(output, parts, seconds)
