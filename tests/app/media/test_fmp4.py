import io
from itertools import pairwise

import av
import pytest

from app.base.errors import InvalidRequest, Unprocessable
from app.media.annexb import PPS, SPS, length_prefixed_units, nal_type, nal_units
from app.media.fmp4 import Segment, SegmentMuxer, opus_duration_us
from app.media.frames import Codec, EncodedFrame
from tests.fixtures.media import (
    START_US,
    aac_units,
    beeps,
    h264_frames,
    opus_packets,
    tone,
    video_frames,
    vp8_frames,
)

TICK_US = {
    Codec.H264: 12,
    Codec.VP8: 1001,
    Codec.OPUS: 21,
    Codec.AAC: 21,
}  # one step of the container's clock


def mux(frames: list[EncodedFrame]) -> Segment:
    muxer = SegmentMuxer(frames[0].codec)
    for frame in frames:
        muxer.add(frame)
    assert muxer.frame_count == len(frames)
    assert muxer.started_at_us == frames[0].captured_at_us
    assert muxer.last_at_us == frames[-1].captured_at_us
    return muxer.finish()


def times_us(segment: Segment) -> list[int]:
    with av.open(io.BytesIO(segment.data)) as container:
        stream = container.streams[0]
        return [round(p.pts * p.time_base * 1_000_000) for p in container.demux(stream) if p.pts is not None]


def decoded(segment: Segment) -> int:
    with av.open(io.BytesIO(segment.data)) as container:
        return sum(1 for _ in container.decode(container.streams[0]))


@pytest.mark.parametrize("frames", [h264_frames(), vp8_frames()], ids=["h264", "vp8"])
def test_video_segment_keeps_every_frame(frames: list[EncodedFrame]) -> None:
    segment = mux(frames)
    assert decoded(segment) == segment.frame_count == 60
    assert (segment.width, segment.height) == (320, 180)
    assert segment.starts_with_keyframe
    assert segment.started_at_us == START_US
    # 60 frames at 15 a second; the last one is taken to last as long as the one before (± rounding).
    assert segment.duration_us == pytest.approx(4_000_000, abs=2)
    assert segment.container == ("webm" if segment.codec is Codec.VP8 else "mp4")


