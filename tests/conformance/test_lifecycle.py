"""Checks 13, 14, 15, 17, 20: a capture's way through its statuses, its streams and its webhooks."""

import re

from tests.fixtures.captures import Capture
from tests.fixtures.sdks import Sdk


def test_check_13_three_channels_start_and_node_sees_three_streams(meeting: Capture, node: Sdk) -> None:
    assert meeting.channels == ["mic:default", "display:1", "system_audio:default"]
    names = [event["event"].removeprefix("capture_session.") for event in meeting.events]
    assert names[:3] == ["created", "starting", "active"]
    assert meeting.live == "active"
    streams = node.run(
        """
        const session = await videodb.connect({ apiKey: api_key, baseUrl: base_url }).getCaptureSession(id);
        await session.refresh();
        emit(session.rtstreams.map(({ id, channelId, mediaTypes }) => ({ id, channelId, mediaTypes })));
        """,
        id=meeting.session_id,
    )
    real = {row["id"]: row for row in reversed(streams)}.values()
    assert sorted((row["channelId"], row["mediaTypes"]) for row in real) == [
        ("mic", ["audio"]),
        ("screen", ["video"]),
        ("system_audio", ["audio"]),
    ]
