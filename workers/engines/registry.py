"""Which engine the settings name; opened once a process."""

import os
from functools import cache

from app.base.settings import Settings
from workers.engines.contract import SpeechEngine


def open_speech_engine(settings: Settings) -> SpeechEngine:
    """The speech engine in force; the same one for the same settings. It loads its model when first used."""
    return _whisper(settings.speech_model, min(settings.worker_threads, os.cpu_count() or 1))


@cache
def _whisper(model: str | None, parallel: int) -> SpeechEngine:
    from workers.engines.whisper_local import WhisperLocal

    return WhisperLocal(model, parallel=parallel)
