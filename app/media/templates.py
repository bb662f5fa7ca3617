"""Stream descriptions (codec, size, parameter sets) for muxing encoded frames without a codec.

PyAV takes a description only from another stream, so each is read once from a one-frame input and kept.
"""

import io
import struct
from collections import OrderedDict
from functools import cache, lru_cache
from threading import Lock

import av

from app.base.errors import Unprocessable
from app.media.aac import SAMPLES_PER_UNIT, read_aac_format
from app.media.annexb import parameter_sets
from app.media.frames import Codec, EncodedFrame

_KEPT = 64  # one per publisher and resolution; a description weighs a few kilobytes
_kept: OrderedDict[bytes, av.VideoStream] = OrderedDict()
_lock = Lock()

# RFC 7845 clause 5.1. Pre-skip is 0: these are packets from the middle of a call, with nothing to skip.
OPUS_HEAD = struct.pack("<8sBBHIHB", b"OpusHead", 1, 2, 0, 48_000, 0, 0)


def video_template(frame: EncodedFrame) -> av.VideoStream:
    """The description of the stream that starts with `frame`.

    Raises `Unprocessable` for a frame that does not carry it: no key frame, or no parameter sets.
    """
    if frame.codec is Codec.H264:
        key, opened_as, data = parameter_sets(frame.data), "h264", frame.data
    else:
        # Tag 0x9d012a, then 14 bits each of width and height (RFC 6386 clause 9.1), in key frames only.
        key = frame.data[3:10] if frame.is_keyframe else b""
        opened_as, data = "ivf", _ivf(frame.data, key)
    if not key:
        raise Unprocessable(f"The first {frame.codec} frame does not describe the stream.")
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    try:
        stream = av.open(io.BytesIO(data), format=opened_as).streams.video[0]
    except (av.FFmpegError, IndexError) as error:
        raise Unprocessable(f"The first {frame.codec} frame is damaged.") from error
    if not stream.width or not stream.height:
        raise Unprocessable(f"The first {frame.codec} frame names no picture size.")
    with _lock:
        _kept[key] = stream
        if len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return stream


def audio_template(codec: Codec, description: bytes) -> tuple[av.AudioStream, bytes]:
    """The description of a track's stream, and what the container keeps of it beside the packets.

    Raises `Unprocessable` for AAC whose `description` is not one that is taken.
    """
    if codec is Codec.OPUS:
        return _opus_template(), OPUS_HEAD
    read_aac_format(description)
    return _aac_template(description), description


@cache
def _opus_template() -> av.AudioStream:
    """Any WebRTC Opus stream: 48 kHz, two channels (RFC 7587 clause 7)."""
    return _silent_stream("ogg", "libopus", 48_000, "stereo", "flt", 960)


@lru_cache(maxsize=32)
def _aac_template(description: bytes) -> av.AudioStream:
    found = read_aac_format(description)
    layout = "mono" if found.channels == 1 else "stereo"
    # ADTS, since an MP4 would also tell the encoder's delay, which is not that of the publisher's.
    return _silent_stream("adts", "aac", found.rate_hz, layout, "fltp", SAMPLES_PER_UNIT)


def _silent_stream(
    container_format: str, encoder: str, rate_hz: int, layout: str, sample_format: str, samples: int
) -> av.AudioStream:
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(encoder, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        silence = av.AudioFrame(format=sample_format, layout=layout, samples=samples)
        silence.sample_rate, silence.pts = rate_hz, 0
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return av.open(io.BytesIO(file.getvalue())).streams.audio[0]


def _ivf(data: bytes, description: bytes) -> bytes:
    if description[:3] != b"\x9d\x01\x2a" or len(description) < 7:
        return b""
    width, height = (size & 0x3FFF for size in struct.unpack("<HH", description[3:7]))
    header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", width, height, 90_000, 1, 1, 0)
    return header + struct.pack("<IQ", len(data), 0) + data
