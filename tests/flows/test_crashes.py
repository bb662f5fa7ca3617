"""Kill -9 of relay and worker in the middle of a capture: it goes on, and its events come in order."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, Publication, capture_driver
from tests.fixtures.publisher import AudioTrack, Publisher, VideoTrack
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack, running_stack
from tests.fixtures.webhooks import WebhookReceiver

LIFECYCLE = ["created", "starting", "active", "stopping", "stopped", "exported"]
RETURN_SECONDS = 30

pytestmark = pytest.mark.slow


@pytest.fixture
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A product of this test's own, whose leases run out soon."""
    for database_url in cloned_database(servers):
        data_dir = tmp_path_factory.mktemp("crash") / "data"
        with running_stack(
            data_dir, database_url, servers.broker_of(2), CAPTURE_EXPORT_LEASE_SECONDS="3"
        ) as up:
            yield up


async def test_worker_and_relay_die_while_a_capture_stops_and_is_exported(
    own_stack: RunningStack, webhooks: WebhookReceiver
) -> None:
    async with capture_driver(own_stack, callback_url=webhooks.url) as driver:
        await driver.start(MIC, DISPLAY)
        publications = [await driver.publish(*one) for one in channels()]
        await driver.wait_for("active")
        own_stack.kill("relay")
        await asyncio.sleep(3)
        await driver.stop()
        own_stack.kill("worker")
        for publication in publications:
            await publication.publisher.close()
        await driver.wait_for("stopped", "exported")
        own_stack.kill("relay")
        session = await driver.wait_for("exported", "failed", seconds=60)
        assert session["status"] == "exported"
        exported = await asyncio.to_thread(
            webhooks.wait_for, "capture_session.exported", driver.session_id, 90
        )
        assert exported["data"]["exported_video_id"] == session["exported_video_id"]
        # At least once: what a kill made come twice has the same id, and the order is that of the session.
        bodies = webhooks.events(driver.session_id)
        first_seen = list(dict.fromkeys((body["id"], body["status"]) for body in bodies))
        assert [status for _, status in first_seen] == LIFECYCLE
        assert len({body["id"] for body in bodies}) == len(LIFECYCLE)


def channels() -> list[tuple[str, AudioTrack | VideoTrack]]:
    return [("mic:default", AudioTrack()), ("display:1", VideoTrack(Codec.H264))]


async def come_back(driver: CaptureDriver, channel_id: str, track: AudioTrack | VideoTrack) -> Publication:
    """Publish again as the recorder does: until it is taken."""
    publisher = Publisher(track)
    deadline = time.monotonic() + RETURN_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = await driver.offer(channel_id, await publisher.offer())
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 201:
            await publisher.accept(answer.text)
            return Publication(publisher, answer.headers["location"], answer.headers["etag"])
        await asyncio.sleep(0.5)
    raise AssertionError(f"{channel_id} was not taken back: {answer.text if answer else 'no answer'}")
