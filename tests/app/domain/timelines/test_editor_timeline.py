import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.timelines.editor import MAX_CLIPS, read_editor_timeline
from app.media.editor.colours import Colour
from app.media.editor.timeline import AudioAsset, Timeline, VideoAsset

VIDEO = {"type": "video", "id": "m-1", "start": 0, "volume": 1, "crop": {"top": 0}}
TEXT = {"type": "text", "text": "hello", "font": {"size": 48, "color": "#FFFFFF"}}
CAPTION = {"type": "caption", "src": "auto", "primary_color": "&H00FFFFFF"}


def timeline(**clip: Any) -> dict[str, Any]:
    looks = {"asset": VIDEO, "duration": 5, "effect": None, "fit": "crop", **clip}
    first = {"start": 0, "clip": {"asset": {**VIDEO}, "duration": 1}}
    return {
        "background": "#000000",
        "resolution": "1280x720",
        "tracks": [{"clips": [first, {"start": 1.5, "clip": looks}], "z_index": 0}],
    }


def changed(path: str, value: Any, base: dict[str, Any]) -> dict[str, Any]:
    spec = deepcopy(base)
    *steps, last = path.split("/")
    place: Any = spec
    for step in steps:
        place = place[int(step) if step.isdecimal() else step]
    place[int(last) if last.isdecimal() else last] = value
    return spec


def test_a_timeline_is_read() -> None:
    spec = timeline(opacity=0.5, transition={"in": "fade", "out": None, "duration": 0.3}, fit="None")
    read = read_editor_timeline(spec)
    assert (read.width, read.height, read.background) == (1280, 720, Colour(0, 0, 0))
    first, second = read.clips
    assert first.where == "tracks[0].clips[0]"
    assert (second.start_seconds, second.duration_seconds, second.clip.opacity) == (1.5, 5, 0.5)
    assert (second.fade_in_seconds, second.fade_out_seconds) == (0.3, 0.0)
    assert (first.clip.fit, second.clip.fit) == ("crop", "none")
    assert second.clip.asset == VideoAsset(id="m-1")


def test_null_is_absent_but_for_fit() -> None:
    spec = timeline(filter=None, scale=None, offset=None, position=None, transition=None, fit=None)
    clip = read_editor_timeline(spec).clips[1].clip
    assert (clip.filter, clip.scale, clip.position, clip.fit) == (None, 1, "center", "none")


def test_tracks_and_clips_are_ordered_by_their_depth() -> None:
    def item(asset_id: str, depth: float) -> dict[str, Any]:
        return {"start": 0, "clip": {"asset": {**VIDEO, "id": asset_id}, "duration": 1, "z_index": depth}}

    spec = {
        "tracks": [
            {"z_index": 2, "clips": [item("top", 0)]},
            {"z_index": 0, "clips": [item("third", 5), item("first", 0), item("second", 0)]},
            {"z_index": 1, "clips": [item("fourth", -1)]},
        ]
    }
    read = read_editor_timeline(spec)
    assert [clip.clip.asset.id for clip in read.clips] == ["first", "second", "third", "fourth", "top"]
    assert read.clips[-1].where == "tracks[0].clips[0]"


def test_odd_sides_lose_a_pixel() -> None:
    read = read_editor_timeline(timeline() | {"resolution": "641x361"})
    assert (read.width, read.height) == (640, 360)


