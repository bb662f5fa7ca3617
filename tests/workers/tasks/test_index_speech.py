"""What was said becomes the records of the audio indexes that ran when it was said."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.base.ids import new_id
from app.domain.indexes import service as indexes
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex
from app.domain.indexes.windows import add_spoken, ring_due_windows
from app.domain.transcripts.models import Utterance
from app.process import Context
from tests.fixtures.factories import events_named, jobs_of, make_active, make_tenant
from tests.fixtures.indexing import make_index
from workers.tasks.index_window import index_window

SECOND = 1_000_000


class Heard:
    """A microphone with an audio index; what is said counts from the index's start."""

    def __init__(self, context: Context, stream_id: str) -> None:
        self.context, self.stream_id = context, stream_id

    async def index(self, **config: Any) -> str:
        return await make_index(
            self.context,
            self.stream_id,
            extraction_type="transcript",
            extraction_config=config,
            prompt="decisions about the budget",
        )

    async def zero_us(self, index_id: str) -> int:
        async with self.context.db.transaction() as session:
            created = (await session.get_one(SceneIndex, index_id)).created_at
        return round(created.timestamp() * 1_000_000)

    async def say(self, text: str, start_us: int) -> None:
        """Half a second a word."""
        words = [
            {
                "text": word,
                "start_us": start_us + number * SECOND // 2,
                "end_us": start_us + (number + 1) * SECOND // 2,
            }
            for number, word in enumerate(text.split())
        ]
        end_us = words[-1]["end_us"]
        async with self.context.db.transaction() as session:
            session.add(
                Utterance(
                    id=new_id("utt"),
                    stream_id=self.stream_id,
                    source_id=new_id("chk"),
                    start_us=start_us,
                    end_us=end_us,
                    text=text,
                    words=words,
                )
            )
            await session.flush()
            await add_spoken(session, self.stream_id, start_us, int(str(end_us)))

    async def work(self) -> None:
        async with self.context.db.transaction() as session:
            waiting = list(await session.scalars(select(IndexWindow.id).order_by(IndexWindow.start_us)))
        for window_id in waiting:
            await index_window(self.context, window_id)

    async def records(self, index_id: str) -> list[IndexRecord]:
        async with self.context.db.transaction() as session:
            rows, _ = await indexes.list_records(
                session, index_id, start_us=None, end_us=None, offset=0, limit=99
            )
        return rows


@pytest.fixture
async def heard(context: Context) -> Heard:
    _, opened = await make_active(context, await make_tenant(context))
    return Heard(context, opened["mic:default"])


async def test_words_and_sentences_of_an_utterance(heard: Heard) -> None:
    by_word = await heard.index(segmenter="word", segmentation_value=4)
    by_sentence = await heard.index(segmenter="sentence", segmentation_value=1)
    at = await heard.zero_us(by_sentence) + SECOND
    await heard.say("We approved the budget. Anna will call the bank.", at)
    await heard.work()
    await heard.work()
    assert [row.text for row in await heard.records(by_word)] == [
        "We approved the budget.",
        "Anna will call the bank.",
    ]
    first, second = await heard.records(by_sentence)
    assert (first.text, second.text) == ("We approved the budget.", "Anna will call the bank.")
    assert (first.start_us, first.end_us) == (at, at + 2 * SECOND)
    assert second.start_us == at + 2 * SECOND
    assert first.details["decisions"] == ["We approved the budget."]
    frames = [event.payload["frames"] for event in await events_named(heard.context, "audio_index.record")]
    assert [frame["channel"] for one in frames for frame in one] == ["audio_index"] * 4


async def test_windows_of_time_wait_until_their_words_are_there(heard: Heard) -> None:
    index_id = await heard.index(segmenter="time", segmentation_value=10)
    zero = await heard.zero_us(index_id)
    await heard.say("one two three four", zero + 9 * SECOND)  # two words on each side of the border
    assert await jobs_of(heard.context, "index_window") == []
    async with heard.context.db.transaction() as session:
        rows = list(await session.scalars(select(IndexWindow).order_by(IndexWindow.start_us)))
        assert [row.start_us - zero for row in rows] == [0, 10 * SECOND]
        await session.execute(update(IndexWindow).values(due_at=IndexWindow.due_at - timedelta(minutes=1)))
        await ring_due_windows(session)
    assert len(await jobs_of(heard.context, "index_window")) == 2
    await heard.work()
    assert [row.text for row in await heard.records(index_id)] == ["one two", "three four"]


async def test_an_index_hears_what_was_said_while_it_ran(heard: Heard) -> None:
    index_id = await heard.index(segmenter="sentence", segmentation_value=1)
    zero = await heard.zero_us(index_id)
    await heard.say("Before it began.", zero - 60 * SECOND)
    await heard.say("While it ran.", zero - SECOND)
    async with heard.context.db.transaction() as session:
        await indexes.stop_index(session, await session.get_one(SceneIndex, index_id))
    await heard.say("Also while it ran, recognised late.", zero)
    await heard.say("After it was stopped.", zero + 3600 * SECOND)
    await heard.work()
    assert [row.text for row in await heard.records(index_id)] == [
        "While it ran.",
        "Also while it ran, recognised late.",
    ]
