"""How soon after it was said speech is read on a socket, beside what the bare engine needs for it.

The whole product as `capture up` starts it, publishers over WHIP that play read speech with its own pauses,
each from another place of it, and one socket. The end of speech is where the voice activity model hears it
end in the file; frames are taken on the same machine's clock. Then speech that has piled up on four streams
is worked off, against the bare engine's batch: as many threads as cores, nothing else to do.

    python -m bench.understanding [--streams 1,2,4] [--seconds S] [--goal]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import websockets
from numpy.typing import NDArray
from sqlalchemy import func, select

from app.base.ids import new_id
from app.base.settings import Settings
from app.domain.transcripts.models import SpeechChunk
from app.domain.transcripts.service import add_speech
from app.embedded.postgres import running_postgres
from app.embedded.valkey import running_valkey
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter, encode_speech
from app.process import Context, open_context
from app.storage.keys import speech_key
from tests.fixtures.capture import MIC, capture_driver
from tests.fixtures.factories import make_active, make_tenant
from tests.fixtures.media import OPUS_RATE_HZ, opus_packets, read_speech
from tests.fixtures.publisher import EncodedTrack
from tests.fixtures.servers import migrate
from tests.fixtures.stack import RunningStack, running_stack
from workers.engines.registry import open_speech_engine

SPEECH = "two_cities.wav"
PADDING_SECONDS = 0.2  # what the cutter leaves of the pause
GOAL_FINAL_SECONDS = 1.5  # p95 at two streams, and this times the figure of one
GOAL_RATIO = 1.5
GOAL_INTERIM_SECONDS = 2.0
GOAL_THROUGHPUT = 0.8
BACKLOG_STREAMS = 4
LIMIT_SECONDS = 240.0
Sound = NDArray[np.float32]


@dataclass
class Heard:
    """Delays in seconds; `missed` utterances had no final."""

    finals: list[float] = field(default_factory=list)
    interims: list[float] = field(default_factory=list)
    missed: int = 0


def p(part: float, values: Sequence[float]) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")


def said(rate_hz: int, shift: float, seconds: float) -> Sound:
    """The speech, over and over, from `shift` of it on."""
    whole = read_speech(SPEECH, rate_hz=rate_hz)
    return np.resize(np.roll(whole, -round(shift * len(whole))), round(seconds * rate_hz))


def utterances_of(sound: Sound) -> list[Utterance]:
    cutter = UtteranceCutter()
    return cutter.feed(sound, 0) + cutter.flush()


def bare_engine(utterances: Sequence[Utterance]) -> tuple[list[float], float]:
    """Seconds for each utterance alone, and seconds of sound a second where all cores work on all of them."""
    engine = open_speech_engine(Settings(worker_threads=os.cpu_count() or 1))
    engine.load()
    alone = []
    for one in utterances:
        begun = time.perf_counter()
        engine.transcribe(one.samples)
        alone.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda one: engine.transcribe(one.samples), utterances))
    length = sum(len(one.samples) for one in utterances) / SAMPLE_RATE_HZ
    return alone, length / (time.perf_counter() - begun)


async def hear(stack: RunningStack, streams: int, seconds: float) -> Heard:
    """Publish on so many streams at once, and take the times of what the socket receives."""
    heard = Heard()
    async with AsyncExitStack() as all_of_it:
        drivers = [await all_of_it.enter_async_context(capture_driver(stack)) for _ in range(streams)]
        answer = await drivers[0].http.get("/collection/default/websocket")
        socket = await all_of_it.enter_async_context(
            websockets.connect(answer.json()["data"]["websocket_url"])
        )
        connection_id = json.loads(await socket.recv())["connection_id"]
        frames: list[tuple[float, dict[str, object]]] = []

        async def listen() -> None:
            while True:
                text = await socket.recv()
                frames.append((time.time(), json.loads(text)))

        listening = asyncio.create_task(listen())
        tracks: dict[str, tuple[EncodedTrack, list[Utterance]]] = {}
        for number, driver in enumerate(drivers):
            shift = number / streams
            track = EncodedTrack(opus_packets(said(OPUS_RATE_HZ, shift, seconds)), seconds + LIMIT_SECONDS)
            await driver.start(MIC)
            published = await driver.publish("mic:default", track)
            all_of_it.push_async_callback(published.publisher.close)
            session = await driver.wait_for("active")
            stream_id = session["rtstreams"][0]["rtstream_id"]
            started = {"action": "start", "ws_connection_id": connection_id}
            (await driver.http.post(f"/rtstream/{stream_id}/transcription", json=started)).raise_for_status()
            tracks[stream_id] = track, utterances_of(said(SAMPLE_RATE_HZ, shift, seconds))
        await asyncio.sleep(seconds + 4)
        for driver in drivers:
            await driver.stop()
        listening.cancel()
        for stream_id, (track, utterances) in tracks.items():
            own = [(at, frame) for at, frame in frames if frame.get("rtstream_id") == stream_id]
            _measure(heard, own, track, utterances)
    return heard


def _measure(
    heard: Heard, frames: list[tuple[float, dict[str, object]]], track: EncodedTrack, said: list[Utterance]
) -> None:
    first: float | None = None
    finals: list[tuple[float, float]] = []
    for at, frame in frames:
        data = frame["data"]
        assert isinstance(data, dict)
        first = first or data["start"] / 1000
        if frame["is_final"]:
            finals.append((at, (data["start"] + data["end"]) / 2000))
        else:
            heard.interims.append(at - data["end"] / 1000)
    for one in said[:-1]:  # the last is cut off by the end of the run
        begun, ended = (track.started_at + us / 1e6 for us in (one.started_at_us, one.ended_at_us))
        if first is None or begun < first - 0.5:
            continue  # said before the transcription ran
        arrived = [at for at, middle in finals if begun < middle < ended]
        heard.missed += not arrived
        heard.finals += [arrived[0] - (ended - PADDING_SECONDS)] if arrived else []


async def work_off(context: Context, utterances: Sequence[Utterance]) -> float:
    """Seconds of sound a second, of speech that has piled up on several streams of a running product."""
    tenant = await make_tenant(context)
    opened = [(await make_active(context, tenant))[1]["mic:default"] for _ in range(BACKLOG_STREAMS)]
    pile = []
    for stream_id in opened:
        for one in utterances:
            key = speech_key(tenant.account_id, stream_id, new_id("utt"))
            await context.storage.put_bytes(key, encode_speech(one.samples))
            pile.append((stream_id, key, one))
    begun = time.perf_counter()
    async with context.db.transaction() as session:
        for stream_id, key, one in pile:
            await add_speech(
                session,
                chunk_id=new_id("utt"),
                stream_id=stream_id,
                storage_key=key,
                started_at_us=one.started_at_us,
                ended_at_us=one.ended_at_us,
            )
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            async with context.db.transaction() as session:
                if not await session.scalar(select(func.count()).select_from(SpeechChunk)):
                    break
            await asyncio.sleep(0.05)
    length = sum(len(one.samples) for _, _, one in pile) / SAMPLE_RATE_HZ
    return length / (time.perf_counter() - begun)


def measure(folder: Path, streams: Sequence[int], seconds: float) -> bool:
    """Print the figures; whether the goals are held."""
    utterances = utterances_of(read_speech(SPEECH, rate_hz=SAMPLE_RATE_HZ))
    found: dict[int, Heard] = {}
    servers = folder / "servers"
    with running_postgres(servers) as database_url, running_valkey(servers) as redis_url:
        migrate(database_url)
        data_dir = folder / "data"
        with running_stack(data_dir, database_url, redis_url, CAPTURE_LOG_LEVEL="WARNING") as stack:
            alone, batch = bare_engine(utterances)
            bare = p(0.95, alone)
            print(f"bare engine: p50 {p(0.5, alone):.2f} s, p95 {bare:.2f} s; batch {batch:.1f} x real time")
            for count in streams:
                found[count] = one = asyncio.run(hear(stack, count, seconds))
                print(f"{count} stream{'s' * (count > 1)}: {_described(one, bare)}")
            settings = Settings(database_url=database_url, redis_url=redis_url, data_dir=data_dir)

            async def backlog() -> float:
                context = open_context(settings)
                try:
                    return await work_off(context, utterances)
                finally:
                    await context.close()

            live = asyncio.run(backlog())
            _, after = bare_engine(utterances)
            share = live / ((batch + after) / 2)
            print(f"live throughput {live:.1f} x, {share:.2f} of the batch, measured before and after")
    return _held(found, share)


def _described(heard: Heard, bare: float) -> str:
    p50, p95 = (p(part, heard.finals) for part in (0.5, 0.95))
    young, old = (p(part, heard.interims) for part in (0.5, 0.95))
    return (
        f"end of speech to final p50 {p50:.2f} s, p95 {p95:.2f} s ({p95 / bare:.1f} x the bare engine),"
        f" of {len(heard.finals)}, {heard.missed} missed;"
        f" interim age p50 {young:.2f} s, p95 {old:.2f} s, of {len(heard.interims)}"
    )


def _held(found: dict[int, Heard], share: float) -> bool:
    p95 = {count: p(0.95, one.finals) for count, one in found.items()}
    verdicts = {f"throughput >= {GOAL_THROUGHPUT:g} of the batch": share >= GOAL_THROUGHPUT}
    if 2 in found:
        verdicts[f"final p95 <= {GOAL_FINAL_SECONDS:g} s"] = p95[2] <= GOAL_FINAL_SECONDS
        interim = p(0.95, found[2].interims)
        verdicts[f"interim age p95 <= {GOAL_INTERIM_SECONDS:g} s"] = interim <= GOAL_INTERIM_SECONDS
    if {1, 2} <= found.keys():
        verdicts[f"two streams <= {GOAL_RATIO:g} x one"] = p95[2] <= GOAL_RATIO * p95[1]
    for goal, held in verdicts.items():
        print(f"{goal}: {'held' if held else 'missed'}")
    return all(verdicts.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", default="1,2,4")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--goal", action="store_true", help="exit with 1 where the goals are missed")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-understanding-") as folder:
        held = measure(Path(folder), [int(one) for one in wanted.streams.split(",")], wanted.seconds)
    return 1 if wanted.goal and not held else 0


if __name__ == "__main__":
    sys.exit(main())
