"""Rules held against records by the real sentence engine, one firing for each episode."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.base.ids import utc_now
from app.domain.alerts import service as alerts
from app.domain.alerts.models import Alert, AlertFiring, RecordToMatch
from app.domain.indexes import service as indexes
from app.domain.indexes.models import SceneIndex
from app.domain.matching.service import MAX_ATTEMPTS, await_match, ring_waiting_matches
from app.domain.outbox.models import OutboxMessage
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.domain.understanding.fields import schema_of
from app.domain.understanding.models import NamedIndex
from app.domain.understanding.named_indexes import name_output, start_named, stop_named
from app.process import Context
from tests.fixtures.factories import jobs_of, make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, make_index
from workers.tasks.match_record import match_record

FAILED = "Terminal - make\nBUILD FAILED\nexit code 2"
PASSED = "Terminal - make\nBUILD SUCCEEDED\nexit code 0"


class Watched:
    """An index with an alert on it, and records ten seconds apart."""

    def __init__(self, context: Context, index_id: str, alert_id: str) -> None:
        self.context, self.index_id, self.alert_id = context, index_id, alert_id

    async def save(self, number: int, details: dict[str, Any]) -> str:
        """Save a record as the worker does; returns its id."""
        at_us = AT_US + number * 10 * SECOND
        async with self.context.db.transaction() as session:
            index = await session.get_one(SceneIndex, self.index_id)
            stream = await session.get_one(Stream, index.stream_id)
            route = await pipeline_route(session, stream, None)
            found = indexes.Found(f"window:{at_us}", at_us, at_us + 10 * SECOND, "What was found.", details)
            record = await indexes.save_record(
                session, index, stream, found, route=route, visual_channels=("visual_index",)
            )
            assert record is not None
            await await_match(session, record)
            return record.id

    async def screen(self, number: int, text: str) -> str:
        return await self.save(number, {"screen_text": text})

    async def show(self, number: int, text: str) -> None:
        await match_record(self.context, await self.screen(number, text))

    async def firings(self) -> list[AlertFiring]:
        async with self.context.db.transaction() as session:
            return list(await session.scalars(select(AlertFiring).order_by(AlertFiring.created_at)))

    async def waiting(self) -> int:
        async with self.context.db.transaction() as session:
            return await session.scalar(select(func.count()).select_from(RecordToMatch)) or 0

    async def switch(self, *, enabled: bool) -> None:
        async with self.context.db.transaction() as session:
            index = await session.get_one(SceneIndex, self.index_id)
            await alerts.switch_alert(session, index, self.alert_id, enabled=enabled)


async def watch(context: Context, channel: str, prompt: str, **more: Any) -> Watched:
    _, opened = await make_active(context, await make_tenant(context), (channel,))
    (stream_id,) = opened.values()
    index_id = await make_index(context, stream_id, **more)
    async with context.db.transaction() as session:
        index = await session.get_one(SceneIndex, index_id)
        rule_id = await alerts.create_rule(session, index.account_id, prompt=prompt, label="the label")
        alert = await alerts.create_alert(
            session, index, rule_id, callback_url="https://example.com/hook", ws_connection_id="ws-alert"
        )
    return Watched(context, index_id, alert.id)


@pytest.fixture
async def build(context: Context) -> Watched:
    return await watch(context, "display:1", "The build failed")


async def test_one_alert_for_an_episode_and_again_for_the_next(build: Watched) -> None:
    for number, screen in enumerate([PASSED, FAILED, FAILED, FAILED, PASSED, PASSED, PASSED, FAILED]):
        await build.show(number, screen)
    found = await build.firings()
    assert len(found) == 2
    assert await build.waiting() == 0
    assert all(0.5 <= one.confidence <= 1 for one in found)
    assert "BUILD FAILED" in found[0].explanation
    assert "on the screen at" in found[0].explanation


async def test_its_frame_and_its_callback(build: Watched) -> None:
    await build.show(0, FAILED)
    async with build.context.db.transaction() as session:
        (event,) = await session.scalars(select(OutboxMessage).where(OutboxMessage.name == "alert.fired"))
    assert event.route["connection_id"] == "ws-alert"
    assert event.payload["callback_url"] == "https://example.com/hook"
    (frame,) = event.payload["frames"]
    assert (frame["data"]["label"], frame["data"]["triggered"]) == ("the label", True)
    assert (frame["data"]["start"], frame["data"]["end"]) == (AT_US // 1000, AT_US // 1000 + 10_000)
    assert "/watch?v=" in frame["data"]["player_url"]


async def test_records_may_be_matched_out_of_order(build: Watched) -> None:
    records = [await build.screen(number, FAILED) for number in range(3)]
    for record_id in (records[1], records[2], records[0]):
        await match_record(build.context, record_id)
    assert [one.record_id for one in await build.firings()] == [records[1]]


async def test_a_record_is_matched_once_however_often_it_is_asked(build: Watched) -> None:
    record_id = await build.screen(0, FAILED)
    await match_record(build.context, record_id)
    await match_record(build.context, record_id)
    assert len(await build.firings()) == 1


async def test_a_worker_that_dies_loses_no_match(build: Watched) -> None:
    record_id = await build.screen(0, FAILED)
    async with build.context.db.transaction() as session:
        await session.execute(update(RecordToMatch).values(due_at=utc_now() - timedelta(seconds=1)))
        await ring_waiting_matches(session)
        await ring_waiting_matches(session)
    assert await jobs_of(build.context, "match_record") == [record_id]
    await match_record(build.context, record_id)
    assert len(await build.firings()) == 1


async def test_what_fails_again_and_again_is_given_up(build: Watched) -> None:
    record_id = await build.screen(0, FAILED)
    async with build.context.db.transaction() as session:
        await session.execute(update(RecordToMatch).values(attempts=MAX_ATTEMPTS))
    await match_record(build.context, record_id)
    assert (await build.waiting(), await build.firings()) == (0, [])


async def test_a_disabled_alert_is_silent(build: Watched) -> None:
    await build.switch(enabled=False)
    await build.show(0, FAILED)
    assert await build.waiting() == 0
    await build.switch(enabled=True)
    record_id = await build.screen(9, FAILED)
    await build.switch(enabled=False)  # between the record and its match
    await match_record(build.context, record_id)
    assert await build.firings() == []


async def test_alerts_of_a_named_index_sleep_while_it_is_stopped(build: Watched) -> None:
    async with build.context.db.transaction() as session:
        output = await session.get_one(SceneIndex, build.index_id)
        schema = schema_of("vlm")
        named = await name_output(
            session, output, name="screens", analyzer_type="vlm", source={}, use_for=["query"], schema=schema
        )
        alert = await session.get_one(Alert, build.alert_id)
        alert.named_index_id = named.id
        await stop_named(session, named)
    await build.show(0, FAILED)
    assert await build.firings() == []
    assert await build.waiting() == 0
    async with build.context.db.transaction() as session:
        await start_named(session, await session.get_one(NamedIndex, named.id))
    await build.show(1, PASSED)
    await build.show(2, FAILED)
    (firing,) = await build.firings()
    assert firing.alert_id == build.alert_id


async def test_a_cooldown_between_two_episodes(build: Watched) -> None:
    for number, screen in enumerate([FAILED, PASSED, FAILED]):
        await build.show(number, screen)
    assert len(await build.firings()) == 1  # 20 s after the first, 30 s being the setting


async def test_speech_that_meets_a_rule_and_speech_that_denies_it(context: Context) -> None:
    customer = await watch(
        context,
        "mic",
        "The customer wants to cancel the subscription",
        extraction_type="transcript",
    )
    for number, said in enumerate(
        [
            "We do not want to cancel our subscription. We have a question.",
            "Thanks for the call. I would like to cancel my subscription.",
        ]
    ):
        await match_record(context, await customer.save(number * 9, {"said": said}))
    (found,) = await customer.firings()
    assert "I would like to cancel my subscription." in found.explanation
    assert "was said at" in found.explanation
    async with context.db.transaction() as session:
        assert (await session.get_one(Alert, customer.alert_id)).status == "enabled"
