import json
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import Unprocessable
from app.media.hls import EDGE_SECONDS, Fragment, FragmentIndex, cut_pieces, index_fragments
from tests.fixtures.media import beeps, export_recording, h264_frames, opus_packets, record

# AAC begins with 1024 samples of priming and ends on a whole frame of 1024: 21 ms each.
AAC_SECONDS = 0.045


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    video = record(h264_frames(seconds=12.0, keyframe_seconds=4.0), folder, "display")
    audio = record(opus_packets(beeps(12.0)), folder, "mic")
    return export_recording(video, [audio], folder / "out.mp4").path


def test_fragments_cover_the_file(exported: Path) -> None:
    index = index_fragments(exported)
    end = index.init_length_bytes
    for fragment in index.fragments:
        assert fragment.offset_bytes == end
        end += fragment.length_bytes
        assert fragment.starts_with_keyframe
    assert exported.stat().st_size - end < 300  # the random access table at the end
    assert index.duration_seconds == pytest.approx(12.0, abs=AAC_SECONDS)
    starts = [fragment.start_seconds for fragment in index.fragments]
    assert starts == pytest.approx([0.0, 4.0, 8.0], abs=0.03)  # an AAC frame lies across each


def test_header_and_one_fragment_decode_alone(exported: Path, tmp_path: Path) -> None:
    index = index_fragments(exported)
    data, last = exported.read_bytes(), index.fragments[-1]
    alone = tmp_path / "alone.mp4"
    alone.write_bytes(
        data[: index.init_length_bytes] + data[last.offset_bytes : last.offset_bytes + last.length_bytes]
    )
    with av.open(str(alone)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == 60
    assert times[0] == pytest.approx(last.start_seconds, abs=0.03)


def test_the_index_survives_json(exported: Path) -> None:
    index = index_fragments(exported)
    assert FragmentIndex.from_json(json.loads(json.dumps(index.to_json()))) == index


def cut(index: FragmentIndex, start_seconds: float, end_seconds: float) -> list[tuple[bool, float, float]]:
    return [
        (piece.is_edge, piece.start_seconds, piece.end_seconds)
        for piece in cut_pieces(index, start_seconds, end_seconds)
    ]


def fragments_of(*durations: float, keyframes: bool = True) -> FragmentIndex:
    fragments, at = [], 0.0
    for number, duration in enumerate(durations):
        fragments.append(Fragment(100 + number * 10, 10, at, duration, keyframes or not number))
        at += duration
    return FragmentIndex(100, tuple(fragments), at)


def test_a_cut_has_edges_where_it_needs_them() -> None:
    index = fragments_of(4.0, 4.0, 4.0)
    assert cut(index, 0.0, 12.0) == [(False, 0.0, 12.0)]
    assert cut(index, 4.0, 8.0) == [(False, 4.0, 8.0)]
    assert cut(index, 3.99, 8.01) == [(False, 4.0, 8.0)]  # on the key frames, but for a sound frame
    assert cut(index, 1.0, 12.0) == [(True, 1.0, 4.0), (False, 4.0, 12.0)]
    assert cut(index, 0.0, 9.0) == [(False, 0.0, 8.0), (True, 8.0, 9.0)]
    assert cut(index, 1.0, 11.0) == [(True, 1.0, 4.0), (False, 4.0, 8.0), (True, 8.0, 11.0)]
    assert cut(index, 5.0, 6.0) == [(True, 5.0, 6.0)]
    assert cut(index, 3.0, 5.0) == [(True, 3.0, 4.0), (True, 4.0, 5.0)]
    assert cut(index, 12.0, 13.0) == []


def test_an_edge_reaches_to_the_next_key_frame() -> None:
    index = fragments_of(4.0, 4.0, 4.0, keyframes=False)
    (piece,) = cut_pieces(index, 5.0, 12.0)
    assert (piece.is_edge, piece.range.offset_bytes, piece.range.length_bytes) == (True, 100, 30)


@given(
    durations=st.lists(st.floats(0.1, 40.0), min_size=1, max_size=40),
    begin=st.floats(0.0, 100.0),
    length=st.floats(0.1, 200.0),
)
def test_pieces_are_what_was_asked_for(durations: list[float], begin: float, length: float) -> None:
    index = fragments_of(*durations)
    end = min(begin + length, index.duration_seconds)
    pieces = cut_pieces(index, begin, begin + length)
    if end - begin <= 4 * EDGE_SECONDS:
        return
    assert pieces[0].start_seconds == pytest.approx(begin, abs=EDGE_SECONDS)
    assert pieces[-1].end_seconds == pytest.approx(end, abs=0.11)
    assert all(before.end_seconds == after.start_seconds for before, after in pairwise(pieces))
    assert sum(not piece.is_edge for piece in pieces) <= 1
    assert all(not piece.is_edge for piece in pieces[1:-1])


def test_a_cut_file_gives_its_whole_fragments(exported: Path, tmp_path: Path) -> None:
    whole = index_fragments(exported)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(exported.read_bytes()[: whole.fragments[1].offset_bytes + 1000])
    assert [f.offset_bytes for f in index_fragments(cut).fragments] == [whole.fragments[0].offset_bytes]


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not a media file at all", b"\x00\x00\x00\x01moov"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(Unprocessable):
        index_fragments(path)


@given(at=st.integers(0, 1200), value=st.integers(0, 255))
def test_a_damaged_header_never_escapes_as_another_error(exported: Path, at: int, value: int) -> None:
    data = bytearray(exported.read_bytes()[:250_000])
    data[at] = value
    path = exported.parent / "damaged.mp4"
    path.write_bytes(data)
    try:
        index = index_fragments(path)
    except Unprocessable:
        return
    assert index.fragments
