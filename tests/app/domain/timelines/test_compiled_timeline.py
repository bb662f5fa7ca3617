from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.timelines.compiled import file_asset, place_items, read_items
from app.media.editor.colours import Colour
from app.media.editor.timeline import TextAsset, Timeline, VideoAsset

# As Python's and Node's old SDKs write a text's style.
PYTHON_STYLE = {
    "fontsize": 24,
    "fontcolor": "#FFCFA5",
    "fontcolor_expr": "",
    "alpha": 0.5,
    "font": "Sans",
    "box": True,
    "boxcolor": "white",
    "boxborderw": "10",
    "boxw": 0,
    "line_spacing": 2,
    "text_align": "TL",
    "borderw": 0,
    "shadowx": -3,
    "shadowy": 4,
    "tabsize": 4,
    "x": "(main_w-text_w)/2",
    "y": 20,
}
NODE_STYLE = {"fontSize": 24, "fontColor": "black", "boxBorderW": "10", "lineSpacing": 2, "textAlign": "T"}


def asset(asset_id: str, seconds: float = 10.0, **more: Any) -> Asset:
    return Asset(id=asset_id, length_seconds=seconds, **more)


ASSETS = {
    "m-1": asset("m-1", 10.0, width=641, height=361),
    "m-2": asset("m-2", 4.0, width=1280, height=720),
    "a-1": asset("a-1", 3.0),
    "img-1": asset("img-1"),
}


def compiled(*items: dict[str, Any]) -> Timeline:
    return place_items(read_items(list(items)), ASSETS)


def test_videos_follow_each_other_and_overlays_lie_above() -> None:
    read = compiled(
        {"asset_id": "m-1", "start": 2, "end": 5},
        {"asset_id": "m-2", "start": 0, "end": None},
        {
            "asset_id": "a-1",
            "overlay_start": 1,
            "start": 1,
            "end": None,
            "disable_other_tracks": True,
            "fade_in_duration": 0.5,
            "fade_out_duration": 1,
        },
        {
            "asset_id": "img-1",
            "width": "100",
            "height": 51,
            "x": 80,
            "y": "main_h-h",
            "duration": None,
            "overlay_start": 2,
        },
        {"asset_id": "txt-1", "text": "hello", "duration": 2, "style": PYTHON_STYLE, "overlay_start": 3},
    )
    assert (read.width, read.height) == (640, 360)
    first, second, sound, image, text = read.clips
    assert [(clip.start_seconds, clip.duration_seconds) for clip in read.clips] == [
        (0, 3),
        (3, 4),
        (1, 2),
        (2, 5),
        (3, 2),
    ]
    assert first.clip.asset == VideoAsset(id="m-1", start=2)
    assert first.muted == second.muted == ((1, 3),)
    assert (sound.muted, sound.fade_in_seconds, sound.fade_out_seconds) == ((), 0.5, 1)
    assert image.size == (100, 52)
    assert isinstance(text.clip.asset, TextAsset)
    assert text.clip.asset.font.color == Colour(0xFF, 0xCF, 0xA5)
    assert text.clip.asset.alignment.horizontal == "left"
    assert text.clip.asset.background is not None
    assert text.clip.asset.background.border_width == 10
    assert text.corner is not None
    assert text.corner.inset == 10


def test_nodes_style_is_the_same_in_camel_case() -> None:
    read = compiled(
        {"asset_id": "m-1"}, {"asset_id": "txt-1", "text": "x", "style": NODE_STYLE, "overlay_start": 0}
    )
    text = read.clips[1].clip.asset
    assert isinstance(text, TextAsset)
    assert (text.font.size, text.line_spacing) == (24, 2)
    assert text.background is not None
    assert text.background.border_width == 10


def test_ends_are_clamped_to_the_media_and_overlays_to_the_videos() -> None:
    read = compiled(
        {"asset_id": "m-2", "end": 99},
        {"asset_id": "img-1", "duration": 99, "overlay_start": 3},
        {"asset_id": "a-1", "overlay_start": 2.5, "disable_other_tracks": False},
    )
    assert [clip.end_seconds for clip in read.clips] == [4, 4, 4]
    assert read.clips[0].muted == ()


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ("text", "timeline"),
        ([], "timeline"),
        ([3], "timeline[0].asset_id"),
        ([{"asset_id": "x-1"}], "timeline[0].asset_id"),
        ([{"asset_id": "m-1", "start": "a"}], "timeline[0].start"),
        ([{"asset_id": "m-1", "start": 10}], "timeline[0].start"),
        ([{"asset_id": "m-1", "start": 3, "end": 2}], "timeline[0].start"),
        ([{"asset_id": "m-1"}, {"asset_id": "a-1"}], "timeline[1].overlay_start"),
        ([{"asset_id": "m-1", "overlay_start": 1}], "timeline[0].asset_id"),
        ([{"asset_id": "img-1", "overlay_start": 1, "x": "rand()"}], "timeline[0].x"),
        ([{"asset_id": "txt-1", "overlay_start": 1}], "timeline[0].text"),
        (
            [{"asset_id": "txt-1", "overlay_start": 1, "text": "x", "style": {"fontsize": 0}}],
            "timeline[0].style.fontsize",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(items: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        place_items(read_items(items), ASSETS)
    assert refused.value.field == field


_FIELDS = (
    "start",
    "end",
    "overlay_start",
    "duration",
    "x",
    "y",
    "width",
    "style",
    "text",
    "disable_other_tracks",
)
_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just({"x": "w/2"})
)


@given(st.sampled_from([*ASSETS, "txt-1"]), st.dictionaries(st.sampled_from(_FIELDS), _VALUES))
def test_whatever_is_sent_is_read_or_refused(asset_id: str, fields: dict[str, Any]) -> None:
    outcome: Timeline | str | None
    try:
        outcome = compiled({"asset_id": "m-1"}, {**fields, "asset_id": asset_id})
    except InvalidRequest as refused:
        outcome = refused.field
    assert outcome


def test_what_an_item_needs_from_storage() -> None:
    items = read_items([{"asset_id": asset_id, "text": "x"} for asset_id in [*ASSETS, "txt-1"]])
    needed = [file_asset(item) for item in items]
    assert [one and one.type for one in needed] == ["video", "video", "audio", "image", None]
