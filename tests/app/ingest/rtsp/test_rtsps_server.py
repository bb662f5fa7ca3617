"""The port itself: what is refused, what is closed, and what the rows say of a publisher."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from app.base.ids import new_id
from app.base.settings import Settings
from app.domain.nodes.models import IngestNode
from app.domain.nodes.service import list_live_nodes
from app.domain.streams.models import Stream
from app.embedded.private_files import free_port
from app.ingest.live import Live, open_live
from app.ingest.node import announced
from app.ingest.rtsp import connection
from app.ingest.rtsp.server import open_rtsps, public_host
from app.process import Context, open_context
from app.wire.publish_paths import publish_path
from tests.fixtures.factories import make_session, make_tenant, start_session, stop_session
from tests.fixtures.recorder_media import AUDIO_SDP, VIDEO_SDP, RtpSender, Sound
from tests.fixtures.vendor_recorder import Refused, RtspClient

CLOSED_SECONDS = 10


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rtsps_port": free_port(), "media_silence_seconds": 1.0})


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[Live]:
    """An ingest process with its port open, on a context of its own."""
    context = open_context(settings)
    async with (
        open_live(context) as opened,
        open_rtsps(context, opened) as door,
        announced(context, opened, door),
    ):
        yield opened
    await context.close()


@pytest.fixture
async def mic(context: Context) -> str:
    """The stream of a session that waits for its mic."""
    session_id = await make_session(context, await make_tenant(context))
    return (await start_session(context, session_id))["mic:default"]


async def client_of(context: Context, path: str) -> RtspClient:
    async with context.db.transaction() as session:
        (node,) = await list_live_nodes(session)
    client = RtspClient(f"rtsps://{node.rtsps_host}:{node.rtsps_port}/{path}", node.rtsps_pin)
    await client.connect()
    return client


async def state_of(context: Context, stream_id: str) -> str:
    async with context.db.transaction() as session:
        return (await session.get_one(Stream, stream_id)).publisher_state


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + CLOSED_SECONDS
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_publisher_is_live_then_said_goodbye_then_may_return(
    context: Context, live: Live, mic: str
) -> None:
    for _ in range(2):
        client = await client_of(context, publish_path(context.settings, mic))
        await client.publish(AUDIO_SDP)
        for packet in RtpSender(Sound(), time.time()).packetised(b"\x21\x10\x04\x60\x8c\x1c", time.time()):
            client.send(0, packet)
        await client.request("OPTIONS", client.url)
        assert await state_of(context, mic) == "live"
        await client.teardown()

        async def ended() -> bool:
            return await state_of(context, mic) == "ended"

        await until(ended)


async def test_a_connection_that_breaks_is_lost_not_ended(context: Context, live: Live, mic: str) -> None:
    client = await client_of(context, publish_path(context.settings, mic))
    await client.publish(AUDIO_SDP)
    client.die()

    async def lost() -> bool:
        return await state_of(context, mic) == "lost"

    await until(lost)


async def test_silence_is_a_loss_whatever_requests_come(context: Context, live: Live, mic: str) -> None:
    client = await client_of(context, publish_path(context.settings, mic))
    await client.publish(AUDIO_SDP)

    async def closed() -> bool:
        try:
            await client.request("OPTIONS", client.url)
        except (EOFError, OSError):
            return True
        return False

    await until(closed)

    async def lost() -> bool:
        return await state_of(context, mic) == "lost"

    await until(lost)


async def test_one_publisher_a_stream(context: Context, live: Live, mic: str) -> None:
    first = await client_of(context, publish_path(context.settings, mic))
    await first.publish(AUDIO_SDP)
    second = await client_of(context, publish_path(context.settings, mic))
    with pytest.raises(Refused, match="455"):
        await second.publish(AUDIO_SDP)
    await first.request("OPTIONS", first.url)
    first.die()
    second.die()


async def test_what_is_not_for_this_stream_is_refused(context: Context, live: Live, mic: str) -> None:
    path = publish_path(context.settings, mic)
    unknown = publish_path(context.settings, new_id("rts"))
    for wrong, sdp, status in [
        (path[:-1], AUDIO_SDP, "404"),
        ("", AUDIO_SDP, "404"),
        (unknown, AUDIO_SDP, "404"),
        (path, VIDEO_SDP, "415"),
        (path, AUDIO_SDP.replace("MPEG4-GENERIC", "opus"), "415"),
        (path, "hello", "415"),
    ]:
        client = await client_of(context, wrong)
        with pytest.raises(Refused, match=status):
            await client.publish(sdp)
        client.die()
    assert await state_of(context, mic) == "none"


async def test_a_stopped_session_takes_no_media(context: Context, live: Live) -> None:
    session_id = await make_session(context, await make_tenant(context))
    stream_id = (await start_session(context, session_id))["mic:default"]
    await stop_session(context, session_id)
    client = await client_of(context, publish_path(context.settings, stream_id))
    with pytest.raises(Refused, match="455"):
        await client.publish(AUDIO_SDP)
    client.die()


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("SETUP", {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}, "455"),
        ("RECORD", {}, "455"),
        ("TEARDOWN", {"Session": "another"}, "454"),
        ("PLAY", {}, "501"),
    ],
)
async def test_requests_out_of_order_are_refused(
    context: Context, live: Live, mic: str, method: str, headers: dict[str, str], status: str
) -> None:
    client = await client_of(context, publish_path(context.settings, mic))
    await client.request("OPTIONS", client.url)
    with pytest.raises(Refused, match=status):
        await client.request(method, client.url, headers)
    client.die()


async def test_only_interleaved_tcp_is_set_up(context: Context, live: Live, mic: str) -> None:
    client = await client_of(context, publish_path(context.settings, mic))
    await client.request("ANNOUNCE", client.url, body=AUDIO_SDP)
    with pytest.raises(Refused, match="461"):
        await client.request("SETUP", client.url, {"Transport": "RTP/AVP;unicast;client_port=5000-5001"})
    client.die()


@pytest.mark.parametrize(
    "sent", [b"OPTIONS rtsp://127.0.0.1/x RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"\x00\xff" * 500, b""]
)
async def test_what_is_not_tls_is_closed(context: Context, live: Live, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", context.settings.rtsps_port)
    writer.write(sent)
    async with asyncio.timeout(CLOSED_SECONDS):
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
    assert b"RTSP" not in answer
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"OPT", b"$\x00\xff\xffabc", b"$\x00\x00\x01a" * 20])
async def test_whoever_dawdles_is_closed(
    context: Context, live: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "SETUP_SECONDS", 0.5)
    await closed_after(context, sent)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 40_000])
async def test_garbage_inside_tls_is_closed(context: Context, live: Live, sent: bytes) -> None:
    await closed_after(context, sent)


async def closed_after(context: Context, sent: bytes) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", context.settings.rtsps_port, ssl=tls)
    writer.write(sent)
    async with asyncio.timeout(CLOSED_SECONDS):
        with suppress(ConnectionResetError, ssl.SSLError):
            assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken_leaves_the_process_up_without_rtsps(context: Context, live: Live) -> None:
    async with open_live(context) as other, open_rtsps(context, other) as door:
        assert door is None
        async with announced(context, other, door), context.db.transaction() as session:
            mute = await session.get_one(IngestNode, other.publisher_id)
            assert (mute.rtsps_port, mute.rtsps_pin) == (0, "")
            assert (await session.get_one(IngestNode, live.publisher_id)).rtsps_pin


async def test_a_node_is_gone_when_its_process_ends(settings: Settings) -> None:
    context = open_context(settings)
    async with (
        open_live(context) as opened,
        announced(context, opened, None),
        context.db.transaction() as session,
    ):
        (node,) = await list_live_nodes(session)
        assert (node.id, node.whip_url) == (opened.publisher_id, settings.base_url)
        assert (node.publishers, node.max_publishers) == (0, settings.max_publishers)
    async with context.db.transaction() as session:
        assert await list_live_nodes(session) == []
    await context.close()


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ({"public_url": "https://capture.example/base"}, "capture.example"),
        ({"host": "10.0.0.7"}, "10.0.0.7"),
        ({"public_url": "http://[::1]:8080"}, "[::1]"),
        ({"rtsps_host": "media.example", "public_url": "https://capture.example"}, "media.example"),
    ],
)
def test_publishers_are_told_a_host_they_can_reach(given: dict[str, str], host: str) -> None:
    assert public_host(Settings(**given)) == host
