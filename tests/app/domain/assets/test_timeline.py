import copy
from contextlib import suppress
from typing import Any

import pytest
from app.domain.assets.timeline import MAX_CLIPS, read_timeline
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import InvalidRequest

CLIP: dict[str, Any] = {
    "start": 1,
    "clip": {
        "asset": {"type": "video", "id": "m-1", "start": 2.5, "volume": 0, "crop": None},
        "duration": 60,
        "effect": None,
        "opacity": 1,
        "fit": "None",
    },
}
TIMELINE: dict[str, Any] = {
    "background": "#102030",
    "resolution": "1281x721",
    "tracks": [{"z_index": 2, "clips": [CLIP]}, {"z_index": 1, "clips": []}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The timeline with the value at `tracks.0.clips…` replaced."""
    timeline = copy.deepcopy(TIMELINE)
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    holder: Any = timeline
    for part in parents:
        holder = holder[part]
    holder[last] = value
    return timeline


def test_what_the_sdks_send_is_read_bottom_track_first() -> None:
    read = read_timeline(TIMELINE)
    assert (read.width, read.height, read.background) == (1280, 720, "#102030")  # even sides
    empty, (clip,) = read.tracks
    assert empty == ()
    assert (clip.kind, clip.asset_id, clip.fit) == ("video", "m-1", None)
    assert (clip.start_seconds, clip.duration_seconds, clip.asset_start_seconds) == (1, 60, 2.5)
    assert (clip.volume, clip.opacity) == (0, 1)


def test_what_is_left_out_has_its_default() -> None:
    least = {"clip": {"asset": {"type": "audio", "id": "a-1"}, "duration": 1}}
    read = read_timeline({"tracks": [{"clips": [least]}]})
    assert (read.width, read.height, read.background) == (1280, 720, "#000000")
    assert (read.tracks[0][0].start_seconds, read.tracks[0][0].volume) == (0, 1)


CLIP_PATH = "tracks.0.clips.0"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("resolution", "wide", "resolution"),
        ("resolution", "8x8", "resolution"),
        ("resolution", "99999999x720", "resolution"),
        ("background", "red", "background"),
        ("tracks", None, "tracks"),
        ("tracks", [], "tracks"),
        ("tracks.0", 5, "tracks[0]"),
        ("tracks.0.z_index", "top", "tracks[0].z_index"),
        (f"{CLIP_PATH}.start", -1, "tracks[0].clips[0].start"),
        (f"{CLIP_PATH}.start", True, "tracks[0].clips[0].start"),
        (f"{CLIP_PATH}.clip", None, "tracks[0].clips[0].clip"),
        (f"{CLIP_PATH}.clip.duration", 0, "tracks[0].clips[0].clip.duration"),
        (f"{CLIP_PATH}.clip.duration", None, "tracks[0].clips[0].clip.duration"),
        (f"{CLIP_PATH}.clip.duration", float("nan"), "tracks[0].clips[0].clip.duration"),
        (f"{CLIP_PATH}.clip.duration", float("inf"), "tracks[0].clips[0].clip.duration"),
        (f"{CLIP_PATH}.clip.fit", ["crop"], "tracks[0].clips[0].clip.fit"),
        (f"{CLIP_PATH}.clip.asset.type", "hologram", "tracks[0].clips[0].clip.asset.type"),
        (f"{CLIP_PATH}.clip.asset.id", "", "tracks[0].clips[0].clip.asset.id"),
        (f"{CLIP_PATH}.clip.asset.volume", 11, "tracks[0].clips[0].clip.asset.volume"),
    ],
)
def test_each_mistake_is_named_by_its_place(path: str, value: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_timeline(changed(path, value))
    assert refused.value.field == field


def test_a_timeline_has_a_limit() -> None:
    with pytest.raises(InvalidRequest, match=str(MAX_CLIPS)):
        read_timeline({"tracks": [{"clips": [CLIP] * (MAX_CLIPS + 1)}]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(
    ["resolution", "background", "tracks", "tracks.0", "tracks.0.clips", CLIP_PATH, f"{CLIP_PATH}.clip",
     f"{CLIP_PATH}.clip.asset", f"{CLIP_PATH}.clip.asset.type", f"{CLIP_PATH}.clip.opacity"]
)  # fmt: skip


@given(PATHS, JSON)
def test_whatever_is_sent_is_read_or_refused(path: str, value: Any) -> None:
    with suppress(InvalidRequest):
        read = read_timeline(changed(path, value))
        assert read.width % 2 == read.height % 2 == 0
