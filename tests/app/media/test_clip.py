import io
from pathlib import Path

import av
import pytest

from app.base.errors import Unprocessable
from app.media.clip import make_clip
from app.media.frames import EncodedFrame
from app.media.hls import cut_pieces, index_fragments
from app.media.playlist import ByteRange, Entry, MediaHeader, media_playlist
from tests.fixtures.http_ranges import serve
from tests.fixtures.media import (
    START_US,
    beeps,
    export_recording,
    h264_frames,
    opus_packets,
    record,
    tone,
    vp8_frames,
)

FRAME_SECONDS = 1 / 15


def segment(frames: list[EncodedFrame], folder: Path, *, zero_us: int = START_US) -> bytes:
    track = record(frames, folder, "segment", seconds=1000.0, zero_us=zero_us)
    return track.segments[0].path.read_bytes()


def pictures(clip: bytes) -> list[tuple[float, bool]]:
    """When each picture is shown, and whether it is a flash."""
    with av.open(io.BytesIO(clip), "r") as container:
        return [
            (float(frame.time or 0), bool(frame.to_ndarray(format="gray").mean() > 200))
            for frame in container.decode(video=0)
        ]


def sounds(clip: bytes) -> list[float]:
    with av.open(io.BytesIO(clip), "r") as container:
        return [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.pts]


@pytest.mark.parametrize("make", [h264_frames, vp8_frames])
def test_pictures_before_the_cut_are_not_in_it(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = segment(make(seconds=4.0, keyframe_seconds=4.0), tmp_path)
    found = pictures(make_clip(data, 1.5, 3.2))
    # The picture of 1.467 s is what is shown at 1.5 s.
    assert [at for at, _ in found] == pytest.approx([1.5, *(n / 15 for n in range(23, 48))], abs=0.002)
    assert [at for at, flash in found if flash] == pytest.approx(
        [2.0, 2 + FRAME_SECONDS, 3.0, 3 + FRAME_SECONDS], abs=0.002
    )


def test_pictures_from_a_key_frame_on_are_copied(tmp_path: Path) -> None:
    frames = h264_frames(seconds=4.0, keyframe_seconds=4.0)
    clip = make_clip(segment(frames, tmp_path), 0.0, 2.0)
    with av.open(io.BytesIO(clip), "r") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert len(packets) == 30
        assert float((packets[-1].pts + packets[-1].duration) * packets[-1].time_base) == pytest.approx(2.0)
        # In MP4 a length stands where the stream had its start code.
        assert bytes(packets[7])[4:] in frames[7].data


def test_times_may_count_from_the_first_frame(tmp_path: Path) -> None:
    data = segment(h264_frames(seconds=4.0, keyframe_seconds=4.0), tmp_path, zero_us=START_US - 50_000_000)
    found = pictures(make_clip(data, 1.0, 2.0, first_seconds=0.0))
    assert found[0][0] == pytest.approx(51.0, abs=0.001)
    assert len(found) == 15


def test_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    data = segment(opus_packets(tone(4.0)), tmp_path)
    found = sounds(make_clip(data, 1.0, 2.0))
    assert found[0] == pytest.approx(1.0, abs=0.02)
    assert len(found) == 50


def test_a_picture_that_stands_is_shown_from_the_start(tmp_path: Path) -> None:
    frames = h264_frames(times_seconds=[0.0, 0.5, 6.0], keyframe_seconds=100.0, flash=False)
    assert [at for at, _ in pictures(make_clip(segment(frames, tmp_path), 3.0, 5.0))] == [3.0]


@pytest.mark.parametrize("stretch", [(9.0, 10.0), (-2.0, -1.0)])
def test_nothing_in_the_stretch_is_said(stretch: tuple[float, float], tmp_path: Path) -> None:
    data = segment(opus_packets(tone(2.0)), tmp_path)
    with pytest.raises(Unprocessable):
        make_clip(data, *stretch)


@pytest.mark.parametrize("data", [b"", b"no media", b"\x00" * 500])
def test_what_is_no_media_is_refused(data: bytes) -> None:
    with pytest.raises(Unprocessable):
        make_clip(data, 0.0, 1.0)


def test_sound_without_pictures_keeps_both_tracks(tmp_path: Path) -> None:
    video = record(h264_frames(seconds=2.0), tmp_path, "display")
    audio = record(opus_packets(beeps(40.0)), tmp_path, "mic")
    path = export_recording(video, [audio], tmp_path / "out.mp4").path
    index = index_fragments(path)
    data, (piece,) = path.read_bytes(), cut_pieces(index, 35.0, 37.0)
    first, length = piece.range.offset_bytes, piece.range.length_bytes
    clip = make_clip(data[: index.init_length_bytes] + data[first : first + length], 35.0, 37.0)
    assert sounds(clip)[0] == pytest.approx(35.0, abs=0.03)


@pytest.mark.parametrize(("start", "end"), [(3.5, 9.0), (2.5, 7.5), (4.0, 11.5)])
def test_edges_and_fragments_decode_in_one_go(start: float, end: float, tmp_path: Path) -> None:
    """By FFmpeg, which keeps the first header that it sees: both kinds of parameter sets are in it."""
    video = record(h264_frames(seconds=12.0), tmp_path, "display")
    audio = record(opus_packets(beeps(12.0)), tmp_path, "mic")
    path = export_recording(video, [audio], tmp_path / "out.mp4").path
    index, data = index_fragments(path), path.read_bytes()
    header = MediaHeader("out.mp4", ByteRange(0, index.init_length_bytes), "out")
    entries = []
    for number, piece in enumerate(cut_pieces(index, start, end)):
        if not piece.is_edge:
            entries.append(Entry("out.mp4", piece.duration_seconds, header, piece.range))
            continue
        first, length = piece.range.offset_bytes, piece.range.length_bytes
        recorded = data[: index.init_length_bytes] + data[first : first + length]
        edge = tmp_path / f"edge-{number}.mp4"
        edge.write_bytes(make_clip(recorded, piece.start_seconds, piece.end_seconds))
        init_bytes = index_fragments(edge).init_length_bytes
        rest = ByteRange(init_bytes, edge.stat().st_size - init_bytes)
        made = MediaHeader(edge.name, ByteRange(0, init_bytes), edge.name)
        entries.append(Entry(edge.name, piece.duration_seconds, made, rest, after_discontinuity=True))
    (tmp_path / "list.m3u8").write_text(media_playlist(entries))
    with serve(tmp_path) as url, av.open(f"{url}/list.m3u8", format="hls", timeout=10.0) as container:
        found = [
            (float(frame.time or 0), bool(frame.to_ndarray(format="gray").mean() > 200))
            for frame in container.decode(video=0)
        ]
    flashes = [at for at, flash in found if flash and at % 1 < 0.05]
    whole_seconds = [at for at in range(12) if start - 0.01 <= at < end]
    assert flashes == pytest.approx(whole_seconds, abs=0.03)
    assert len(found) == pytest.approx((end - start) * 15, abs=1)
    assert found[0][1] == (start == 4.0)
