"""The baseline of `bench.export`: all work after the stop, sound decoded, mixed, encoded, VP8 transcoded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av

from app.media.frames import Codec
from app.media.picture import CopiedPicture
from app.media.recorded import RecordedTrack, TrackReader
from app.media.sound import RATE_HZ, PlacedTrack, Sound, mixed
from app.media.writing import (
    AUDIO_FRAGMENTS,
    KEYFRAME_SECONDS,
    VIDEO_FRAGMENTS,
    VIDEO_TIME_BASE,
    add_aac_stream,
    add_h264_stream,
    encoded,
    write_interleaved,
)


def export_in_one_pass(
    video: RecordedTrack | None,
    audio: Sequence[RecordedTrack],
    target: Path,
    *,
    zero_us: int,
    ends_at_us: int,
) -> None:
    """Write `target` with the mix of `audio` made on the way, and the video copied, or transcoded if VP8."""
    options = VIDEO_FRAGMENTS if video else AUDIO_FRAGMENTS
    seconds = (ends_at_us - zero_us) / 1e6
    with av.open(str(target), "w", format="mp4", options=options) as output:
        parts: list[Iterator[av.Packet[Any]]] = []
        if video and video.codecs == {Codec.VP8}:
            with av.open(str(video.segments[0].path)) as first:
                size = first.streams.video[0].width, first.streams.video[0].height
            stream = add_h264_stream(output, *size)
            parts.append(encoded(transcoded(video, zero_us), stream))
        elif video:
            picture = CopiedPicture(video, zero_us, ends_at_us)
            parts.append(picture.packets(picture.add_stream(output)))
        if audio:
            sounds = [Sound(PlacedTrack(track, zero_us).blocks()) for track in audio]
            parts.append(encoded(mixed(sounds, round(seconds * RATE_HZ)), add_aac_stream(output)))
        write_interleaved(output, parts, seconds)


def transcoded(video: RecordedTrack, zero_us: int) -> Iterator[av.VideoFrame]:
    """Every picture of a VP8 track, with key frames where the encoder is to make them."""
    decoder = av.CodecContext.create("vp8", "r")
    next_key = 0
    for packet in TrackReader(video).packets():
        for picture in decoder.decode(av.Packet(packet.data)):
            assert isinstance(picture, av.VideoFrame)
            picture.pts = round((packet.at_us - zero_us) / 1e6 / VIDEO_TIME_BASE)
            picture.time_base = VIDEO_TIME_BASE
            picture.pict_type = av.video.frame.PictureType.NONE
            if picture.pts >= next_key:
                picture.pict_type = av.video.frame.PictureType.I
                next_key = picture.pts + round(KEYFRAME_SECONDS / VIDEO_TIME_BASE)
            yield picture
