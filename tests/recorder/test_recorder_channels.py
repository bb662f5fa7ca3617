"""Channels of startRecording in the shapes that the three SDK generations send."""

from typing import Any

import pytest
from opencapture_recorder.channels import parse_channels
from opencapture_recorder.errors import CommandError


def test_python_0_4_0_record_is_ignored_and_the_primary_is_found_by_name() -> None:
    rows = [
        {"channel_id": "mic:default", "type": "audio", "name": "mic", "record": True, "store": False},
        {"channel_id": "display:1", "type": "video", "name": "left", "record": True, "store": True},
        {"channel_id": "display:2", "type": "video", "name": "right", "record": True, "store": True},
    ]
    mic, first, second = parse_channels({"channels": rows, "primary_video_channel_id": "right"})
    assert (mic.kind, mic.track, mic.is_stored, mic.is_primary) == ("audio", "mic", False, False)
    assert (first.kind, first.track, first.is_stored, first.is_primary) == ("video", "screen", True, False)
    assert second.is_primary


def test_python_0_5_1_the_flag_decides() -> None:
    rows = [
        {
            "channel_id": f"display:{n}",
            "type": "video",
            "name": f"display:{n}",
            "store": False,
            "is_primary": n == 2,
        }
        for n in (1, 2)
    ]
    assert [channel.is_primary for channel in parse_channels({"channels": rows})] == [False, True]


def test_node_stores_by_default_and_the_first_display_is_primary() -> None:
    rows = [
        {"channel_id": "system_audio:default", "type": "audio", "record": True, "transcript": False},
        {"channel_id": "screen:1", "type": "video", "record": False, "transcript": False},
    ]
    sound, display = parse_channels({"channels": rows})
    assert (sound.track, sound.is_stored) == ("system_audio", True)
    assert (display.channel_id, display.is_stored, display.is_primary) == ("display:1", True, True)


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        ["mic:default"],
        [{}],
        [{"channel_id": "camera:1"}],
        [{"channel_id": "display:0"}],
        [{"channel_id": "mic"}, {"channel_id": "mic:default"}],
        [{"channel_id": f"display:{n}"} for n in range(1, 30)],
    ],
)
def test_wrong_channels_are_refused(rows: Any) -> None:
    with pytest.raises(CommandError, match="channel"):
        parse_channels({"channels": rows})
