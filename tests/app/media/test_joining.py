from pathlib import Path

import av
import numpy as np
import pytest

from app.base.errors import Unprocessable
from app.media.hls import FragmentIndex, index_fragments
from app.media.joining import can_join, join_cuts, plays_whole
from tests.fixtures.media import (
    beep_seconds,
    beeps,
    export_recording,
    flash_seconds,
    h264_frames,
    opus_packets,
    record,
)

SECONDS = 12.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flashes and beeps at each second."""
    folder = tmp_path_factory.mktemp("recording")
    video = record(h264_frames(seconds=SECONDS), folder, "display")
    return export_recording(
        video, [record(opus_packets(beeps(SECONDS)), folder, "mic")], folder / "a.mp4"
    ).path


@pytest.fixture(scope="module")
def index(recording: Path) -> FragmentIndex:
    return index_fragments(recording)


def decoded(path: Path) -> list[float]:
    """Times of all pictures; a damaged one raises."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        return [frame.time or 0.0 for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("cuts", "marks"),
    [
        ([(1.5, 9.5)], [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]),
        ([(2.5, 3.5)], [0.5]),
        ([(0.5, 2.5), (7.5, 9.5)], [0.5, 1.5, 2.5, 3.5]),
        ([(7.5, 9.5), (0.5, 2.5)], [0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_cuts_are_joined_exactly(
    cuts: list[tuple[float, float]], marks: list[float], recording: Path, index: FragmentIndex, tmp_path: Path
) -> None:
    assert can_join(recording, index)
    told: list[float] = []
    made = join_cuts(recording, index, cuts, tmp_path / "joined.mp4", told.append)
    expected = sum(end - start for start, end in cuts)
    assert made.duration_seconds == pytest.approx(expected, abs=0.05)
    assert flash_seconds(made.path) == pytest.approx(marks, abs=0.05)
    assert beep_seconds(made.path) == pytest.approx(marks, abs=0.05)
    times = decoded(made.path)
    assert times == sorted(times)
    assert np.diff(times).max() < 0.15
    assert told[-1] == 1.0
    with av.open(str(made.path)) as container:
        assert container.duration / 1e6 == pytest.approx(expected, abs=0.1)
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]


def test_what_lies_between_the_edges_is_copied(recording: Path, index: FragmentIndex, tmp_path: Path) -> None:
    def payloads(path: Path) -> set[bytes]:
        with av.open(str(path)) as container:
            return {bytes(packet) for packet in container.demux(video=0) if packet.size}

    made = join_cuts(recording, index, [(0.5, 11.5)], tmp_path / "joined.mp4")
    assert len(payloads(made.path) & payloads(recording)) > 0.5 * len(payloads(recording))


def test_all_of_a_file_is_known(index: FragmentIndex) -> None:
    assert plays_whole(index, 0.0, index.duration_seconds)
    assert not plays_whole(index, 0.5, index.duration_seconds)
    assert not plays_whole(index, 0.0, 5.0)


def test_nothing_is_left_of_what_cannot_be_joined(
    recording: Path, index: FragmentIndex, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(bytes(recording.stat().st_size))
    for path, cuts in ((damaged, [(0.5, 5.0)]), (recording, [(20.0, 30.0)])):
        with pytest.raises(Unprocessable):
            join_cuts(path, index, cuts, tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()
