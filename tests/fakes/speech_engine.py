"""A speech engine that hears what it is told to."""

import numpy as np
from numpy.typing import NDArray

from app.engines.contract import EngineError
from workers.engines.contract import SpeechCapabilities, Transcript, Word


class ScriptedEngine:
    """Answers each call with the next of `script`: words half a second apart, or an error that is raised."""

    def __init__(self, *script: str | EngineError) -> None:
        self.heard: list[tuple[int, str | None]] = []
        self._script = list(script)

    @property
    def capabilities(self) -> SpeechCapabilities:
        return SpeechCapabilities(frozenset({"en"}), detects_language=False, word_times=True)

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, samples: NDArray[np.float32], *, language: str | None = None) -> Transcript:
        self.heard.append((len(samples), language))
        said = self._script.pop(0)
        if isinstance(said, EngineError):
            raise said
        words = [Word(text, n / 2, n / 2 + 0.4, 1.0) for n, text in enumerate(said.split())]
        return Transcript(said, "en", words, [])
