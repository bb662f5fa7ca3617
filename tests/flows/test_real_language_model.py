"""A real small language model puts what was said and shown into words: `run.py test --models`."""

import pytest

from workers.describing.screens import Shown, describe_screens
from workers.describing.speech import Said, describe_speech
from workers.describing.wording import word_screens, word_speech
from workers.engines.contract import ScreenLine
from workers.engines.openai_compatible import OpenAiCompatible

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1200)]

MEETING = (
    "Good morning everybody. Let's start with the launch. We looked at the test results and decided to move"
    " the launch to the ninth of May. Anna will call the hosting company and ask for a second server. Bob,"
    " please send the invoice to the customer by Friday. The weather is awful today, by the way. Also, we"
    " agreed to drop the old mobile app. That's all from me."
)
BUILD = (
    "Terminal - make test",
    "Build failed",
    "error: cannot find module foo",
    "3 tests failed",
    "exit code 2",
)


def engine_of(url: str) -> OpenAiCompatible:
    return OpenAiCompatible(
        url, key=None, model="qwen", timeout_seconds=300, requests_at_once=1, pictures=False
    )


async def test_decisions_and_actions_of_a_meeting(language_model_url: str) -> None:
    extract = describe_speech(Said(MEETING, 0, 1), None)
    worded = await word_speech(engine_of(language_model_url), "Summarize decisions and actions", extract)
    assert worded.notice is None  # an answer came, and it followed the schema
    details = worded.description.details
    assert "model_refused" not in details
    decisions, actions = " ".join(details["decisions"]).lower(), " ".join(details["actions"]).lower()
    assert "may" in decisions
    assert "app" in decisions
    assert "anna" in actions
    assert "invoice" in actions
    assert worded.description.text != extract.text


async def test_the_error_on_a_screen(language_model_url: str) -> None:
    lines = [
        ScreenLine(text, 50, 20 + 40 * number, 50 + 8 * len(text), 36 + 40 * number, 0.99)
        for number, text in enumerate(BUILD)
    ]
    extract = describe_screens([Shown("frm-1", 0, lines, 720)], None, None)
    worded = await word_screens(engine_of(language_model_url), "Which errors are shown?", extract)
    assert worded.notice is None
    assert "model_refused" not in worded.description.details
    assert "module foo" in worded.description.text
    assert worded.description.details["rests_on"]