CLIP = "tracks[0].clips[1].clip"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("resolution", "1280", "resolution"),
        ("resolution", "1280x²", "resolution"),
        ("resolution", "99999x99999", "resolution"),
        ("background", "blackish", "background"),
        ("tracks", {}, "tracks"),
        ("tracks", [], "tracks"),
        ("tracks", [{"clips": []}], "tracks"),
        ("tracks/0", 3, "tracks[0]"),
        ("tracks/0/clips", None, "tracks[0].clips"),
        ("tracks/0/clips/1", "x", "tracks[0].clips[1]"),
        ("tracks/0/clips/1/start", -1, "tracks[0].clips[1].start"),
        ("tracks/0/clips/1/clip", None, "tracks[0].clips[1].clip"),
        ("tracks/0/clips/1/clip/duration", 0, f"{CLIP}.duration"),
        ("tracks/0/clips/1/clip/duration", None, f"{CLIP}.duration"),
        ("tracks/0/clips/1/clip/duration", "5", f"{CLIP}.duration"),
        ("tracks/0/clips/1/clip/duration", float("nan"), f"{CLIP}.duration"),
        ("tracks/0/clips/1/clip/opacity", 2, f"{CLIP}.opacity"),
        ("tracks/0/clips/1/clip/scale", 11, f"{CLIP}.scale"),
        ("tracks/0/clips/1/clip/scale", True, f"{CLIP}.scale"),
        ("tracks/0/clips/1/clip/fit", "stretch", f"{CLIP}.fit"),
        ("tracks/0/clips/1/clip/position", "middle", f"{CLIP}.position"),
        ("tracks/0/clips/1/clip/filter", "sepia", f"{CLIP}.filter"),
        ("tracks/0/clips/1/clip/effect", "spin", f"{CLIP}.effect"),
        ("tracks/0/clips/1/clip/transition", {"in": "wipe"}, f"{CLIP}.transition.in"),
        ("tracks/0/clips/1/clip/transition", {"out": 3}, f"{CLIP}.transition.out"),
        ("tracks/0/clips/1/clip/transition", {"duration": -1}, f"{CLIP}.transition.duration"),
        ("tracks/0/clips/1/clip/offset", {"x": "a"}, f"{CLIP}.offset.x"),
        ("tracks/0/clips/1/clip/asset", None, f"{CLIP}.asset"),
        ("tracks/0/clips/1/clip/asset/type", "html", f"{CLIP}.asset.type"),
        ("tracks/0/clips/1/clip/asset", {"id": "m-1"}, f"{CLIP}.asset.type"),
        ("tracks/0/clips/1/clip/asset/id", "", f"{CLIP}.asset.id"),
        ("tracks/0/clips/1/clip/asset/id", "m-\x00", f"{CLIP}.asset.id"),
        ("tracks/0/clips/1/clip/asset/volume", 50, f"{CLIP}.asset.volume"),
        ("tracks/0/clips/1/clip/asset/start", -0.1, f"{CLIP}.asset.start"),
        ("tracks/0/clips/1/clip/asset/crop", {"left": -1}, f"{CLIP}.asset.crop.left"),
        ("tracks/0/clips/1/clip/asset", TEXT | {"text": None}, f"{CLIP}.asset.text"),
        ("tracks/0/clips/1/clip/asset", TEXT | {"text": "x" * 5001}, f"{CLIP}.asset.text"),
        ("tracks/0/clips/1/clip/asset", TEXT | {"font": {"size": 0}}, f"{CLIP}.asset.font.size"),
        ("tracks/0/clips/1/clip/asset", TEXT | {"font": {"color": "?"}}, f"{CLIP}.asset.font.color"),
        ("tracks/0/clips/1/clip/asset", TEXT | {"width": 0}, f"{CLIP}.asset.width"),
        (
            "tracks/0/clips/1/clip/asset",
            TEXT | {"background": {"text_alignment": "x"}},
            f"{CLIP}.asset.background.text_alignment",
        ),
        ("tracks/0/clips/1/clip/asset", CAPTION | {"primary_color": "red"}, f"{CLIP}.asset.primary_color"),
        ("tracks/0/clips/1/clip/asset", CAPTION | {"animation": "spin"}, f"{CLIP}.asset.animation"),
        ("tracks/0/clips/1/clip/asset", CAPTION | {"src": "bm90aGluZw=="}, f"{CLIP}.asset.src"),
        (
            "tracks/0/clips/1/clip/asset",
            CAPTION | {"position": {"margin_v": -1}},
            f"{CLIP}.asset.position.margin_v",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(path: str, value: Any, field: str) -> None:
    spec = changed(path, value, timeline())
    with pytest.raises(InvalidRequest) as refused:
        read_editor_timeline(spec)
    assert refused.value.field == field
    assert refused.value.message.startswith(f"{field}: ")
    assert "xxxx" not in refused.value.message  # what was sent is not said back


@pytest.mark.parametrize(
    ("asset", "looks", "field"),
    [
        ({"type": "audio", "id": "a-1"}, {"filter": "blur"}, f"{CLIP}.filter"),
        ({"type": "audio", "id": "a-1"}, {"effect": "zoomIn"}, f"{CLIP}.effect"),
        ({"type": "audio", "id": "a-1"}, {"opacity": 0.5}, f"{CLIP}.opacity"),
        ({"type": "audio", "id": "a-1"}, {"position": "top"}, f"{CLIP}.position"),
        ({"type": "audio", "id": "a-1"}, {"transition": {"out": "zoom"}}, f"{CLIP}.transition.out"),
        (CAPTION, {"scale": 2}, f"{CLIP}.scale"),
        (CAPTION, {"offset": {"x": 0.1}}, f"{CLIP}.offset"),
        (TEXT, {"fit": "contain"}, f"{CLIP}.fit"),
    ],
)
def test_looks_that_would_not_show_are_refused(
    asset: dict[str, Any], looks: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_editor_timeline(timeline(asset=asset, **looks))
    assert refused.value.field == field
    read_editor_timeline(timeline(asset=asset, fit="None", scale=1, offset={"x": 0, "y": 0}))


@pytest.mark.parametrize("name", ["wipeLeft", "wipe_left", "WIPELEFT", "wipe-left"])
def test_moves_have_one_name_however_they_are_spelt(name: str) -> None:
    clip = read_editor_timeline(timeline(transition={"in": name, "out": "none"}, effect="zoom_in")).clips[1]
    assert (clip.enter, clip.fade_in_seconds, clip.fade_out_seconds) == ("wipeLeft", 0.5, 0.0)
    assert clip.clip.effect == "zoomIn"


def test_a_timeline_has_a_limit_of_clips() -> None:
    spec = timeline()
    spec["tracks"][0]["clips"] *= MAX_CLIPS
    with pytest.raises(InvalidRequest, match="500 clips"):
        read_editor_timeline(spec)


def test_what_the_sdk_sends_is_read() -> None:
    editor = pytest.importorskip("videodb.editor")
    made = editor.Timeline(None)
    made.resolution = "1920x1080"
    track = editor.Track(z_index=1)
    assets = [
        editor.VideoAsset("m-1", start=1.5, volume=2, crop=editor.Crop(top=10)),
        editor.ImageAsset("img-1"),
        editor.AudioAsset("a-1", volume=0.5),
        editor.TextAsset(
            "hi",
            font=editor.Font(size=20),
            border=editor.Border(width=2),
            shadow=editor.Shadow(x=1, y=1),
            background=editor.Background(opacity=0.5, border_width=10),
            alignment=editor.Alignment(editor.HorizontalAlignment.left, editor.VerticalAlignment.top),
            width=100,
            height=50,
        ),
        editor.CaptionAsset(
            src="MQowMDowMDowMCwwMDAgLS0+IDAwOjAwOjAxLDAwMApoaQo=",
            font=editor.FontStyling(bold=True, angle=10),
            border=editor.BorderAndShadow(editor.CaptionBorderStyle.opaque_box),
            position=editor.Positioning(editor.CaptionAlignment.top_left),
            animation=editor.CaptionAnimation.karaoke,
        ),
    ]
    looks = {
        "filter": editor.Filter.blur,
        "fit": editor.Fit.none,
        "position": editor.Position.top_left,
        "offset": editor.Offset(0.1, -0.1),
    }
    for number, asset in enumerate(assets):
        track.add_clip(
            number,
            editor.Clip(
                asset,
                duration=2,
                transition=editor.Transition("fade", "fade", 1),
                **(looks if number < 2 else {}),
            ),
        )
    made.add_track(track)
    read = read_editor_timeline(json.loads(json.dumps(made.to_json()))["timeline"])
    assert [clip.clip.asset.type for clip in read.clips] == ["video", "image", "audio", "text", "caption"]
    assert isinstance(read.clips[2].clip.asset, AudioAsset)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_PLACES = [
    "resolution",
    "background",
    "tracks",
    "tracks/0/clips",
    "tracks/0/clips/1/start",
    "tracks/0/clips/1/clip",
    *(
        f"tracks/0/clips/1/clip/{name}"
        for name in ("asset", "duration", "scale", "opacity", "fit", "position")
    ),
    *(f"tracks/0/clips/1/clip/{name}" for name in ("offset", "transition", "filter", "effect", "z_index")),
    *(f"tracks/0/clips/1/clip/asset/{name}" for name in ("id", "type", "start", "volume", "crop")),
    *(
        f"tracks/0/clips/1/clip/asset/{name}"
        for name in ("text", "font", "src", "width", "border", "background")
    ),
]


@given(st.sampled_from(_PLACES), _ANY, st.sampled_from([VIDEO, TEXT, CAPTION]))
def test_whatever_is_sent_is_read_or_refused(path: str, value: Any, asset: dict[str, Any]) -> None:
    outcome: Timeline | str | None
    try:
        outcome = read_editor_timeline(changed(path, value, timeline(asset=asset)))
    except InvalidRequest as refused:
        outcome = refused.field
    assert outcome


@given(_ANY)
def test_whatever_a_timeline_is(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        read_editor_timeline(value)
