"""Live streams fed from memory: what the database says of them, and what they make of what it says."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from sqlalchemy import select

from app.base.errors import Unavailable
from app.base.ids import new_id
from app.base.redis import CONTROL_CHANNEL, publish
from app.domain.streams.models import Stream
from app.domain.streams.publishing import attach_publisher
from app.domain.transcripts import service as transcripts
from app.domain.transcripts.models import SpeechChunk
from app.ingest import pipeline as pipeline_module
from app.ingest.live import Live, open_live
from app.ingest.pipeline import PublishedStream
from app.ingest.sinks import recorder as recorder_module
from app.ingest.sinks import speech as speech_module
from app.media.frames import Codec
from app.process import Context
from tests.fakes.source import MemorySource
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import (
    Tenant,
    events_of,
    make_session,
    make_tenant,
    start_session,
    status_of,
    stop_session,
    stream_row,
)
from tests.fixtures.media import OPUS_RATE_HZ, START_US, h264_frames, opus_packets, read_speech, tone


@dataclass
class Studio:
    """A started session whose streams a test publishes from memory."""

    context: Context
    live: Live
    tenant: Tenant
    session_id: str
    streams: dict[str, str]
    sources: dict[str, MemorySource] = field(default_factory=dict)

    async def publish(self, name: str, *, store: bool = True) -> MemorySource:
        stream_id, publication = self.streams[name], new_id("pub")
        async with self.context.db.transaction() as session:
            await attach_publisher(session, stream_id, self.live.publisher_id, publication)
        source = MemorySource(Codec.H264 if name.startswith("display") else Codec.OPUS)
        has_sound = not source.codec.is_video
        stream = PublishedStream(
            self.tenant.account_id, self.session_id, stream_id, publication, store, START_US, has_sound
        )
        self.live.carry(source, stream)
        self.sources[name] = source
        return source

    async def knock(self) -> None:
        await publish(self.context.redis, CONTROL_CHANNEL, {"stream_id": "any"})

    async def becomes(self, status: str) -> None:
        await eventually(lambda: self._is(status), self.knock)

    async def _is(self, status: str) -> bool:
        return await status_of(self.context, self.session_id) == status

    async def publisher_state(self, name: str) -> str:
        return (await stream_row(self.context, self.streams[name])).publisher_state

    async def objects(self) -> list[str]:
        return await self.context.storage.list_keys("")

    async def set_transcription(self, name: str, *, running: bool) -> None:
        async with self.context.db.transaction() as session:
            stream = await session.get_one(Stream, self.streams[name])
            if running:
                await transcripts.start_transcription(session, stream, engine=None, ws_connection_id=None)
            else:
                await transcripts.stop_transcription(session, stream)
        await self.knock()

    async def chunks(self) -> int:
        async with self.context.db.transaction() as session:
            return len((await session.scalars(select(SpeechChunk.id))).all())


@pytest.fixture
async def studio(context: Context, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Studio]:
    monkeypatch.setattr(recorder_module, "PART_SECONDS", 0.01)
    monkeypatch.setattr(speech_module, "COLLECT_SECONDS", 0.01)
    tenant = await make_tenant(context)
    session_id = await make_session(context, tenant)
    streams = await start_session(context, session_id, ("mic", "screen"))
    async with open_live(context) as live:
        yield Studio(context, live, tenant, session_id, streams)


async def test_the_first_frame_of_all_makes_the_session_active_once(studio: Studio) -> None:
    mic, screen = await studio.publish("mic:default"), await studio.publish("display:1")
    assert await status_of(studio.context, studio.session_id) == "starting"
    mic.send(opus_packets(tone(0.2)))
    screen.send(h264_frames(seconds=0.3, width=64, height=64))
    await studio.becomes("active")
    mic.send(opus_packets(tone(0.2)))

    async def both_flow() -> bool:
        rows = [await stream_row(studio.context, stream_id) for stream_id in studio.streams.values()]
        return {row.codec for row in rows} == {"opus", "h264"}

    await eventually(both_flow)
    names = [event.name.rpartition(".")[2] for event in await events_of(studio.context, studio.session_id)]
    assert names == ["created", "starting", "active"]


async def test_a_stop_ends_the_sources_and_what_was_sent_is_stored(studio: Studio) -> None:
    mic, screen = await studio.publish("mic:default"), await studio.publish("display:1")
    mic.send(opus_packets(tone(1.0)))
    screen.send(h264_frames(seconds=1.0, width=64, height=64))
    await studio.becomes("active")
    await stop_session(studio.context, studio.session_id)
    assert await status_of(studio.context, studio.session_id) == "stopping"
    await studio.becomes("stopped")
    assert mic.is_closed
    assert screen.is_closed
    assert len(await studio.objects()) == 2
    assert studio.live.source_of(studio.streams["mic:default"]) is None


async def test_a_stop_is_noticed_without_a_message(studio: Studio) -> None:
    mic = await studio.publish("mic:default")
    mic.send(opus_packets(tone(0.2)))
    await studio.becomes("active")
    await stop_session(studio.context, studio.session_id)
    await eventually(lambda: studio._is("stopped"))
    assert mic.is_closed


async def test_a_goodbye_and_a_loss_are_told_apart(studio: Studio) -> None:
    mic, screen = await studio.publish("mic:default"), await studio.publish("display:1")
    mic.send(opus_packets(tone(0.2)))
    await studio.becomes("active")
    assert studio.live.source_of(studio.streams["mic:default"]) is mic
    await studio.live.end(studio.streams["mic:default"])
    screen.vanish()

    async def neither_is_live() -> bool:
        states = [await studio.publisher_state(name) for name in studio.streams]
        return "live" not in states

    await eventually(neither_is_live)
    assert await studio.publisher_state("mic:default") == "ended"
    assert await studio.publisher_state("display:1") == "lost"
    assert await status_of(studio.context, studio.session_id) == "active"
    await studio.live.end("rts-none")


async def test_a_publisher_that_comes_back_goes_on(studio: Studio) -> None:
    (await studio.publish("mic:default")).vanish()

    async def lost() -> bool:
        return await studio.publisher_state("mic:default") == "lost"

    await eventually(lost)
    again = await studio.publish("mic:default")
    again.send(opus_packets(tone(0.2)))
    await studio.becomes("active")
    assert studio.live.source_of(studio.streams["mic:default"]) is again


async def test_listening_is_turned_on_and_off(studio: Studio) -> None:
    mic = await studio.publish("mic:default", store=False)
    spoken = read_speech("two_cities.wav", rate_hz=OPUS_RATE_HZ)[: 4 * OPUS_RATE_HZ]
    words = opus_packets(np.concatenate([spoken, np.zeros(OPUS_RATE_HZ, np.float32)]))
    mic.send(words)
    await studio.becomes("active")
    assert await studio.objects() == []  # nothing stored, nothing heard

    await studio.set_transcription("mic:default", running=True)
    pipeline = studio.live._pipelines[studio.streams["mic:default"]]

    async def listening() -> bool:
        return pipeline._speech is not None

    await eventually(listening)
    mic.send(words)
    await eventually(lambda: _at_least(studio, 1))
    await studio.set_transcription("mic:default", running=False)

    async def deaf() -> bool:
        return pipeline._speech is None

    await eventually(deaf)
    heard = await studio.chunks()
    mic.send(words)
    await stop_session(studio.context, studio.session_id)
    await studio.becomes("stopped")
    assert await studio.chunks() == heard
    assert all("/speech/" in key for key in await studio.objects())


async def _at_least(studio: Studio, count: int) -> bool:
    return await studio.chunks() >= count


async def test_pictures_are_never_listened_to(studio: Studio) -> None:
    await studio.publish("display:1")
    pipeline = studio.live._pipelines[studio.streams["display:1"]]
    pipeline.listen(wanted=True)
    assert pipeline._speech is None


async def test_without_the_speech_packages_capture_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise Unavailable("no voice activity model")

    monkeypatch.setattr(pipeline_module, "SpeechListener", missing)
    mic = await studio.publish("mic:default")
    mic.send(opus_packets(tone(0.5)))
    await studio.becomes("active")
    await studio.set_transcription("mic:default", running=True)
    await stop_session(studio.context, studio.session_id)
    await studio.becomes("stopped")
    assert len(await studio.objects()) == 1


async def test_a_session_becomes_active_when_the_database_is_back(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline_module, "ANNOUNCE_AGAIN_SECONDS", 0.02)

    async def tried_in_vain() -> bool:
        return "not announced yet" in caplog.text

    async def execute(statement: str) -> None:
        async with studio.context.db.transaction() as session:
            await (await session.connection()).exec_driver_sql(statement)

    mic = await studio.publish("mic:default")
    await execute("alter table outbox rename to hidden")
    mic.send(opus_packets(tone(0.5)))
    await eventually(tried_in_vain)
    await execute("alter table hidden rename to outbox")
    await studio.becomes("active")


async def test_a_shutdown_stores_what_was_sent_and_leaves_the_streams_to_others(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "PART_SECONDS", 0.01)
    tenant = await make_tenant(context)
    session_id = await make_session(context, tenant)
    streams = await start_session(context, session_id)
    async with open_live(context) as live:
        studio = Studio(context, live, tenant, session_id, streams)
        mic = await studio.publish("mic:default")
        mic.send(opus_packets(tone(1.0)))
        await studio.becomes("active")
    assert mic.is_closed
    assert len(await studio.objects()) == 1
    assert await studio.publisher_state("mic:default") == "lost"
    assert await status_of(context, session_id) == "active"
