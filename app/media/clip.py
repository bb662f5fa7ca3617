"""Exact stretches of recorded media: what lies before a cut serves to decode, and is never in the clip."""

import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from app.base.errors import Unprocessable
from app.media.annexb import avcc_parameter_sets, length_prefixed_units, nal_type, parameter_sets
from app.media.frames import Codec, EncodedFrame
from app.media.hls import EDGE_SECONDS
from app.media.templates import video_template
from app.media.writing import VIDEO_TIME_BASE

_OPTIONS = {
    "movflags": "empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": "600000000",
}
# Other ids than those of what was recorded, which WebRTC senders number from 0: a player that keeps the first
# header it saw, as FFmpeg does, can then decode both. The parameter sets are repeated in band for its sake.
_X264 = {
    "preset": "superfast",
    "crf": "21",
    "x264-params": "sps-id=17:bframes=0:repeat-headers=1:keyint=9999",
}


def make_clip(
    source: bytes, start_seconds: float, end_seconds: float, *, first_seconds: float | None = None
) -> bytes:
    """The stretch `[start_seconds, end_seconds)` of a file as a fragmented MP4 of one fragment.

    Sound is copied, and so are H.264 pictures from a key frame on; others are encoded as H.264, the first
    being what is shown at the start. Times in the clip are the file's. `start_seconds` and `end_seconds`
    count as the file's times do, or so that its first frame lies at `first_seconds`. Raises `Unprocessable`
    where there is nothing in the stretch that can be decoded.
    """
    try:
        with av.open(io.BytesIO(source), "r") as container:
            packets = [packet for packet in container.demux() if packet.pts is not None and packet.size]
            if not packets:
                raise Unprocessable("There is nothing in this stretch of time.")
            shift = 0.0 if first_seconds is None else min(map(_at, packets)) - first_seconds
            return _written(container, packets, start_seconds + shift, end_seconds + shift)
    except (av.FFmpegError, IndexError) as error:
        raise Unprocessable("The recorded media cannot be read.") from error


def _written(
    container: av.container.InputContainer, packets: "list[av.Packet[Any]]", start: float, end: float
) -> bytes:
    file = io.BytesIO()
    tracks = []
    with av.open(file, "w", format="mp4", options=_OPTIONS) as output:
        for stream in container.streams:
            own = [packet for packet in packets if packet.stream.index == stream.index]
            if isinstance(stream, av.VideoStream):
                tracks.append(_picture(output, stream, own, start, end))
            elif isinstance(stream, av.AudioStream):
                tracks.append(_sound(output, stream, own, start, end))
        count = 0
        for packet in heapq.merge(*tracks, key=_decoded_at):
            output.mux_one(packet)
            count += 1
        if not count:
            raise Unprocessable("There is nothing in this stretch of time.")
    return file.getvalue()


def _sound(
    output: av.container.OutputContainer,
    source: av.AudioStream,
    packets: "list[av.Packet[Any]]",
    start: float,
    end: float,
) -> "list[av.Packet[Any]]":
    stream = output.add_stream_from_template(source)
    stream.time_base = source.time_base
    kept = [packet for packet in packets if start <= _at(packet) < end]
    for packet in kept:
        packet.stream = stream
    return kept


def _picture(
    output: av.container.OutputContainer,
    source: av.VideoStream,
    packets: "list[av.Packet[Any]]",
    start: float,
    end: float,
) -> "list[av.Packet[Any]]":
    needed = [packet for packet in packets if _at(packet) < end]
    is_h264 = source.codec_context.name == "h264"
    in_order = all(packet.pts == packet.dts for packet in needed)
    if not needed:  # a screen that was shared for a while only, and sound that goes on
        output.add_stream_from_template(source).time_base = source.time_base
        return []
    if is_h264 and in_order and needed[0].is_keyframe and start - _at(needed[0]) <= EDGE_SECONDS:
        stream = output.add_stream_from_template(source)
        stream.time_base = source.time_base
        last = max(needed, key=_at)
        ticks = round((end - _at(last)) / float(last.time_base))
        last.duration = max(min(last.duration or 1, ticks), 1)
        for packet in needed:
            packet.stream = stream
        return needed
    pictures = list(_shown(source, needed, start, end))
    if not pictures:
        raise Unprocessable("No picture of this stretch of time can be decoded.")
    encoded = _encoded(source, pictures)
    first = EncodedFrame(Codec.H264, bytes(encoded[0]), 0, 0, is_keyframe=True)
    stream = output.add_stream_from_template(video_template(first))
    stream.time_base = VIDEO_TIME_BASE
    if is_h264:
        sets = parameter_sets(first.data) + _annex_b(source.codec_context.extradata or b"")
        stream.codec_context.extradata = sets
    until = [*(packet.pts or 0 for packet in encoded[1:]), round(end / VIDEO_TIME_BASE)]
    for packet, next_at in zip(encoded, until, strict=True):
        packet.duration = max(next_at - (packet.pts or 0), 1)
        packet.stream, packet.time_base = stream, VIDEO_TIME_BASE
    return encoded


def _shown(
    source: av.VideoStream, packets: "list[av.Packet[Any]]", start: float, end: float
) -> Iterator[av.VideoFrame]:
    """The pictures of `[start, end)`; the one that is shown at the start has it as its time."""
    decoder = source.codec_context
    held: av.VideoFrame | None = None
    last = -1
    for packet in [*packets, None]:
        for frame in decoder.decode(packet):
            at = frame.time or 0.0
            if at >= end:
                continue
            if at <= start:
                held = frame
                continue
            if held is not None and at - start > EDGE_SECONDS:
                last = round(start / VIDEO_TIME_BASE)
                yield _timed(held, last)
            held, last = None, max(round(at / VIDEO_TIME_BASE), last + 1)
            yield _timed(frame, last)
    if held is not None:
        yield _timed(held, round(start / VIDEO_TIME_BASE))


def _timed(frame: av.VideoFrame, ticks: int) -> av.VideoFrame:
    shown = frame.reformat(width=frame.width // 2 * 2, height=frame.height // 2 * 2, format="yuv420p")
    shown.pts, shown.time_base = ticks, VIDEO_TIME_BASE
    shown.pict_type = av.video.frame.PictureType.NONE
    return shown


def _encoded(source: av.VideoStream, pictures: list[av.VideoFrame]) -> "list[av.Packet[Any]]":
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
    encoder.time_base, encoder.framerate = VIDEO_TIME_BASE, Fraction(30)
    encoder.color_range = source.codec_context.color_range
    encoder.colorspace = source.codec_context.colorspace
    encoder.options = _X264
    encoder.thread_count = 2
    packets = [packet for picture in pictures for packet in encoder.encode(picture)]
    return [*packets, *encoder.encode(None)]


def _annex_b(avcc: bytes) -> bytes:
    """The parameter sets of a sample entry with start codes; what has them already stays as it is."""
    if avcc[:1] != b"\x01":
        return avcc
    units = length_prefixed_units(avcc_parameter_sets(avcc))
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units if nal_type(unit))


def _decoded_at(packet: "av.Packet[Any]") -> float:
    return float((packet.dts or 0) * packet.time_base)


def _at(packet: "av.Packet[Any]") -> float:
    return float((packet.pts or 0) * packet.time_base)
