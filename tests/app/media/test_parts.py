import io
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import av
import pytest

from app.base.errors import InvalidRequest
from app.media.fmp4 import Segment, SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.media.parts import Container, part_ends
from app.media.salvage import salvage
from tests.fixtures.media import START_US, aac_units, h264_frames, opus_packets, tone, vp8_frames

FRAMES = {
    Codec.H264: h264_frames(seconds=2),
    Codec.VP8: vp8_frames(seconds=2),
    Codec.OPUS: opus_packets(tone(2)),
    Codec.AAC: aac_units(tone(2)),
}
FRAME_US = {Codec.H264: 66_667, Codec.VP8: 66_667, Codec.OPUS: 20_000, Codec.AAC: 21_333}
PART_FRAMES = 10


def in_parts(frames: list[EncodedFrame]) -> tuple[list[bytes], Segment]:
    """What a segment's flushes gave, its end last; an hour after the zero of its times."""
    muxer = SegmentMuxer(frames[0].codec, zero_us=START_US - 3600_000_000)
    parts = []
    for number, frame in enumerate(frames, 1):
        muxer.add(frame)
        if number % PART_FRAMES == 0:
            parts.append(muxer.flush())
    segment = muxer.finish()
    return [*parts, segment.data], segment


def packets(data: bytes) -> list[tuple[float, int]]:
    """Time in seconds and size of each packet."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams[0]
        assert stream.time_base is not None
        return [
            (float(packet.pts * stream.time_base), packet.size)
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def container_of(codec: Codec) -> Container:
    return "webm" if codec is Codec.VP8 else "mp4"


@pytest.mark.parametrize("codec", list(Codec))
def test_parts_one_after_the_other_are_the_segment(codec: Codec) -> None:
    frames = FRAMES[codec]
    parts, segment = in_parts(frames)
    assert len(parts) == len(frames) // PART_FRAMES + 1
    got = packets(b"".join(parts))
    assert [size for _, size in got] == [size for _, size in packets(in_one(frames))]
    wanted = [3600 + (frame.captured_at_us - START_US) / 1e6 for frame in frames]
    assert [at for at, _ in got] == pytest.approx(wanted, abs=0.0011)
    assert segment.frame_count == len(frames)
    assert segment.duration_us == pytest.approx(len(frames) * FRAME_US[codec], abs=1_100)


@pytest.mark.parametrize("codec", list(Codec))
def test_every_beginning_of_a_segment_plays_up_to_its_last_whole_part(codec: Codec) -> None:
    parts, _ = in_parts(FRAMES[codec])
    whole = b"".join(parts)
    ends = part_ends(io.BytesIO(whole), container_of(codec))
    assert ends[-1] == len(whole)
    assert set(ends) >= {sum(len(part) for part in parts[:number]) for number in range(1, len(parts) + 1)}
    for before, end in pairwise(ends):
        for cut in (before, before + 1, (before + end) // 2, end - 1):
            found = part_ends(io.BytesIO(whole[:cut]), container_of(codec))
            assert (found[-1] if found else 0) == (before if before > ends[0] else 0)


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("rubbish", [b"", b"\x00" * 4096, b"moof" * 500, b"\xff" * 40], ids=len)
def test_what_a_crash_left_is_cut_and_measured(codec: Codec, rubbish: bytes, tmp_path: Path) -> None:
    parts, segment = in_parts(FRAMES[codec])
    kept, path = b"".join(parts[:2]), tmp_path / "left"
    path.write_bytes(kept + (rubbish or parts[2][: len(parts[2]) // 2]))
    left = salvage(path, container_of(codec))
    assert left is not None
    assert path.read_bytes() == kept
    assert left.size_bytes == len(kept)
    # The newest frame of each flush waits for the next one.
    assert left.frame_count == 2 * PART_FRAMES - 1
    frame_us = FRAME_US[codec]
    assert left.duration_us == pytest.approx(left.frame_count * frame_us, abs=1_100)
    assert (left.width, left.height) == (segment.width, segment.height)
    assert left.starts_with_keyframe


@pytest.mark.parametrize("codec", list(Codec))
def test_nothing_is_salvaged_where_no_part_is_whole(codec: Codec, tmp_path: Path) -> None:
    parts, _ = in_parts(FRAMES[codec])
    path = tmp_path / "left"
    for data in (b"", parts[0][:20], parts[0][:-1], b"\x00" * 100, b"rubbish that is no media at all"):
        path.write_bytes(data)
        assert salvage(path, container_of(codec)) is None


@pytest.mark.parametrize("codec", list(Codec))
def test_the_newest_frame_can_be_written_before_its_length_is_known(codec: Codec) -> None:
    frames = FRAMES[codec]
    muxer = SegmentMuxer(codec)
    for frame in frames[:5]:
        muxer.add(frame)
    first = muxer.flush()
    assert muxer.flush() == b""
    assert len(packets(first)) == 4
    assert len(packets(first + muxer.provisional())) == 5
    muxer.add(frames[5])
    assert len(packets(first + muxer.flush() + muxer.finish().data)) == 6


@pytest.mark.parametrize("junk", [b"j", b"\x00\x00\x01", b"\x00" * 50, b"\xff" * 9], ids=repr)
@pytest.mark.parametrize("codec", list(Codec))
def test_frames_of_junk_spoil_no_part(codec: Codec, junk: bytes) -> None:
    frames = FRAMES[codec]
    muxer, data = SegmentMuxer(codec), b""
    for number, frame in enumerate(frames[:6]):
        with suppress(InvalidRequest):  # what is refused is left out, as the recorder does
            muxer.add(frame._replace(data=junk) if number in (1, 3, 4) else frame)
        data += muxer.flush()
    times = [at for at, _ in packets(data + muxer.finish().data)]
    for number in (0, 2, 5):
        assert any(
            at == pytest.approx((frames[number].captured_at_us - frames[0].captured_at_us) / 1e6, abs=0.0011)
            for at in times
        )


def in_one(frames: list[EncodedFrame]) -> bytes:
    muxer = SegmentMuxer(frames[0].codec)
    for frame in frames:
        muxer.add(frame)
    return muxer.finish().data
