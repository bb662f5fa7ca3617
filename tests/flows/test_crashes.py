"""Kill -9 of relay and worker in the middle of a capture: it goes on, and its events come in order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from app.base.db import Database
from app.domain.exports.service import request_export
from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, Publication, capture_driver
from tests.fixtures.publisher import AudioTrack, Publisher, VideoTrack
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack, running_stack
from tests.fixtures.webhooks import WebhookReceiver

LIFECYCLE = ["created", "starting", "active", "stopping", "stopped", "exported"]
RETURN_SECONDS = 30
TAKEN_OVER_SECONDS = 30

pytestmark = pytest.mark.slow


@pytest.fixture
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A product of this test's own."""
    for database_url in cloned_database(servers):
        data_dir = tmp_path_factory.mktemp("crash") / "data"
        with running_stack(data_dir, database_url, servers.broker_of(2)) as up:
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


async def test_an_export_whose_worker_was_killed_is_taken_over_in_time(own_stack: RunningStack) -> None:
    async with capture_driver(own_stack) as driver:
        await driver.start(MIC, DISPLAY)
        publications = [await driver.publish(*one) for one in channels()]
        await driver.wait_for("active")
        await asyncio.sleep(3)
        own_stack.kill("worker", signal.SIGSTOP)  # so that another one has the export
        await driver.stop()
        for publication in publications:
            await publication.publisher.close()
        await driver.wait_for("stopped")
        database = Database(own_stack.database_url)
        async with database.transaction() as session:
            operation = await request_export(session, driver.session_id)
        await database.close()
        assert operation is not None
        environment = os.environ | {
            "DATABASE_URL": own_stack.database_url,
            "REDIS_URL": own_stack.redis_url,
            "CAPTURE_DATA_DIR": str(own_stack.data_dir),
        }
        point = "the recording is half copied"
        doomed = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fixtures.doomed_worker", operation.id, point, env=environment
        )
        assert await asyncio.wait_for(doomed.wait(), 60) == -signal.SIGKILL
        own_stack.kill("worker")
        session = await driver.wait_for("exported", "failed", seconds=TAKEN_OVER_SECONDS)
        assert session["status"] == "exported"


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
