"""Records and alerts of live streams with a language model behind a real HTTP server."""

import io
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from app.base.ids import new_id
from app.domain.alerts.models import AlertFiring
from app.domain.indexes import service as indexes
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex
from app.domain.indexes.windows import add_screen, add_window, save_lines
from app.domain.transcripts.models import Utterance
from app.process import Context
from app.storage.keys import screen_key
from tests.fakes.language_server import Json, LanguageServer, Reply, language_server, says
from tests.fixtures.desktops import desktop
from tests.fixtures.factories import make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, make_alert, make_index
from workers.engines.contract import ScreenLine
from workers.matching.judge import judge
from workers.tasks import match_record
from workers.tasks.index_window import index_window

BUILD = ("Terminal - make test", "Build failed", "error: cannot find module foo", "3 tests failed")
TOLD: Json = {"text": "The build failed: module foo cannot be found, and 3 tests failed.", "lines": [2, 3, 4]}
MEETING = "Good morning everybody. We decided to move the launch to May. Anna will call the hosting company."


@pytest.fixture
def server() -> Iterator[LanguageServer]:
    with language_server() as opened:
        yield opened


class Stream:
    """A display and a microphone, an index of each, and windows of them made into records."""

    def __init__(self, context: Context, account_id: str, streams: dict[str, str]) -> None:
        self.context, self.account_id, self.streams = context, account_id, streams
        self.visual_id = self.audio_id = ""

    async def screen(self, *texts: str, with_picture: bool = False) -> str:
        """A picture that was read; its file is there only if it is wanted."""
        frame_id = new_id("frm")
        key = screen_key(self.account_id, self.streams["display:1"], frame_id)
        if with_picture:
            file = io.BytesIO()
            Image.fromarray(desktop(texts[0], texts[1:])).save(file, "JPEG")
            await self.context.storage.put_bytes(key, file.getvalue())
        lines = [
            ScreenLine(text, 50, 20 + 40 * number, 50 + 8 * len(text), 36 + 40 * number, 0.99)
            for number, text in enumerate(texts)
        ]
        async with self.context.db.transaction() as session:
            await add_screen(
                session,
                frame_id=frame_id,
                stream_id=self.streams["display:1"],
                storage_key=key,
                at_us=AT_US,
                width=1280,
                height=720,
            )
            await save_lines(session, frame_id, [asdict(line) for line in lines])
        return frame_id

    async def show(self, number: int, *frame_ids: str) -> IndexRecord:
        return await self._record(self.visual_id, AT_US + number * 10 * SECOND, frame_ids)

    async def say(self, text: str, number: int = 0) -> IndexRecord:
        start_us = AT_US + number * 20 * SECOND
        async with self.context.db.transaction() as session:
            session.add(
                Utterance(
                    id=new_id("utt"),
                    stream_id=self.streams["mic:default"],
                    source_id=new_id("chk"),
                    start_us=start_us,
                    end_us=start_us + 9 * SECOND,
                    text=text,
                    words=[],
                )
            )
        return await self._record(self.audio_id, start_us, ())

    async def _record(self, index_id: str, start_us: int, frame_ids: tuple[str, ...]) -> IndexRecord:
        async with self.context.db.transaction() as session:
            await add_window(
                session, index_id, start_us=start_us, end_us=start_us + 10 * SECOND, frame_ids=frame_ids
            )
            (window,) = await session.scalars(select(IndexWindow))
        await index_window(self.context, window.id)
        async with self.context.db.transaction() as session:
            found = await session.scalar(
                select(IndexRecord).where(IndexRecord.index_id == index_id, IndexRecord.start_us == start_us)
            )
        assert found is not None
        return found

    async def notice(self) -> str | None:
        async with self.context.db.transaction() as session:
            return (await session.get_one(SceneIndex, self.visual_id)).notice


@pytest.fixture
async def stream(context: Context, server: LanguageServer) -> Stream:
    known = {"language_url": server.url, "language_live_seconds": 5.0}
    with_model = replace(context, settings=context.settings.model_copy(update=known))
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, ("display:1", "mic:default"))
    made = Stream(with_model, tenant.account_id, opened)
    made.visual_id = await make_index(context, opened["display:1"], prompt="Which errors are shown?")
    made.audio_id = await make_index(
        context,
        opened["mic:default"],
        extraction_type="transcript",
        extraction_config={"segmenter": "time", "segmentation_value": 10},
        prompt="decisions",
    )
    return made


async def test_the_model_says_what_the_screen_means(stream: Stream, server: LanguageServer) -> None:
    server.reply(says(TOLD))
    record = await stream.show(0, await stream.screen(*BUILD))
    assert record.text == TOLD["text"]
    assert record.details["rests_on"][-1] == BUILD[2]
    assert record.details["extract"].startswith("The screen shows “Terminal - make test”")
    assert "Which errors are shown?" in server.asked[0]["messages"][0]["content"]
    assert "[3] Build failed" in server.asked[0]["messages"][1]["content"]
    assert await stream.notice() is None


async def test_what_it_invents_is_refused_with_the_reason(stream: Stream, server: LanguageServer) -> None:
    server.reply(says(TOLD | {"text": "The build failed: 7 tests failed."}))
    record = await stream.show(0, await stream.screen(*BUILD))
    assert record.text.startswith("The screen shows “Terminal - make test”")
    assert "the number 7" in record.details["model_refused"]
    assert await stream.notice() is None  # the model works; this one answer was not good enough