def test_h264_stays_the_bytes_that_came() -> None:
    frames = h264_frames(seconds=1)
    with av.open(io.BytesIO(mux(frames).data)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for packet, frame in zip(packets, frames, strict=True):
        assert length_prefixed_units(packet) == nal_units(frame.data)


def sounds(codec: Codec) -> list[EncodedFrame]:
    return (opus_packets if codec is Codec.OPUS else aac_units)(tone(1.0))


@pytest.mark.parametrize("codec", list(Codec))
def test_times_follow_the_wall_clock(codec: Codec) -> None:
    times = [0.0, 0.066, 0.5, 0.51, 2.75, 2.8]  # a screen changes when it likes; a microphone may pause (DTX)
    if codec.is_video:
        make = h264_frames if codec is Codec.H264 else vp8_frames
        frames = make(times_seconds=times)
    else:
        frames = [
            packet._replace(captured_at_us=START_US + round(at * 1e6))
            for packet, at in zip(sounds(codec), times, strict=False)
        ]
    got = times_us(mux(frames))
    assert got == pytest.approx([round(at * 1e6) for at in times], abs=TICK_US[codec])


def test_times_stay_strictly_monotonic_when_the_wall_clock_does_not() -> None:
    frames = [
        EncodedFrame(frame.codec, frame.data, frame.timestamp, START_US + shift, frame.is_keyframe)
        for frame, shift in zip(h264_frames(seconds=1), [0, 66_000, 60_000, 66_000, 200_000], strict=False)
    ]
    got = times_us(mux(frames))
    assert len(got) == 5
    assert all(later > earlier for earlier, later in pairwise(got))
    assert got[-1] == pytest.approx(200_000, abs=TICK_US[Codec.H264])


@pytest.mark.parametrize("codec", list(Codec))
def test_times_count_from_a_common_zero(codec: Codec) -> None:
    frames = video_frames(codec, seconds=1.0) if codec.is_video else sounds(codec)
    muxer = SegmentMuxer(codec, zero_us=START_US - 3600_000_000)
    for frame in frames:
        muxer.add(frame)
    segment = muxer.finish()
    wanted = [3600_000_000 + frame.captured_at_us - START_US for frame in frames]
    assert times_us(segment) == pytest.approx(wanted, abs=TICK_US[codec])
    assert segment.started_at_us == frames[0].captured_at_us
    assert segment.duration_us == pytest.approx(1_000_000, abs=45_001)  # sound has a packet or two more


def test_opus_segment_decodes_from_its_first_sample() -> None:
    segment = mux(opus_packets(beeps(2.0)))
    with av.open(io.BytesIO(segment.data)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts == 0
    assert sum(frame.samples for frame in frames) == segment.frame_count * 960
    assert segment.duration_us == pytest.approx(segment.frame_count * 20_000, abs=1)
    assert segment.width is None
    assert segment.height is None


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (16_000, 1)])
def test_aac_segment_stays_the_bytes_that_came_and_describes_itself(rate_hz: int, channels: int) -> None:
    frames = aac_units(tone(1.0, rate_hz=rate_hz), rate_hz=rate_hz, channels=channels)
    segment = mux(frames)
    with av.open(io.BytesIO(segment.data)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.extradata == frames[0].description
        assert (stream.codec_context.sample_rate, stream.codec_context.channels) == (rate_hz, channels)
        assert [bytes(packet) for packet in container.demux(stream) if packet.size] == [
            f.data for f in frames
        ]
    assert decoded(segment) == segment.frame_count
    assert segment.duration_us == pytest.approx(len(frames) * 1024e6 / rate_hz, abs=len(frames))


@pytest.mark.parametrize("description", [b"", b"\x11", b"\x29\x90", b"\x17\x80", b"\x11\xb0", b"\x11\x94"])
def test_aac_that_is_not_described_or_not_low_complexity_is_refused(description: bytes) -> None:
    muxer = SegmentMuxer(Codec.AAC)
    with pytest.raises(Unprocessable):
        muxer.add(aac_units(tone(0.1))[0]._replace(description=description))


def test_a_segment_begun_without_a_key_frame_is_described_by_the_one_before() -> None:
    frames = h264_frames(seconds=4, keyframe_seconds=2)
    first = SegmentMuxer(Codec.H264)
    for frame in frames[:20]:
        first.add(frame)
    first.finish()
    second = SegmentMuxer(Codec.H264, previous=first)
    for frame in frames[20:]:
        second.add(frame)
    segment = second.finish()
    assert not segment.starts_with_keyframe
    assert (segment.width, segment.height) == (320, 180)
    assert len(times_us(segment)) == 40


def test_a_key_frame_without_parameter_sets_relies_on_the_segment_before() -> None:
    frames = h264_frames(seconds=4, keyframe_seconds=2)
    first = SegmentMuxer(Codec.H264)
    first.add(frames[0])
    bare = b"".join(
        b"\x00\x00\x00\x01" + unit for unit in nal_units(frames[30].data) if nal_type(unit) not in (SPS, PPS)
    )
    key = EncodedFrame(Codec.H264, bare, frames[30].timestamp, frames[30].captured_at_us, True)
    assert first.fits(key)
    second = SegmentMuxer(Codec.H264, previous=first)
    for frame in [key, *frames[31:]]:
        second.add(frame)
    assert decoded(second.finish()) == 30
    with pytest.raises(Unprocessable):
        SegmentMuxer(Codec.H264).add(key)


@pytest.mark.parametrize("make", [h264_frames, vp8_frames])
def test_a_first_segment_needs_a_key_frame(make: object) -> None:
    frame = make(seconds=1)[3]  # type: ignore[operator]
    with pytest.raises(Unprocessable):
        SegmentMuxer(frame.codec).add(frame)


def test_damaged_first_frames_are_refused() -> None:
    for codec in (Codec.H264, Codec.VP8):
        for data in (b"\x00\x00\x00\x01", b"\x00\x00\x01\x67\x42\x00", b"junk" * 10):
            with pytest.raises(Unprocessable):
                SegmentMuxer(codec).add(EncodedFrame(codec, data, 0, START_US, True))


def test_other_codecs_and_empty_segments_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        SegmentMuxer(Codec.OPUS).add(h264_frames(seconds=1)[0])
    with pytest.raises(InvalidRequest):
        SegmentMuxer(Codec.OPUS).add(EncodedFrame(Codec.OPUS, b"", 0, START_US, True))
    with pytest.raises(Unprocessable):
        SegmentMuxer(Codec.OPUS).finish()


def test_a_key_frame_of_another_size_does_not_fit() -> None:
    small, large = h264_frames(seconds=1), h264_frames(seconds=1, width=640, height=360)
    muxer = SegmentMuxer(Codec.H264)
    muxer.add(small[0])
    assert muxer.fits(small[1])
    assert muxer.fits(small[0])
    assert not muxer.fits(large[0])


@pytest.mark.parametrize(
    ("packet", "duration_us"),
    [
        (b"\x78\x00", 20_000),  # CELT, fullband, 20 ms, one frame
        (b"\x08\x00", 20_000),  # SILK 20 ms
        (b"\x19\x00", 120_000),  # SILK 60 ms, two frames
        (b"\xe3\x03\x00", 7_500),  # CELT 2.5 ms, three frames
        (b"", 20_000),
    ],
)
def test_opus_duration(packet: bytes, duration_us: int) -> None:
    assert opus_duration_us(packet) == duration_us
