"""An hour of silence, music and noise has no words."""

import pytest

from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter
from tests.fixtures.not_speech import KINDS, not_speech
from workers.engines.whisper_local import WhisperLocal

SECONDS = 3600 / len(KINDS)


@pytest.fixture(scope="module")
def engine() -> WhisperLocal:
    return WhisperLocal(None)


@pytest.mark.parametrize("kind", KINDS)
def test_five_minutes_without_a_word(engine: WhisperLocal, kind: str) -> None:
    sound, cutter = not_speech(kind, SECONDS), UtteranceCutter()
    found: list[Utterance] = []
    for start in range(0, len(sound), SAMPLE_RATE_HZ):
        at_us = round(start * 1e6 / SAMPLE_RATE_HZ)
        found += cutter.feed(sound[start : start + SAMPLE_RATE_HZ], at_us)
    found += cutter.flush()
    assert [engine.transcribe(one.samples).text for one in found if len(one.samples)] == [""] * len(found)
