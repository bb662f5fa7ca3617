from pathlib import Path

import av
import pytest

from app.media.conversion import convert_run
from app.media.fmp4 import SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.media.recorded import RecordedSegment, RecordedTrack
from tests.fixtures.media import START_US, flash_seconds, record, vp8_frames


def written(frames: list[EncodedFrame], path: Path, *, previous: SegmentMuxer | None = None) -> SegmentMuxer:
    muxer = SegmentMuxer(Codec.VP8, previous=previous)
    for frame in frames:
        muxer.add(frame)
    path.write_bytes(muxer.finish().data)
    return muxer


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.time or 0.0 for frame in container.decode(video=0)]


def test_every_picture_is_there_at_its_time(tmp_path: Path) -> None:
    # As a screen sends: now and then, and then many.
    at = [0.0, 0.4, 0.5, 2.5, *(3 + n / 30 for n in range(31))]
    track = record(vp8_frames(times_seconds=at, keyframe_seconds=9.0), tmp_path, "display")
    made = convert_run(track, tmp_path / "run.mp4")
    assert made is not None
    assert (made.started_at_us, made.damaged_packets) == (START_US, 0)
    assert made.duration_us == pytest.approx(4e6 + 33_333, abs=2000)
    found = times(tmp_path / "run.mp4")
    assert found == pytest.approx(at, abs=0.0011)  # WebM counts milliseconds
    assert flash_seconds(tmp_path / "run.mp4") == pytest.approx([0, 3, 4], abs=0.0011)


def test_a_long_run_goes_on_over_segments_without_a_key_frame(tmp_path: Path) -> None:
    frames = vp8_frames(seconds=12.0, keyframe_seconds=100.0)
    first = written(frames[:60], tmp_path / "0.webm")
    second = written(frames[60:120], tmp_path / "1.webm", previous=first)
    written(frames[120:], tmp_path / "2.webm", previous=second)
    segments = [
        RecordedSegment(Codec.VP8, tmp_path / f"{n}.webm", START_US + n * 4_000_000, 4_000_000)
        for n in range(3)
    ]
    made = convert_run(RecordedTrack(segments), tmp_path / "run.mp4")
    assert made is not None
    assert len(times(tmp_path / "run.mp4")) == 180
    # What begins without one has nothing that could be decoded.
    assert convert_run(RecordedTrack(segments[1:]), tmp_path / "none.mp4") is None


def test_a_damaged_packet_costs_its_picture_and_an_odd_size_a_pixel(tmp_path: Path) -> None:
    frames = vp8_frames(seconds=2.0, width=321, height=181)
    frames[7] = frames[7]._replace(data=b"\x01")
    made = convert_run(record(frames, tmp_path, "display"), tmp_path / "run.mp4")
    assert made is not None
    assert made.damaged_packets == 1
    with av.open(str(tmp_path / "run.mp4")) as container:
        shown = list(container.decode(video=0))
    assert len(shown) == 29
    assert (shown[0].width, shown[0].height) == (320, 180)
