import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.sessions.channels import MAX_CHANNELS, RequestedChannel, choose_channels, normalise_name

CANONICAL = re.compile(r"(mic|system_audio):[\w.-]{1,64}|display:[1-9]\d?", re.ASCII)


def asked(wire_id: str, label: str | None = None, type: str | None = None, **more: bool) -> RequestedChannel:
    return replace(RequestedChannel(wire_id, label, type, store=True, is_primary=False), **more)


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        # The vendor's recorder, with the names that the Python SDK passes and without (recorder.md §1).
        (asked("mic", "mic:default", "audio"), "mic:default"),
        (asked("system_audio", "system_audio:default", "audio"), "system_audio:default"),
        (asked("screen", "display:1", "video"), "display:1"),
        (asked("screen_1", "display:2", "video"), "display:2"),
        (asked("mic", None, "audio"), "mic:default"),
        (asked("system_audio", None, "audio"), "system_audio:default"),
        (asked("screen", None, "video"), "display:1"),
        (asked("screen_1", None, "video"), "display:2"),
        (asked("screen_2", "Built-in Display", "video"), "display:3"),
        # Python and Node as they list channels.
        (asked("mic:default", "MacBook Pro Microphone", "audio"), "mic:default"),
        (asked("mic:usb-1", "USB", "audio"), "mic:usb-1"),
        (asked("system_audio:default", None, "audio"), "system_audio:default"),
        (asked("display:1", "display:1", "video"), "display:1"),
        (asked("display:12", None, "video"), "display:12"),
        (asked("screen:2", None, "video"), "display:2"),
        # The documents' {"name", "store"}.
        (asked("mic", "mic"), "mic:default"),
        (asked("display", "display"), "display:1"),
        (asked("screen", "screen"), "display:1"),
        (asked("system_audio", "system_audio"), "system_audio:default"),
        # The documents' types (contract C16).
        (asked("built-in", None, "mic"), "mic:default"),
        (asked("loopback", None, "system_audio"), "system_audio:default"),
        (asked("left", None, "display"), "display:1"),
    ],
)
def test_every_spelling_of_a_client(channel: RequestedChannel, name: str) -> None:
    assert normalise_name(channel) == name


@pytest.mark.parametrize("wire_id", ["camera", "microphone", "", "MIC", "mic:", "mic:a b", "display:x"])
def test_what_no_client_means_is_refused_by_name(wire_id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        normalise_name(asked(wire_id, None, "audio"))
    assert refused.value.field == "channels"
    assert repr(wire_id) in refused.value.message


def test_categories_and_media_follow_the_name() -> None:
    chosen = choose_channels([asked("mic"), asked("system_audio"), asked("screen")], None)
    assert [(one.name, one.category, one.media_type) for one in chosen] == [
        ("display:1", "screen", "video"),
        ("mic:default", "mic", "audio"),
        ("system_audio:default", "system_audio", "audio"),
    ]
    assert [one.wire_id for one in chosen] == ["screen", "mic", "system_audio"]


SCREENS = [asked("screen", "Left", "video"), asked("screen_1", "display:2", "video"), asked("mic")]


@pytest.mark.parametrize(
    ("marked", "wanted", "primary"),
    [
        (None, None, "display:1"),  # the first
        (1, None, "display:2"),  # the one marked so
        (1, "screen", "display:1"),  # what is named goes before what is marked, by its id
        (None, "screen_1", "display:2"),
        (None, "Left", "display:1"),  # by its name
        (None, "display:2", "display:2"),  # by its canonical name
        (1, "display:9", "display:2"),  # an unknown name: what is marked
        (2, "mic", "display:1"),  # sound is never a primary display
    ],
)
def test_the_primary_display(marked: int | None, wanted: str | None, primary: str) -> None:
    requested = [replace(one, is_primary=n == marked) for n, one in enumerate(SCREENS)]
    chosen = choose_channels(requested, wanted)
    assert [one.name for one in chosen if one.is_primary] == [primary]
    assert chosen[0].name == primary


def test_a_session_of_sound_has_no_primary_display() -> None:
    assert not any(one.is_primary for one in choose_channels([asked("mic", is_primary=True)], "mic"))


def test_store_is_kept_for_each_channel() -> None:
    chosen = choose_channels([asked("mic", store=False), asked("system_audio")], None)
    assert [one.store for one in chosen] == [False, True]


@pytest.mark.parametrize(
    "requested",
    [
        [],
        [asked("mic"), asked("mic:default")],
        [asked("display"), asked("screen")],
        [asked(f"mic:{number}") for number in range(MAX_CHANNELS + 1)],
    ],
    ids=["none", "the same twice", "two spellings of one display", "too many"],
)
def test_lists_that_cannot_be_captured(requested: list[RequestedChannel]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        choose_channels(requested, None)
    assert refused.value.field == "channels"


WORDS = st.sampled_from(["mic", "mic:default", "screen", "display", "system_audio", "camera:0", "display:0"])
NUMBERED = st.builds("{}{}{}".format, st.sampled_from(["screen", "display"]), st.sampled_from(["_", ":", ""]),
                     st.integers(0, 120))  # fmt: skip
TEXTS = st.one_of(WORDS, NUMBERED, st.text(max_size=80), st.from_regex(r"(screen_|display:)\d{1,3}"))
CHANNELS = st.builds(
    RequestedChannel,
    TEXTS.filter(bool),
    st.none() | TEXTS,
    st.none() | st.sampled_from(["audio", "video", "mic", "display"]) | st.text(max_size=9),
    st.booleans(),
    st.booleans(),
)


@example([asked("screen_99")], None)
@example([asked("x", "display:1٣")], None)
@example([asked("x", "mic:é")], None)
@given(st.lists(CHANNELS, max_size=MAX_CHANNELS + 2), st.none() | TEXTS)
def test_whatever_a_client_sends(requested: list[RequestedChannel], primary: str | None) -> None:
    try:
        chosen = choose_channels(requested, primary)
    except InvalidRequest:
        return
    names = [one.name for one in chosen]
    assert len(set(names)) == len(names) == len(requested)
    assert all(CANONICAL.fullmatch(name) for name in names), names
    assert sum(one.is_primary for one in chosen) == any(one.category == "screen" for one in chosen)
