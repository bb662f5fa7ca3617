import io

import av
import pytest

from app.media.fmp4 import SegmentMuxer
from app.media.frames import EncodedFrame
from app.media.hls import index_file
from app.media.live_parts import (
    PART_SECONDS,
    PART_TARGET_SECONDS,
    SegmentPiece,
    cut_part,
    media_zero_seconds,
    pieces,
    read_grown,
)
from tests.fixtures.media import START_US, h264_frames, opus_packets, tone

ZERO_US = START_US - 3_000_000


def grown(frames: list[EncodedFrame], *, every: int) -> list[bytes]:
    """The file after each write of a recorder that writes every so many frames, and finished."""
    muxer, data, states = SegmentMuxer(frames[0].codec, zero_us=ZERO_US), b"", []
    for number, frame in enumerate(frames, 1):
        muxer.add(frame)
        if not number % every:
            data += muxer.flush()
            states.append(data)
    return [*states, data + muxer.finish().data]


def split(data: bytes, *, grows: bool, target: float = 5.0, is_video: bool = True) -> list[SegmentPiece]:
    file = read_grown(io.BytesIO(data), grows=grows)
    return pieces(file.index, file.frames, target, grows=grows, is_video=is_video)


@pytest.mark.parametrize("every", [7, 11, 15, 40])
def test_what_is_said_of_a_segment_stays_true(every: int) -> None:
    states = grown(h264_frames(seconds=9.0, keyframe_seconds=9.0), every=every)
    final = split(states[-1], grows=False)
    assert [piece.is_open for piece in final] == [False, False]
    said = [part for piece in final for part in piece.parts]
    for state in states[:-1]:
        *closed, last = split(state, grows=True)
        assert last.is_open
        assert closed == final[: len(closed)]
        parts = [part for piece in (*closed, last) for part in piece.parts]
        assert parts == said[: len(parts)]


def test_parts_are_of_one_length_and_begin_with_the_key_frame() -> None:
    (piece,) = split(grown(h264_frames(seconds=4.5, keyframe_seconds=9.0), every=10)[-1], grows=False)
    for part in piece.parts[:-1]:
        assert 0.85 * PART_TARGET_SECONDS <= part.duration_seconds <= PART_TARGET_SECONDS
    assert [part.is_independent for part in piece.parts] == [True, False, False, False, False]
    assert piece.parts[-1].end_seconds == pytest.approx(piece.joined.end_seconds)


def test_every_part_of_sound_is_independent() -> None:
    (piece,) = split(grown(opus_packets(tone(4.0)), every=35)[-1], grows=False, is_video=False)
    assert all(part.is_independent for part in piece.parts)
    assert piece.parts[0].duration_seconds == pytest.approx(PART_SECONDS)


def test_pictures_too_far_apart_make_no_parts() -> None:
    frames = [
        one._replace(captured_at_us=START_US + 2_300_000 * n)
        for n, one in enumerate(h264_frames(seconds=0.3, keyframe_seconds=9.0))
    ]
    states = grown(frames, every=2)
    assert all(len(piece.parts) <= 1 for state in states[:-1] for piece in split(state, grows=True))
    assert not any(piece.parts for piece in split(states[-1], grows=False)[:-1])


def test_what_will_be_written_over_is_not_there_yet() -> None:
    frames = h264_frames(seconds=2.0, keyframe_seconds=9.0)
    muxer = SegmentMuxer(frames[0].codec, zero_us=ZERO_US)
    for frame in frames:
        muxer.add(frame)
    written = muxer.flush()
    before = read_grown(io.BytesIO(written), grows=True)
    tail = muxer.provisional()
    assert read_grown(io.BytesIO(written + tail), grows=True) == before
    kept = read_grown(io.BytesIO(written + tail), grows=False)  # by a killed recorder
    assert len(kept.frames) == len(before.frames) + 1 == len(frames)


@pytest.mark.parametrize("is_video", [True, False])
def test_parts_together_are_the_segment(is_video: bool) -> None:
    frames = h264_frames(seconds=4.0, keyframe_seconds=9.0) if is_video else opus_packets(tone(4.0))
    data = grown(frames, every=10)[-1]
    index = index_file(io.BytesIO(data))
    header, media = data[: index.init_length_bytes], data[index.init_length_bytes :]
    zero = media_zero_seconds(io.BytesIO(data))
    assert zero == pytest.approx(3.0, abs=0.01)  # Opus begins with what its decoder skips
    (piece,) = split(data, grows=False, is_video=is_video)
    made = [cut_part(header, media, one.start_seconds, one.end_seconds, zero) for one in piece.parts]
    packets = [packets_of(header + b"".join(made)), packets_of(data)]
    assert packets[0] == packets[1]
    assert len(packets[0]) == len(frames)


def packets_of(data: bytes) -> list[tuple[int | None, bytes]]:
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux() if packet.size]
