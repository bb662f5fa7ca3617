"""What a capture keeps when ingest is killed, the store hangs, the database restarts, the disk is full."""

import asyncio
import io
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from app.base.db import Database
from app.base.settings import Settings
from app.domain.streams.models import Segment
from app.domain.streams.service import list_segments
from app.embedded.postgres import kept_postgres_url
from app.media.frames import Codec
from app.storage.registry import open_storage
from tests.fixtures.capture import (
    DISPLAY,
    MIC,
    SYSTEM_AUDIO,
    CaptureDriver,
    Json,
    Publication,
    capture_driver,
)
from tests.fixtures.eventually import eventually
from tests.fixtures.faulty_proxy import Fault, faulty_proxy
from tests.fixtures.probing import assert_every_frame_decodes, assert_every_segment_decodes
from tests.fixtures.publisher import AudioTrack, VideoTrack
from tests.fixtures.s3 import S3Server
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack, running_stack
from tests.fixtures.webhooks import WebhookReceiver
from tests.flows.test_crashes import LIFECYCLE, channels, come_back
from tests.flows.test_recording import download, flashes_and_beeps

FRAME_SECONDS = 0.067
LOST_SECONDS = 1.0 + FRAME_SECONDS  # a channel, at each kill
KILLS = 3
HANG_SECONDS = 60
ANSWER_SECONDS = 2.0
# Without a kill nothing is missing: what is between two segments is a picture's jitter.
STEP_SECONDS = 0.1

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Spans:
    """When one stream was recorded: its segments' beginnings and ends, in Unix seconds."""

    segments: list[Segment]

    @property
    def times(self) -> list[tuple[float, float]]:
        return [
            (one.started_at_us / 1e6, (one.started_at_us + one.duration_us) / 1e6) for one in self.segments
        ]

    def lost_before(self, at: float) -> float:
        """Seconds before `at` of which nothing was kept."""
        return at - max(end for start, end in self.times if start < at)

    @property
    def widest_hole_seconds(self) -> float:
        return max((later[0] - earlier[1] for earlier, later in pairwise(self.times)), default=0.0)


@asynccontextmanager
async def product(
    data_dir: Path, database_url: str, redis_url: str, **more: str
) -> AsyncIterator[RunningStack]:
    """A product of a test's own, started and ended without stopping the test's event loop."""
    with ExitStack() as stack:
        running = running_stack(data_dir, database_url, redis_url, **more)
        yield await asyncio.to_thread(stack.enter_context, running)
        await asyncio.to_thread(stack.close)


@pytest.fixture
def own_database(servers: Servers) -> Iterator[str]:
    yield from cloned_database(servers)


async def spans(database_url: str, capture: Json) -> list[Spans]:
    """What was recorded of each channel of the session."""
    database = Database(database_url)
    try:
        async with database.transaction() as session:
            rows = [await list_segments(session, stream["id"]) for stream in capture["rtstreams"]]
    finally:
        await database.close()
    assert all(rows)
    return [Spans(segments) for segments in rows]


async def end(publications: list[Publication]) -> float:
    """Let the publishers fall silent; returns when."""
    for publication in publications:
        publication.publisher.track.stop()
    return time.time()


def all_channels() -> list[tuple[str, AudioTrack | VideoTrack]]:
    return [*channels(), ("system_audio:default", AudioTrack())]


async def test_a_kill_of_ingest_costs_a_second_at_most_and_no_session(
    own_database: str, servers: Servers, tmp_path: Path
) -> None:
    async with (
        product(tmp_path / "data", own_database, servers.broker_of(3)) as stack,
        capture_driver(stack) as driver,
    ):
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        publications = [await driver.publish(*one) for one in all_channels()]
        await driver.wait_for("active")
        began, kills = time.time(), []
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(2, 5))
            kills.append(time.time())
            stack.kill("web")
            publications += [await come_back(driver, *one) for one in all_channels()]
        await asyncio.sleep(2)
        assert (await driver.read())["status"] == "active"
        ended = await end(publications)
        assert (await driver.stop()).status_code == 200
        session = await driver.wait_for("exported", "failed")
        for publication in publications:
            await publication.publisher.close()
        assert session["status"] == "exported"
        # What was away stays away in time.
        video = await download(driver, session["exported_video_id"])
        flashes, _, duration, _ = flashes_and_beeps(io.BytesIO(video))
        assert duration == pytest.approx(ended - began, abs=2.0)
        assert any(at < kills[0] - began for at in flashes)
        assert any(at > kills[-1] - began for at in flashes)
        assert len({stream["id"] for stream in session["rtstreams"]}) == 3
        for recorded in await spans(own_database, session):
            for killed in kills:
                assert recorded.lost_before(killed) <= LOST_SECONDS, killed - began
            assert ended - recorded.times[-1][1] <= LOST_SECONDS
            # Each publication is a run of its own, and holes are where the kills were.
            assert sum(segment.discontinuity for segment in recorded.segments) == 1 + KILLS
            for before, after in pairwise(recorded.segments):
                hole = (after.started_at_us - before.started_at_us - before.duration_us) / 1e6
                assert after.discontinuity or hole <= STEP_SECONDS
        assert not list((stack.data_dir / "spool").glob("*/*"))


