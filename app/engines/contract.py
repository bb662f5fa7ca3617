"""What every engine has in common, and the one contract that both the web and the workers use."""

from collections.abc import Sequence
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


class Engine(Protocol):
    """What all engines have in common."""

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
