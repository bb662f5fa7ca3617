"""How close texts are to a prompt in meaning."""

from collections.abc import Sequence

from app.base.settings import Settings
from app.engines.registry import open_sentence_engine
from workers.describing.screens import Closeness
from workers.matching.judge import vectors_of


def closeness_to(settings: Settings, prompt: str) -> Closeness:
    """By the sentence engine's vectors; calling it raises `EngineError` where there is no engine."""
    engine = open_sentence_engine(settings)

    def closeness(texts: Sequence[str]) -> list[float]:
        vectors = vectors_of([prompt, *texts], engine.encode)
        return [float(value) for value in vectors[1:] @ vectors[0]]

    return closeness
