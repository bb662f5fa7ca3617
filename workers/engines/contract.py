"""What the engines do, one small contract each; failures are retryable or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.engines.contract import Engine, EngineError


class LanguageUnsupported(EngineError):
    """The engine's model does not know the language that was asked for."""

    status = 422
    code = "language_unsupported"


@dataclass(frozen=True, slots=True)
class SpeechCapabilities:
    """What an engine can do: ISO 639-1 codes it knows, and whether words come with times."""

    languages: frozenset[str]
    detects_language: bool
    word_times: bool


@dataclass(frozen=True, slots=True)
class Word:
    """A word, without surrounding blanks; times in seconds from the first sample."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """A stretch that the engine sees as one sentence or breath."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said; `text` is empty where there was no speech. `language` is an ISO 639-1 code."""

    text: str
    language: str
    words: list[Word]
    segments: list[TranscriptSegment]


@dataclass(frozen=True, slots=True)
class ScreenLine:
    """A line of text on a picture: its box in pixels from the top left, and the engine's trust, 0 to 1."""

    text: str
    left: int
    top: int
    right: int
    bottom: int
    confidence: float

    @property
    def height(self) -> int:
        return self.bottom - self.top


class ScreenTextEngine(Engine, Protocol):
    """Implementers: `rapidocr_local.RapidOcrLocal`. Safe for use from several threads."""

    def read(self, picture: bytes) -> list[ScreenLine]:
        """The text lines of an encoded picture, from the top down. Raises `EngineError`."""


class SpeechEngine(Engine, Protocol):
    """Implementers: `whisper_local.WhisperLocal`. Safe for use from several threads."""

    @property
    def capabilities(self) -> SpeechCapabilities:
        """Raises `EngineError`."""

    def transcribe(self, samples: NDArray[np.float32], *, language: str | None = None) -> Transcript:
        """Recognise float32 mono 16 kHz samples; without `language` it is detected.

        Raises `EngineError`."""


@dataclass(frozen=True, slots=True)
class LanguageCapabilities:
    """What a model takes beside text: `pictures`, JPEG or PNG."""

    pictures: bool


class LanguageEngine(Engine, Protocol):
    """Implementers: `openai_compatible.OpenAiCompatible`. To be used on one event loop."""

    @property
    def capabilities(self) -> LanguageCapabilities: ...

    @property
    def trouble(self) -> str | None:
        """Why it gives no answers at present, in words that hold no evidence; None while it does."""

    async def answer(
        self,
        instructions: str,
        evidence: str,
        schema: dict[str, Any],
        *,
        pictures: Sequence[bytes] = (),
        limit_seconds: float | None = None,
    ) -> dict[str, Any]:
        """A JSON object that follows `schema`, a JSON Schema of type object without other properties.

        What it says may still be invented: the caller holds it to the evidence. It takes no longer than
        `limit_seconds` and the engine's own limit, waiting for other requests included. Raises `EngineError`:
        the model is down, slow, paused after a failure, or answered wrongly.
        """