async def test_without_an_answer_the_extract_stands_and_the_index_says_why_until_it_works_again(
    stream: Stream, server: LanguageServer
) -> None:
    server.reply(says("It failed, I guess."))
    record = await stream.show(0, await stream.screen(*BUILD))
    assert record.text.startswith("The screen shows “Terminal - make test”")
    assert "model_refused" not in record.details
    assert await stream.notice() == (
        "Described without the language model: The language model's answer is not JSON."
    )
    server.reply(says({"text": "The mailbox shows an invoice.", "lines": [2]}))
    told = await stream.show(1, await stream.screen("Mail - Inbox", "Your invoice is ready", "Mailbox"))
    assert told.text == "The mailbox shows an invoice."
    assert await stream.notice() is None


async def test_who_is_slow_delays_one_window_and_no_more(stream: Stream, server: LanguageServer) -> None:
    stream.context.settings.language_live_seconds = 0.2
    server.hang()
    for number in range(3):
        record = await stream.show(number, await stream.screen(*BUILD, f"line {number}"))
        assert record.text.startswith("The screen shows “Terminal - make test”")
    assert len(server.asked) == 1
    assert "takes longer than 0.2 s at present" in (await stream.notice() or "")


async def test_a_picture_that_is_shown_on_is_not_asked_about_again(
    stream: Stream, server: LanguageServer
) -> None:
    server.reply(says(TOLD))
    frame_id = await stream.screen(*BUILD)
    await stream.show(0, frame_id)
    still = await stream.show(1, frame_id)
    again = await stream.show(2, frame_id)
    assert still.text == again.text == f"Unchanged: {TOLD['text']}"
    assert len(server.asked) == 1
    async with stream.context.db.transaction() as session:
        index = await session.get_one(SceneIndex, stream.visual_id)
        await indexes.change_prompt(session, index, "What failed?")
    assert (await stream.show(3, frame_id)).text == TOLD["text"]
    assert "What failed?" in server.asked[1]["messages"][0]["content"]


async def test_pictures_go_to_a_model_that_takes_them(stream: Stream, server: LanguageServer) -> None:
    stream.context.settings.language_pictures = True
    server.reply(says({"text": "A terminal with red letters.", "lines": []}))
    frames = [await stream.screen(*BUILD, str(number), with_picture=True) for number in range(4)]
    missing = await stream.screen(*BUILD, "the picture of this one is gone")
    record = await stream.show(0, *frames, missing)
    assert record.text == "A terminal with red letters."
    _, *shown = server.asked[0]["messages"][1]["content"]
    assert [one["type"] for one in shown] == ["image_url"] * 2
    assert all(one["image_url"]["url"].startswith("data:image/jpeg;base64,") for one in shown)


SPOKEN: Json = {
    "text": "The launch was moved to May, and Anna will call the hosting company.",
    "lines": [2, 3],
    "decisions": ["Move the launch to May", "Hire Bob"],
    "actions": ["Anna calls the hosting company", "Pay 300 dollars"],
    "topics": ["launch", "hosting", "philosophy"],
}


async def test_decisions_actions_and_topics_of_what_was_said(stream: Stream, server: LanguageServer) -> None:
    server.reply(says(SPOKEN))
    record = await stream.say(MEETING)
    assert record.text == SPOKEN["text"]
    assert record.details["decisions"] == ["Move the launch to May"]
    assert record.details["actions"] == ["Anna calls the hosting company"]
    assert record.details["topics"] == ["launch", "hosting"]
    assert record.details["rests_on"] == MEETING.replace(". ", ".|").split("|")[1:]
    assert record.details["said"] == MEETING


async def test_a_few_words_are_not_asked_about(stream: Stream, server: LanguageServer) -> None:
    record = await stream.say("Good morning everybody.")
    assert record.text == "Good morning everybody."
    assert server.asked == []


@pytest.fixture
def unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verdict of the judge's lies where it is unsure; what it cites is its own."""

    def unsure_of(*given: Any) -> Any:
        return [replace(one, confidence=0.45) for one in judge(*given)]

    monkeypatch.setattr(match_record, "judge", unsure_of)


async def fired(stream: Stream) -> list[AlertFiring]:
    async with stream.context.db.transaction() as session:
        return list(await session.scalars(select(AlertFiring)))


@pytest.mark.usefixtures("unsure")
async def test_a_match_that_the_judge_is_unsure_of_is_the_models_to_decide(
    stream: Stream, server: LanguageServer
) -> None:
    verdict = {"rule": 1, "match": True, "confidence": 0.9, "quote": "cannot find module foo"}
    server.answer = lambda body: says({"verdicts": [verdict]} if "verdicts" in str(body) else TOLD)
    await make_alert(stream.context, stream.visual_id)
    await stream.show(0, await stream.screen(*BUILD))
    (found,) = await fired(stream)
    assert found.confidence == 0.75
    assert found.explanation.startswith("“cannot find module foo” was on the screen at")


@pytest.mark.usefixtures("unsure")
async def test_an_alert_does_not_wait_for_a_slow_model(stream: Stream, server: LanguageServer) -> None:
    hanging = Reply(status=503, after=server.released)
    server.answer = lambda body: hanging if "verdicts" in str(body) else says(TOLD)
    await make_alert(stream.context, stream.visual_id)
    frame_id = await stream.screen(*BUILD)
    for number in range(2):
        await stream.show(number, frame_id)
    assert await fired(stream) == []
    assert len([body for body in server.asked if "verdicts" in str(body)]) == 1


async def test_of_what_the_judge_is_sure_nobody_is_asked(stream: Stream, server: LanguageServer) -> None:
    server.reply(says(TOLD))
    await make_alert(stream.context, stream.visual_id)
    await stream.show(0, await stream.screen("Holiday pictures", "Sunny beach", "Palm trees"))
    assert await fired(stream) == []
    assert all("verdicts" not in str(body) for body in server.asked)
