"""Which engines the settings name, of those that both the web and the workers use."""

from functools import cache
from pathlib import Path

from app.base.settings import Settings
from app.engines.contract import SentenceEngine


def open_sentence_engine(settings: Settings) -> SentenceEngine:
    """The engine that says how close texts are in meaning; the same one for the same settings."""
    return _minilm(settings.sentence_model)


@cache
def _minilm(folder: Path | None) -> SentenceEngine:
    from app.engines.minilm.encoder import MiniLm

    return MiniLm(folder)
