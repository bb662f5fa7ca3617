"""Two ingest processes beside one API: sessions are spread, and one that dies costs a detour."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from app.embedded.private_files import free_port
from tests.fixtures.capture import MIC, CaptureDriver, capture_driver, download
from tests.fixtures.eventually import eventually
from tests.fixtures.publisher import AudioTrack, Publisher
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack
from tests.flows.test_crash_safety import LOST_SECONDS, STEP_SECONDS, product, spans

pytestmark = pytest.mark.slow

SDP = {"content-type": "application/sdp"}


@pytest.fixture
def own_database(servers: Servers) -> Iterator[str]:
    yield from cloned_database(servers)


@dataclass
class IngestProcess:
    url: str
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@asynccontextmanager
async def ingest_process(stack: RunningStack) -> AsyncIterator[IngestProcess]:
    """One more process of the product, which takes media and nothing else."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = os.environ | {
        "CAPTURE_DOORS": "ingest",
        "CAPTURE_PORT": str(port),
        "CAPTURE_INGEST_URL": url,
        "CAPTURE_WEBRTC_PORT": "0",
        "CAPTURE_RTSPS_PORT": "0",
        "CAPTURE_DATA_DIR": str(stack.data_dir),
        "CAPTURE_SECRET_KEY": (stack.data_dir / "secret_key").read_text().strip(),
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
    }
    with (stack.data_dir.parent / f"ingest-{port}.log").open("wb") as log:
        process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, "-m", "app.cli", "web"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield IngestProcess(url, process)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


def host_of(driver: CaptureDriver) -> str:
    parts = urlsplit(driver.channels["mic:default"]["whip_url"])
    return f"{parts.scheme}://{parts.netloc}"


async def whip_url_now(driver: CaptureDriver) -> str:
    """What the status tells a recorder that asks where to publish."""
    answer = await driver.http.get(
        f"/capture/session/{driver.session_id}", headers={"x-access-token": driver.token}
    )
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["data"]["channels"][0]["whip_url"]
    return url


async def test_a_capture_goes_on_at_another_process_when_its_own_is_killed(
    own_database: str, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("ingests") / "data"
    async with (
        product(data_dir, own_database, servers.broker_of(6), CAPTURE_DOORS="api,hub,pages") as stack,
        capture_driver(stack) as first,
        capture_driver(stack) as second,
    ):
        refused = await first.start(MIC)
        assert (refused.status_code, refused.json()["error_code"]) == (503, "unavailable")
        assert refused.headers["retry-after"].isdigit()
        assert (await first.read())["status"] == "created"  # it can be started later
        async with ingest_process(stack) as one, ingest_process(stack) as other:

            async def both_serve() -> bool:
                for ingest in (one, other):
                    try:
                        await first.http.get(f"{ingest.url}/healthz")
                    except httpx.TransportError:
                        return False
                return True

            await eventually(both_serve)
            assert (await first.start(MIC)).status_code == 200
            assert (await second.start(MIC)).status_code == 200
            assert {host_of(first), host_of(second)} == {one.url, other.url}
            assert (await first.start(MIC)).status_code == 200  # said again, it is the same process
            assert await whip_url_now(first) == first.channels["mic:default"]["whip_url"]
            cut = await publish_at_the_wrong_one(first, wrong_host=host_of(second))
            kept = await second.publish("mic:default", AudioTrack())
            killed, left = (one, other) if host_of(first) == one.url else (other, one)
            await first.wait_for("active")
            await second.wait_for("active")
            await asyncio.sleep(3)
            killed.kill()
            killed_at = time.time()
            with pytest.raises(httpx.TransportError):
                await first.offer("mic:default", "v=0")

            async def led_elsewhere() -> bool:
                return (await whip_url_now(first)).startswith(left.url)

            await eventually(led_elsewhere)
            await cut.close()
            back = await first.publish_at(await whip_url_now(first), Publisher(AudioTrack()))
            await asyncio.sleep(3)
            for driver, publication in ((first, back), (second, kept)):
                await driver.stop()
                await publication.publisher.close()
            for driver in (first, second):
                assert (await driver.wait_for("exported", "failed", seconds=60))["status"] == "exported"
        (interrupted,) = await spans(own_database, await first.read())
        (whole,) = await spans(own_database, await second.read())
        ids = [segment.id for segment in interrupted.segments + whole.segments]
        assert len(set(ids)) == len(ids)
        # The other process took up what the killed one had in the spool that they share.
        assert interrupted.lost_before(killed_at) <= LOST_SECONDS
        starts = [start for start, _ in interrupted.times]
        assert all(start >= end for start, (_, end) in zip(starts[1:], interrupted.times, strict=False))
        assert whole.widest_hole_seconds <= STEP_SECONDS
        assert not any((data_dir / "spool").glob("rts-*"))
        session = await first.read()
        assert len(await download(first, session["rtstreams"][0]["exported_asset_id"])) > 10_000


async def publish_at_the_wrong_one(driver: CaptureDriver, wrong_host: str) -> Publisher:
    """A publisher that asks the wrong process is led to the right one, by a URL that needs no credential."""
    url = driver.channels["mic:default"]["whip_url"]
    path = urlsplit(url).path
    publisher = Publisher(AudioTrack())
    offer = await publisher.offer()
    bearer = SDP | {"authorization": f"Bearer {driver.token}"}
    async with httpx.AsyncClient(timeout=20) as http:
        anyone = await http.post(wrong_host + path, content=offer, headers=SDP)
        assert anyone.status_code == 401
        led = await http.post(wrong_host + path, content=offer, headers=bearer)
        assert (led.status_code, led.headers["access-control-allow-origin"]) == (307, "*")
        assert led.headers["location"].startswith(f"{url}?ticket=")
        forged = await http.post(led.headers["location"] + "x", content=offer, headers=SDP)
        assert forged.status_code == 401
        elsewhere = led.headers["location"].replace("/whip/rts-", "/whip/rts-x")
        assert (await http.post(elsewhere, content=offer, headers=SDP)).status_code == 401
        # httpx, like browsers, sends no Authorization to another origin.
        taken = await http.post(wrong_host + path, content=offer, headers=bearer, follow_redirects=True)
        assert taken.status_code == 201
        assert str(httpx.URL(taken.url).join(taken.headers["location"])).startswith(f"{url}/")
    await publisher.accept(taken.text)
    return publisher
