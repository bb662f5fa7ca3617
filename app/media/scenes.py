"""Cuts a finished video into scenes, by time or where the picture changes, and takes pictures out of it.

Times are microseconds from the video's start.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.media.screens import (
    LONGEST_SCENE_US,
    Cells,
    Screen,
    cells_of,
    changed_share,
    is_another_screen,
    sharpness_of,
)
from app.media.stored_pictures import PictureGroup, StoredPictures, opened_pictures

Place = Literal["first", "middle", "last"]

SHORTEST_SCENE_US = 1_000_000
LEAST_REST = 10  # a rest shorter than such a part of a window is no window of its own
# Key frames no farther apart are all that a change is looked for in, and what lies between them only where
# there is one; else so often.
KEYFRAMES_ALONE_US = 2_500_000
LOOK_US = 200_000


@dataclass(frozen=True, slots=True)
class Span:
    """A scene, and at which instants its pictures are taken."""

    start_us: int
    end_us: int
    looks_us: tuple[int, ...]


def cut_by_time(length_us: int, window_us: int, frame_count: int, places: Sequence[Place]) -> list[Span]:
    """Windows of `window_us`; a short rest stays with the last of them.

    Their pictures are at `places`; where more are asked for than these are, evenly from the start on.
    """
    starts = list(range(0, max(length_us, 1), window_us))
    if len(starts) > 1 and length_us - starts[-1] < window_us // LEAST_REST:
        starts.pop()
    ends = [*starts[1:], max(length_us, 1)]
    return [
        Span(start, end, _looks(start, end, frame_count, places))
        for start, end in zip(starts, ends, strict=True)
    ]


def _looks(start_us: int, end_us: int, frame_count: int, places: Sequence[Place]) -> tuple[int, ...]:
    if frame_count > len(places):
        return tuple(start_us + (end_us - start_us) * number // frame_count for number in range(frame_count))
    at = {"first": start_us, "middle": (start_us + end_us) // 2, "last": end_us - 1}
    return tuple(sorted({at[place] for place in places}))


def cut_by_shot(
    path: Path,
    length_us: int,
    least_share: float,
    frame_count: int,
    on_progress: Callable[[float], None] | None = None,
) -> list[Span]:
    """A new scene begins where `least_share` (0 to 1) of the picture changes at once, and after a minute in
    which anything did; its pictures are spread evenly over it.

    Raises `Unprocessable` for a file without a picture that can be decoded.
    """
    cuts = [0]
    changed = False  # since the last cut
    with opened_pictures(path) as video:
        for at_us, share, is_another in _changes(video, least_share):
            changed = changed or is_another
            lasted_us = at_us - cuts[-1]
            is_new = share >= least_share and lasted_us >= SHORTEST_SCENE_US
            if is_new or (changed and lasted_us >= LONGEST_SCENE_US):
                cuts.append(at_us)
                changed = False
            if on_progress and length_us:
                on_progress(min(at_us / length_us, 1.0))
    ends = [*cuts[1:], max(length_us, cuts[-1] + 1)]
    return [Span(start, end, _spread(start, end, frame_count)) for start, end in zip(cuts, ends, strict=True)]


def _spread(start_us: int, end_us: int, count: int) -> tuple[int, ...]:
    return tuple(start_us + (end_us - start_us) * (2 * number + 1) // (2 * count) for number in range(count))


def _changes(video: StoredPictures, least_share: float) -> Iterator[tuple[int, float, bool]]:
    """Looks after the first: when, which share has changed since the one before, and whether it shows."""
    before: Cells | None = None
    passed: PictureGroup | None = None  # the group before, where only its key frame has been looked at
    for group in video.groups():
        lasts_us = group.times_us[-1] - group.times_us[0]
        key_alone = group.starts_with_key and group.is_whole and lasts_us <= KEYFRAMES_ALONE_US
        for at_us, cells in _looked_at(video, group, key_alone=key_alone):
            if before is None:
                before = cells
                continue
            share = changed_share(before, cells)
            if share >= least_share and passed is not None:
                at_us = _first_change(video, passed, before, least_share) or at_us
            passed = None
            is_another = is_another_screen(before, cells)
            yield at_us, share, is_another
            if is_another:
                before = cells
        passed = group if key_alone else None


def _looked_at(video: StoredPictures, group: PictureGroup, *, key_alone: bool) -> Iterator[tuple[int, Cells]]:
    next_us = 0
    for at_us, frame in video.decoded(group):
        if at_us >= next_us:
            yield at_us, cells_of(frame)
            next_us = at_us + LOOK_US
            if key_alone:
                return


def _first_change(
    video: StoredPictures, group: PictureGroup, before: Cells, least_share: float
) -> int | None:
    for at_us, frame in video.decoded(group):
        if changed_share(before, cells_of(frame)) >= least_share:
            return at_us
    return None


def pictures_at(path: Path, instants_us: Sequence[int]) -> Iterator[Screen]:
    """What the video shows at each of these instants, which must not fall: the same object for as long as it
    shows the same frame. Before its first picture that one, behind its end the last.

    Raises `Unprocessable` for a file without a picture that can be decoded.
    """
    with opened_pictures(path) as video:
        for at_us, frame, repeated in video.shown_at(instants_us):
            screen = Screen(at_us, frame, cells_of(frame), sharpness_of(frame))
            for _ in range(repeated):
                yield screen
