"""When an index looks at a screen, and where one of its windows ends and the next begins."""

from dataclasses import dataclass, field
from typing import Any

from app.media.screens import LONGEST_SCENE_US

SCENE_LOOK_US = 1_000_000  # scene changes are looked for once a second
SHORTEST_LOOK_US = 200_000
# Looks that come closer than this are decoded through instead of asking for a key frame each.
KEYFRAME_FROM_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window that has ended, and the pictures that were seen in it."""

    start_us: int
    end_us: int
    frame_ids: tuple[str, ...]


@dataclass(slots=True)
class Watch:
    """One index's looking. Times are Unix microseconds of the publisher's clock."""

    look_us: int
    window_us: int
    scene_share: float | None  # a new scene begins where so much of the screen has changed
    next_look_us: int = 0
    _start_us: int | None = None
    _frame_ids: list[str] = field(default_factory=list)

    def wants_keyframe(self, now_us: int, lead_us: int) -> bool:
        """Whether a key frame that comes within `lead_us` would spare decoding."""
        return self.look_us >= KEYFRAME_FROM_US and 0 < self.next_look_us - now_us <= lead_us

    def look(self, frame_id: str, changed_share: float, now_us: int) -> Stretch | None:
        """Take the picture that is shown now; returns the window that ended before it, if one did."""
        self.next_look_us = max(self.next_look_us + self.look_us, now_us + self.look_us // 2)
        if self._start_us is None:
            self._start_us, self._frame_ids = now_us, [frame_id]
            self.next_look_us = now_us + self.look_us
            return None
        ended = None
        new_scene = self.scene_share is not None and changed_share >= self.scene_share
        if now_us >= self._start_us + self.window_us or new_scene:
            ended = self._stretch(now_us)
            self._start_us, self._frame_ids = now_us, []
        if not self._frame_ids or self._frame_ids[-1] != frame_id:
            self._frame_ids.append(frame_id)
        return ended

    def replace(self, frame_id: str, better_id: str) -> None:
        """Put a better picture of the same screen in its place, where the window goes on with it."""
        if self._frame_ids and self._frame_ids[-1] == frame_id:
            self._frame_ids[-1] = better_id

    def end(self, now_us: int) -> Stretch | None:
        """The window as it stands; None where nothing was seen."""
        if self._start_us is None or now_us <= self._start_us:
            return None
        return self._stretch(now_us)

    def _stretch(self, end_us: int) -> Stretch:
        assert self._start_us is not None
        return Stretch(self._start_us, end_us, tuple(self._frame_ids))


def watch_of(extraction: dict[str, Any]) -> Watch:
    """What an index's extraction (domain/indexes/extraction.py) means for looking at the screen."""
    config = extraction["config"]
    if extraction["type"] == "shot":
        return Watch(SCENE_LOOK_US, LONGEST_SCENE_US, config["threshold"] / 100)
    window_us = round(config["time"] * 1_000_000)
    return Watch(max(window_us // config["frame_count"], SHORTEST_LOOK_US), window_us, None)
