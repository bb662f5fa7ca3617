from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest

from app.engines.contract import ModelMissing
from app.media.pcm import SAMPLE_RATE_HZ, UtteranceCutter
from tests.fixtures.media import beeps, read_speech, tone
from tests.fixtures.spoken_words import BECKETT, TWO_CITIES, word_error_rate
from workers.engines import whisper_local
from workers.engines.contract import LanguageUnsupported, Transcript
from workers.engines.whisper_local import WhisperLocal

# The product's goal with the smallest model; measured: 0 to 4 %.
MAX_WORD_ERROR_RATE = 0.10


@pytest.fixture(scope="module")
def engine() -> WhisperLocal:
    engine = WhisperLocal(None, parallel=2)
    engine.load()
    return engine


def assert_times_increase(transcript: Transcript, seconds: float) -> None:
    assert transcript.words
    for word in transcript.words:
        assert 0 <= word.start_seconds <= word.end_seconds <= seconds
        assert 0 <= word.probability <= 1
        assert word.text == word.text.strip() != ""
    for word, later in pairwise(transcript.words):
        assert word.end_seconds <= later.start_seconds


def test_a_long_recording_is_understood(engine: WhisperLocal) -> None:
    samples = read_speech("two_cities.wav", rate_hz=SAMPLE_RATE_HZ)
    kept = samples.copy()
    transcript = engine.transcribe(samples)
    assert word_error_rate(TWO_CITIES, transcript.text) < MAX_WORD_ERROR_RATE
    assert transcript.language == "en"
    assert_times_increase(transcript, len(samples) / SAMPLE_RATE_HZ)
    assert " ".join(word.text for word in transcript.words) == transcript.text
    assert len(transcript.segments) > 3
    assert np.array_equal(samples, kept)


def test_utterances_are_understood_and_their_words_lie_where_they_were_said(engine: WhisperLocal) -> None:
    samples = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)
    cutter = UtteranceCutter()
    utterances = cutter.feed(samples, 0) + cutter.flush()
    with ThreadPoolExecutor(2) as threads:
        heard = list(threads.map(lambda one: engine.transcribe(one.samples, language="en-US"), utterances))
    assert word_error_rate(BECKETT, " ".join(one.text for one in heard)) < MAX_WORD_ERROR_RATE
    for transcript, utterance in zip(heard, utterances, strict=True):
        assert_times_increase(transcript, len(utterance.samples) / SAMPLE_RATE_HZ)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(100, np.float32),
        np.zeros(5 * SAMPLE_RATE_HZ, np.float32),
        np.zeros(40 * SAMPLE_RATE_HZ, np.float32),
        tone(5.0, rate_hz=SAMPLE_RATE_HZ),
        beeps(5.0, rate_hz=SAMPLE_RATE_HZ),
        np.random.default_rng(3).normal(0, 0.1, 5 * SAMPLE_RATE_HZ).astype(np.float32),
    ],
    ids=["nothing", "6 ms", "silence", "long silence", "tone", "beeps", "noise"],
)
def test_silence_and_noise_have_no_words(engine: WhisperLocal, samples: np.ndarray) -> None:
    assert engine.transcribe(samples) == Transcript("", "en", [], [])


def test_silence_after_speech_adds_no_words(engine: WhisperLocal) -> None:
    speech = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)
    padded = np.concatenate([speech, np.zeros(15 * SAMPLE_RATE_HZ, np.float32)])
    assert word_error_rate(BECKETT, engine.transcribe(padded).text) < MAX_WORD_ERROR_RATE


def test_what_it_can_do(engine: WhisperLocal) -> None:
    capabilities = engine.capabilities
    assert capabilities.languages == {"en"}
    assert capabilities.word_times
    assert not capabilities.detects_language
    with pytest.raises(LanguageUnsupported) as refused:
        engine.transcribe(np.zeros(1600, np.float32), language="fr")
    assert not refused.value.retryable


def test_the_model_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = whisper_local._open_model

    def counting(name: str | None, *more: Any) -> object:
        opened.append(name)
        return real(name, *more)

    monkeypatch.setattr(whisper_local, "_open_model", counting)
    engine = WhisperLocal(None)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: engine.load(), range(4)))
    assert opened == [None]


def test_a_folder_is_taken_as_the_model(engine: WhisperLocal) -> None:
    folder = whisper_local._located(None)
    assert WhisperLocal(folder).capabilities == engine.capabilities


def test_missing_models_are_permanent_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model.bin").write_bytes(b"")
    for name in (str(tmp_path / "gone"), str(tmp_path / "half"), "no-such-size", "nobody/no-such-model"):
        with pytest.raises(ModelMissing) as missing:
            WhisperLocal(name).load()
        assert not missing.value.retryable
        assert str(tmp_path) not in missing.value.message  # folders of the server are not for callers


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_local, "_PACKAGED_MODEL", "no_such_package")
    with pytest.raises(ModelMissing, match="pip install"):
        WhisperLocal(None).load()
