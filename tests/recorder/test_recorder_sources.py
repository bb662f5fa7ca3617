"""File sources and the live ring: sound and pictures as a function of media time."""

from pathlib import Path

import numpy as np
import pytest
from opencapture_recorder.encoders import fit_size
from opencapture_recorder.errors import SourceError
from opencapture_recorder.sources.files import FileAudio, FileVideo
from opencapture_recorder.sources.pulse import SampleRing
from recorder_media import RATE_HZ, brightness, is_flash, write_beeps, write_flashes

BLOCK = 960


def _read(source: FileAudio, start: int, seconds: float) -> np.ndarray:
    blocks = range(start, start + int(seconds * RATE_HZ), BLOCK)
    return np.concatenate([source.read(position, BLOCK) for position in blocks])[:, 0]


def test_file_sound_is_exact_then_silent_and_ended(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "a.wav", 2.5)
    source = FileAudio(path, loop=False)
    sound = _read(source, 0, 4.0)
    source.close()
    assert not sound[: 1 * RATE_HZ].any()
    assert np.flatnonzero(sound)[0] == RATE_HZ + 1  # The sine begins with a zero.
    assert not sound[int(2.5 * RATE_HZ) :].any()
    assert source.is_ended


def test_file_sound_can_be_joined_late(tmp_path: Path) -> None:
    source = FileAudio(write_beeps(tmp_path / "a.wav", 2.5), loop=False)
    sound = _read(source, RATE_HZ - BLOCK, 0.1)
    source.close()
    assert np.flatnonzero(sound)[0] == BLOCK + 1
    assert not source.is_ended


def test_file_sound_loops_without_a_gap(tmp_path: Path) -> None:
    source = FileAudio(write_beeps(tmp_path / "a.wav", 1.1), loop=True)
    sound = _read(source, 0, 3.4)
    source.close()
    round_samples = int(1.1 * RATE_HZ)
    assert np.array_equal(sound[:round_samples], sound[round_samples : 2 * round_samples])
    assert not source.is_ended


def test_file_pictures_follow_time_and_hold_the_last(tmp_path: Path) -> None:
    source = FileVideo(write_flashes(tmp_path / "a.mp4", 2.0), loop=False)
    for slot in range(30):
        frame = source.frame_at(slot / 15 + 0.001)
        assert frame is not None
        assert (brightness(frame) > 150) == is_flash(slot / 15)
    last = source.frame_at(60.0)
    source.close()
    assert last is not None
    assert source.is_ended


def test_file_pictures_loop(tmp_path: Path) -> None:
    source = FileVideo(write_flashes(tmp_path / "a.mp4", 2.0), loop=True)
    frames = [source.frame_at(seconds) for seconds in (0.5, 1.1, 2.5, 3.1, 9.1)]
    source.close()
    assert [frame is not None and brightness(frame) > 150 for frame in frames] == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert not source.is_ended


def test_a_file_without_the_kind_asked_for_is_refused(tmp_path: Path) -> None:
    path = write_beeps(tmp_path / "a.wav", 1.0)
    with pytest.raises(SourceError, match=r"a\.wav has no video"):
        FileVideo(path, loop=False)
    with pytest.raises(SourceError, match=r"none\.wav"):
        FileAudio(tmp_path / "none.wav", loop=False)


def _fill(ring: SampleRing, start: int, blocks: int, late_by: int, value: int) -> None:
    for index in range(blocks):
        end = start + (index + 1) * BLOCK
        ring.write(np.full((BLOCK, 1), value, np.int16), end + late_by)


def test_live_sound_lies_where_it_arrived() -> None:
    ring = SampleRing(1)
    _fill(ring, 4800, 10, 0, 7)
    assert not ring.read(0, 4800).any()
    assert (ring.read(4800, 10 * BLOCK) == 7).all()
    assert not ring.read(4800 + 10 * BLOCK, BLOCK).any()


def test_a_late_block_does_not_move_the_sound() -> None:
    ring = SampleRing(1)
    for index in range(300):
        late_by = 3000 if index % 50 == 10 else 0
        ring.write(np.ones((BLOCK, 1), np.int16), (index + 1) * BLOCK + late_by)
    assert ring.resync_count == 0
    assert ring.read(299 * BLOCK, BLOCK).all()


def test_a_sound_card_that_runs_fast_is_brought_back() -> None:
    ring = SampleRing(1)
    for index in range(3000):  # One minute, 0.1 % fast: 60 ms unless corrected.
        ring.write(np.ones((BLOCK, 1), np.int16), round((index + 1) * BLOCK * 0.999))
    now = round(3000 * BLOCK * 0.999)
    assert ring.resync_count > 0
    assert ring.read(now - BLOCK, BLOCK).all()
    assert not ring.read(now + RATE_HZ // 50, BLOCK).any()


def test_a_suspended_source_continues_at_its_new_time() -> None:
    ring = SampleRing(1)
    _fill(ring, 0, 10, 0, 3)
    _fill(ring, 10 * RATE_HZ, 10, 0, 5)
    assert not ring.read(10 * RATE_HZ - BLOCK, BLOCK).any()
    assert (ring.read(10 * RATE_HZ, 10 * BLOCK) == 5).all()


@pytest.mark.parametrize(
    ("picture", "fitted"),
    [((1920, 1080), (1280, 720)), ((640, 361), (640, 360)), ((1080, 1920), (404, 720)), ((1, 1), (2, 2))],
)
def test_pictures_shrink_to_fit_with_even_sides(picture: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit_size(*picture, 1280, 720) == fitted
