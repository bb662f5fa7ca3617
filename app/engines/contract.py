"""What every engine has in common, and the one contract that both the web and the workers use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.base.errors import CaptureError


class EngineError(CaptureError):
    """Base of an engine's failures. `retryable` says whether the same input may succeed later."""

    status = 500
    code = "engine_error"


class EngineFailed(EngineError):
    """The engine broke off, or a part that it needs does not answer; it may succeed later."""

    status = 503
    code = "engine_failed"
    retryable = True


class ModelMissing(EngineError):
    """The model that the settings name is not on this machine and cannot be fetched."""

    code = "model_missing"


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What an engine is made of; None where it is not known before it is loaded, or does not matter.

    `languages` are ISO 639-1 codes. `missing` says in words why the engine is not there and what to do.
    """

    engine: str
    model: str
    device: str | None = None
    compute_type: str | None = None
    languages: tuple[str, ...] | None = None
    missing: str | None = None


class Engine(Protocol):
    """What all engines have in common."""

    @property
    def record(self) -> EngineRecord:
        """What it is, at no cost: nothing is loaded for it."""

    def load(self) -> None:
        """Make ready what the engine needs; once, whoever calls first. Raises `EngineError`."""


class SentenceEngine(Engine, Protocol):
    """Implementers: `minilm.encoder.MiniLm`. Safe for use from several threads."""

    @property
    def dimensions(self) -> int:
        """How long its vectors are."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector of length 1 for each text, (texts, dimensions): close in meaning, close in angle.

        Raises `EngineError`."""


# Of a logit: where a text describes a picture as likely as not. The engine's vectors are scaled to it.
EVEN_LOGIT = 5.0


class ImageTextEngine(Engine, Protocol):
    """Implementers: `clip.encoder.OpenClip`. Safe for use from several threads."""

    @property
    def space(self) -> str:
        """Which model and weights its vectors are of: those of two spaces are not to be compared.

        Raises `EngineError`."""

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """One vector of length 1 for each encoded picture, (pictures, dimensions). Raises `EngineError`."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector for each text, (texts, dimensions): its inner product with a picture's is the logit
        that the text describes the picture, beside any other picture.

        Raises `EngineError`."""


def likelihood(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """How likely texts describe pictures, 0 to 1, of the inner products of their vectors."""
    return np.asarray(1 / (1 + np.exp(EVEN_LOGIT - logits)), np.float32)
