"""Rendered screens, cut into scenes and looked at."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import Unprocessable
from app.media import stored_pictures
from app.media.scenes import Span, cut_by_shot, cut_by_time, pictures_at
from app.media.screens import LONGEST_SCENE_US, cells_of
from tests.fixtures.desktops import Picture, desktop
from tests.fixtures.media import export_recording, opus_packets, record, tone
from tests.fixtures.screen_recordings import write_screens

SECOND = 1_000_000
MAIL = desktop("Mail - Inbox", ["Messages", "Lunch on Friday?"], width=640, height=360)
BUILD = desktop("Terminal", ["Build failed", "error: no module foo"], width=640, height=360, dark=True)
CODE = desktop("Editor - main.py", ["def main():", "return 0"], width=640, height=360)


def grey(level: int) -> Picture:
    return np.full((96, 128, 3), level, np.uint8)


@given(
    length_us=st.integers(0, 3600 * SECOND),
    window_us=st.integers(SECOND, 600 * SECOND),
    frame_count=st.integers(1, 60),
    places=st.lists(st.sampled_from(("first", "middle", "last")), min_size=1, max_size=3, unique=True),
)
def test_windows_of_time_cover_the_video_once(
    length_us: int, window_us: int, frame_count: int, places: list[str]
) -> None:
    spans = cut_by_time(length_us, window_us, frame_count, places)  # type: ignore[arg-type]
    assert spans[0].start_us == 0
    assert spans[-1].end_us == max(length_us, 1)
    assert [span.end_us for span in spans[:-1]] == [span.start_us for span in spans[1:]]
    assert {span.end_us - span.start_us for span in spans[:-1]} <= {window_us}
    assert len(spans) == 1 or spans[-1].end_us - spans[-1].start_us >= window_us // 10
    looks = [look for span in spans for look in span.looks_us]
    assert looks == sorted(looks)
    assert all(span.start_us <= look < span.end_us for span in spans for look in span.looks_us)
    assert all(len(span.looks_us) <= max(frame_count, len(places)) for span in spans)


def test_pictures_of_a_window_are_where_they_are_asked_for() -> None:
    def looks(frame_count: int, *places: str) -> tuple[int, ...]:
        return cut_by_time(10, 10, frame_count, places)[0].looks_us  # type: ignore[arg-type]

    assert looks(1, "first") == (0,)
    assert looks(1, "last", "first") == (0, 9)
    assert looks(3, "first", "middle", "last") == (0, 5, 9)
    assert looks(5, "first") == (0, 2, 4, 6, 8)


@pytest.mark.parametrize(("keyframe_seconds", "b_frames"), [(1.0, 0), (2.0, 2), (60.0, 0), (60.0, 3)])
def test_a_picture_is_what_is_shown_at_its_instant(
    tmp_path: Path, keyframe_seconds: float, b_frames: int
) -> None:
    levels = [20 + 9 * number for number in range(25)]
    path = write_screens(
        tmp_path / "a.mp4",
        [(grey(level), 0.2) for level in levels],
        keyframe_seconds=keyframe_seconds,
        b_frames=b_frames,
    )
    instants = [0, 0, 150_000, 200_000, 1_999_999, 2_000_000, 2_100_000, 4_799_999, 4_800_000, 99 * SECOND]
    found = list(pictures_at(path, instants))
    assert [screen.at_us for screen in found] == [
        min(instant // 100_000, 49) * 100_000 for instant in instants
    ]
    shown = [float(screen.cells.mean()) for screen in found]
    assert shown == pytest.approx([levels[min(at // 200_000, 24)] for at in instants], abs=3)


def test_only_what_is_wanted_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_screens(tmp_path / "a.mp4", [(grey(80), 20.0)], keyframe_seconds=2.0)
    decoded = []
    decode = stored_pictures.StoredPictures.decoded

    def counted(self: stored_pictures.StoredPictures, group: stored_pictures.PictureGroup) -> object:
        for at_us, frame in decode(self, group):
            decoded.append(at_us)
            yield at_us, frame

    monkeypatch.setattr(stored_pictures.StoredPictures, "decoded", counted)
    assert [screen.at_us for screen in pictures_at(path, [0, 10_300_000])] == [0, 10_300_000]
    assert decoded == [0, 10_000_000, 10_100_000, 10_200_000, 10_300_000]
    decoded.clear()
    assert len(cut_by_shot(path, 20 * SECOND, 0.2, 1)) == 1
    assert decoded == [number * 2 * SECOND for number in range(10)]


@pytest.mark.parametrize("keyframe_seconds", [2.0, 60.0])
def test_shots_begin_where_the_screen_changes(tmp_path: Path, keyframe_seconds: float) -> None:
    shown = [(MAIL, 3.3), (BUILD, 5.0), (MAIL, 2.7)]
    path = write_screens(tmp_path / "a.mp4", shown, keyframe_seconds=keyframe_seconds)
    spans = cut_by_shot(path, 11 * SECOND, 0.2, 1)
    cuts = [span.start_us for span in spans]
    assert cuts == pytest.approx([0, 3_300_000, 8_300_000], abs=200_000)
    assert spans[-1].end_us == 11 * SECOND
    pictures = list(pictures_at(path, [span.looks_us[0] for span in spans]))
    dark = [float(cells_of(screen.frame).mean()) < 100 for screen in pictures]
    assert dark == [False, True, False]


def test_the_threshold_says_how_much_must_change(tmp_path: Path) -> None:
    path = write_screens(tmp_path / "a.mp4", [(MAIL, 4.0), (CODE, 4.0)], keyframe_seconds=1.0)
    assert len(cut_by_shot(path, 8 * SECOND, 0.005, 1)) == 2
    assert cut_by_shot(path, 8 * SECOND, 0.5, 2) == [Span(0, 8 * SECOND, (2 * SECOND, 6 * SECOND))]


def test_a_long_scene_is_cut_where_anything_changes(tmp_path: Path) -> None:
    still = write_screens(tmp_path / "a.mp4", [(CODE, 130.0)], keyframe_seconds=2.0)
    assert len(cut_by_shot(still, 130 * SECOND, 0.2, 1)) == 1
    typed = desktop("Editor - main.py", ["def main():", "return 0", "# done"], width=640, height=360)
    edited = write_screens(tmp_path / "b.mp4", [(CODE, 30.0), (typed, 100.0)], keyframe_seconds=2.0)
    spans = cut_by_shot(edited, 130 * SECOND, 0.2, 1)
    assert [span.start_us for span in spans] == [0, LONGEST_SCENE_US]


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    sound = export_recording(None, [record(opus_packets(tone(1.0)), tmp_path, "mic")], tmp_path / "a.m4a")
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 50)
    for path in (sound.path, junk):
        with pytest.raises(Unprocessable):
            list(pictures_at(path, [0]))
        with pytest.raises(Unprocessable):
            cut_by_shot(path, SECOND, 0.2, 1)