async def test_a_store_that_hangs_for_a_minute_costs_nothing(
    own_database: str, servers: Servers, s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = f"flow-{secrets.token_hex(4)}"
    s3_server.make_bucket(bucket)
    async with (
        faulty_proxy(s3_server.port) as proxy,
        product(
            tmp_path / "data",
            own_database,
            servers.broker_of(4),
            CAPTURE_STORAGE_URL=s3_server.url(bucket, port=proxy.port),
            CAPTURE_SEGMENT_SECONDS="2",
            **s3_server.keys,
        ) as stack,
        capture_driver(stack) as driver,
    ):
        await driver.start(MIC, DISPLAY)
        publications = [await driver.publish(*one) for one in channels()]
        await driver.wait_for("active")
        faults = ((Fault.NONE, 1), (Fault.HANG, HANG_SECONDS), (Fault.BUSY, 3), (Fault.RESET, 3))
        for fault, seconds in faults:
            proxy.fault = fault
            for _ in range(seconds):
                # Meanwhile everything else answers, in time.
                read = await driver.http.get(
                    f"/collection/default/capture/session/{driver.session_id}", timeout=ANSWER_SECONDS
                )
                assert read.json()["data"]["status"] == "active"
                await asyncio.sleep(1)
        ready = (await driver.http.get("/readyz", timeout=ANSWER_SECONDS)).json()["data"]
        assert ready["spool"]["segments"] >= 2 * (HANG_SECONDS // 2 - 4)
        ended = await end(publications)
        assert (await driver.stop()).status_code == 200
        await asyncio.sleep(1)
        assert (await driver.read())["status"] == "stopping"
        proxy.fault = Fault.NONE
        session = await driver.wait_for("exported", "failed")
        for publication in publications:
            await publication.publisher.close()
        assert session["status"] == "exported"
        for recorded in await spans(own_database, session):
            assert recorded.times[-1][1] - recorded.times[0][0] > HANG_SECONDS
            assert recorded.widest_hole_seconds <= STEP_SECONDS
            assert recorded.times[-1][1] == pytest.approx(ended, abs=LOST_SECONDS)
        assert_every_frame_decodes(await download(driver, session["exported_video_id"]))
        assert not list((stack.data_dir / "spool").glob("*/*"))
        assert not (stack.data_dir / "objects").exists()


async def stopped(driver: CaptureDriver) -> bool:
    """Ask for the stop; a database that is still coming back answers 503, and nothing else."""
    answer = await driver.stop()
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


@pytest.mark.parametrize(
    ("server", "with_signal"),
    # An immediate shutdown (SIGQUIT) is what `pg_ctl restart -m immediate` does.
    [("postgres", signal.SIGKILL), ("postgres", signal.SIGQUIT), ("valkey", signal.SIGKILL)],
)
async def test_a_database_or_broker_that_restarts_costs_nothing(
    server: str, with_signal: signal.Signals, webhooks: WebhookReceiver, tmp_path: Path
) -> None:
    async with (
        product(tmp_path / "data", "", "", CAPTURE_SEGMENT_SECONDS="2") as stack,
        capture_driver(stack, callback_url=webhooks.url) as driver,
    ):
        await driver.start(MIC, DISPLAY)
        publications = [await driver.publish(*one) for one in channels()]
        await driver.wait_for("active")
        await asyncio.sleep(2)
        stack.kill(server, with_signal)
        await asyncio.sleep(4)
        ended = await end(publications)
        await eventually(lambda: stopped(driver))
        session = await driver.wait_for("exported", "failed")
        for publication in publications:
            await publication.publisher.close()
        assert session["status"] == "exported"
        for recorded in await spans(kept_postgres_url(stack.data_dir), session):
            assert recorded.widest_hole_seconds <= STEP_SECONDS
            assert recorded.times[-1][1] == pytest.approx(ended, abs=LOST_SECONDS)
        await asyncio.to_thread(webhooks.wait_for, "capture_session.exported", driver.session_id, 20)
        bodies = webhooks.events(driver.session_id)
        assert list(dict.fromkeys(body["status"] for body in bodies)) == LIFECYCLE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_fails_the_session_and_keeps_its_segments(
    own_database: str, servers: Servers, webhooks: WebhookReceiver, small_disk: Path
) -> None:
    async with (
        product(
            small_disk / "data",
            own_database,
            servers.broker_of(6),
            CAPTURE_DISK_RESERVE_BYTES="0",
            CAPTURE_SEGMENT_SECONDS="2",
        ) as stack,
        capture_driver(stack, callback_url=webhooks.url) as driver,
    ):
        await driver.start(MIC, DISPLAY)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(Codec.H264, width=640, height=360)),
        ]
        await driver.wait_for("active")
        await asyncio.sleep(4.5)
        disk = os.statvfs(small_disk)
        with (small_disk / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, (disk.f_bavail - 40) * disk.f_frsize)
        session = await driver.wait_for("failed")
        for publication in publications:
            await publication.publisher.close()
        assert session["error"]["code"] == "disk_full"
        failed = await asyncio.to_thread(webhooks.wait_for, "capture_session.failed", driver.session_id, 20)
        assert failed["data"]["error"]["code"] == "disk_full"
        storage = open_storage((stack.data_dir / "objects").resolve().as_uri(), Settings())
        for recorded in await spans(own_database, session):
            assert recorded.times[-1][1] - recorded.times[0][0] > 4
            for segment in recorded.segments:
                kept = b"".join([block async for block in storage.read(segment.storage_key)])
                assert len(kept) == segment.size_bytes
                assert_every_frame_decodes(kept)
        segments = await assert_every_segment_decodes(session["live_stream_url"])
        assert set(segments) == {"video", "audio"}
