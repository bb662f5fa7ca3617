"""Kill -9 of the worker, and then of ingest, while somebody speaks: no utterance is lost or comes twice."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest

from app.base.speaking import ABANDONED_SECONDS
from tests.fixtures.capture import MIC, CaptureDriver, capture_driver
from tests.fixtures.media import OPUS_RATE_HZ, opus_packets, read_speech
from tests.fixtures.publisher import EncodedTrack
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.spoken_words import TWO_CITIES, word_error_rate
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = pytest.mark.slow

LEAD_SECONDS = 2.0  # so that the transcription runs before the first word
SPOKEN_SECONDS = 18.0
RESCUED_SECONDS = ABANDONED_SECONDS + 25


@pytest.fixture
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A product of this test's own."""
    for database_url in cloned_database(servers):
        data_dir = tmp_path_factory.mktemp("speech_crash") / "data"
        with running_stack(data_dir, database_url, servers.broker_of(5)) as up:
            yield up


async def records(driver: CaptureDriver, stream_id: str) -> list[dict[str, Any]]:
    answer = await driver.http.get(f"/rtstream/{stream_id}/transcription")
    found: list[dict[str, Any]] = answer.json()["data"]["transcription_records"]
    return found


async def wait_for_words(driver: CaptureDriver, stream_id: str, words: str, seconds: float) -> str:
    """The whole transcript, once `words` are in it."""
    async with asyncio.timeout(seconds):
        while True:
            with suppress(httpx.TransportError):  # the web process is what was killed
                text = " ".join(one["text"] for one in await records(driver, stream_id))
                if words in re.sub(r"[^a-z ]", "", text.lower()):
                    return text
            await asyncio.sleep(0.2)


async def test_speech_survives_the_worker_and_then_ingest(own_stack: RunningStack) -> None:
    spoken = read_speech("two_cities.wav", rate_hz=OPUS_RATE_HZ)[: round(SPOKEN_SECONDS * OPUS_RATE_HZ)]
    lead = np.zeros(round(LEAD_SECONDS * OPUS_RATE_HZ), np.float32)
    track = EncodedTrack(opus_packets(np.concatenate([lead, spoken])), 3600.0)
    async with capture_driver(own_stack) as driver:
        await driver.start(MIC)
        publication = await driver.publish("mic:default", track)
        stream_id = (await driver.wait_for("active"))["rtstreams"][0]["rtstream_id"]
        started = await driver.http.post(f"/rtstream/{stream_id}/transcription", json={"action": "start"})
        assert started.status_code == 200
        # The first utterance is over, and its words are being found.
        await track.wait_until(LEAD_SECONDS + 13.3)
        own_stack.kill("worker")
        # "It was the season of light, it was" has been said, and nothing of it is final.
        await track.wait_until(LEAD_SECONDS + 15.9)
        own_stack.kill("web")
        await publication.publisher.close()
        text = await wait_for_words(driver, stream_id, "season of light", RESCUED_SECONDS)
        for once in ("best of times", "epoch of belief", "season of light"):
            assert text.lower().count(once) == 1, text
        reference = TWO_CITIES.lower().partition("light")[0] + "light"
        heard = text.lower().partition("light")[0] + "light"
        assert word_error_rate(reference, heard) < 0.1
