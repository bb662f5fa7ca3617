"""What a language model says is held to the evidence, by the real engine before a server of the test's."""

from collections.abc import Iterator

import pytest

from tests.fakes.language_server import Json, LanguageServer, language_server, says
from workers.describing.screens import Description, Shown, describe_screens
from workers.describing.speech import Said, describe_speech
from workers.describing.wording import word_screens, word_speech
from workers.engines.contract import ScreenLine
from workers.engines.openai_compatible import OpenAiCompatible

BUILD = ("Terminal - make test", "Build failed", "error: cannot find module foo", "3 tests failed")
TOLD: Json = {"text": "The build failed: module foo cannot be found, and 3 tests failed.", "lines": [2, 3, 4]}


@pytest.fixture
def server() -> Iterator[LanguageServer]:
    with language_server() as opened:
        opened.reply(says(TOLD))
        yield opened


def engine_of(server: LanguageServer, *, pictures: bool = False) -> OpenAiCompatible:
    return OpenAiCompatible(
        server.url, key=None, model="tiny", timeout_seconds=10, requests_at_once=2, pictures=pictures
    )


def extract_of(*texts: str) -> Description:
    lines = [
        ScreenLine(text, 50, 20 + 40 * number, 50 + 8 * len(text), 36 + 40 * number, 0.99)
        for number, text in enumerate(texts)
    ]
    return describe_screens([Shown("frm-1", 0, lines, 720)], None, None)


INVENTED = {
    "a number": ("The build failed: 7 tests failed.", "the number 7"),
    "a number in words": ("The build failed: five tests failed.", "the number five"),
    "a name": ("The build failed because Anna removed module foo.", "the name “Anna”"),
    "a quotation": ("It says “module bar is broken” in the build.", "the quotation “module bar is broken”"),
    "a file": ("The build failed in login.test.ts for module foo.", "“login.test.ts”"),
    "another story": ("A cat sleeps on a sofa while rain falls.", "It said what the evidence does not say."),
    "too much": ("The build failed. " * 100, "It said too much."),
    "nothing": (" ", "It said nothing."),
}


@pytest.mark.parametrize(("text", "reason"), INVENTED.values(), ids=INVENTED.keys())
async def test_what_is_invented_is_refused(server: LanguageServer, text: str, reason: str) -> None:
    server.reply(says(TOLD | {"text": text}))
    extract = extract_of(*BUILD)
    worded = await word_screens(engine_of(server), "Which errors?", extract)
    assert worded.description.text == extract.text
    assert reason in worded.description.details["model_refused"]
    assert worded.notice is None


async def test_what_rests_on_nothing_is_refused(server: LanguageServer) -> None:
    server.reply(says(TOLD | {"lines": [0, 99]}))
    worded = await word_screens(engine_of(server), "Which errors?", extract_of(*BUILD))
    assert worded.description.details["model_refused"] == "It named no evidence."


async def test_lines_may_be_spelled_as_any_json_number(server: LanguageServer) -> None:
    server.reply(says(TOLD | {"lines": [2.0, 1e300]}))
    worded = await word_screens(engine_of(server), "Which errors?", extract_of(*BUILD))
    assert worded.description.text == TOLD["text"]


async def test_marks_of_evidence_lines_are_no_part_of_the_text(server: LanguageServer) -> None:
    server.reply(says(TOLD | {"text": "The build failed [1, 2]:\n 3 tests failed [4]."}))
    worded = await word_screens(engine_of(server), "Which errors?", extract_of(*BUILD))
    assert worded.description.text == "The build failed: 3 tests failed."


async def test_an_empty_screen_and_a_few_words_are_not_asked_about(server: LanguageServer) -> None:
    engine = engine_of(server)
    assert (await word_screens(engine, "Describe", extract_of())).description.text.endswith("no text.")
    said = describe_speech(Said("Good morning everybody.", 0, 1), None)
    assert (await word_speech(engine, "Summarize", said)).description == said
    assert server.asked == []
    without = await word_screens(None, "Describe", extract_of(*BUILD))
    assert without.description == extract_of(*BUILD)


async def test_a_wall_of_text_is_cut_to_what_a_model_reads(server: LanguageServer) -> None:
    await word_screens(
        engine_of(server), "Describe", extract_of("Build", *(f"{n} word " * 9 for n in range(400)))
    )
    assert len(server.asked[0]["messages"][1]["content"]) < 8000


async def test_what_a_picture_shows_is_told_in_words_that_were_not_read(server: LanguageServer) -> None:
    server.reply(says({"text": "A cat sleeps on a sofa.", "lines": []}))
    seen = await word_screens(
        engine_of(server, pictures=True), "Describe", extract_of("Camera"), pictures=[b"\xff\xd8"]
    )
    assert seen.description.text == "A cat sleeps on a sofa."
    server.reply(says({"text": "The cat is called Felix.", "lines": []}))
    named = await word_screens(
        engine_of(server, pictures=True), "Describe", extract_of("Camera"), pictures=[b"\xff\xd8"]
    )
    assert "the name “Felix”" in named.description.details["model_refused"]
