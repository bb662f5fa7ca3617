"""Which engines the settings name; each is opened once a process."""

import os
from collections.abc import Mapping
from functools import cache

from app.base.settings import Settings
from app.engines.contract import Engine, EngineError
from app.engines.registry import open_sentence_engine
from workers.engines.contract import LanguageEngine, ScreenTextEngine, SpeechEngine


def decodes_at_once(settings: Settings) -> int:
    """How many pieces of live speech a worker recognises at a time: one a core."""
    return min(settings.worker_threads, os.cpu_count() or 1)


def open_speech_engine(settings: Settings) -> SpeechEngine:
    """The speech engine in force; the same one for the same settings. It loads its model when first used."""
    # One more than live speech needs: it does not wait for a recording that is transcribed.
    return _whisper(settings.speech_model, decodes_at_once(settings) + 1)


def open_screen_text_engine(settings: Settings) -> ScreenTextEngine:
    """The engine that reads screens."""
    return _rapidocr()


def open_language_engine(settings: Settings) -> LanguageEngine | None:
    """The engine that puts evidence into words; None where the settings name none."""
    if not settings.language_url:
        return None
    return _openai_compatible(
        settings.language_url,
        settings.language_key.get_secret_value() if settings.language_key else None,
        settings.language_model,
        settings.language_timeout_seconds,
        settings.language_requests,
        settings.language_pictures,
    )


def warm_engines(settings: Settings) -> dict[str, str]:
    """Load every engine once, so that the first work does not wait for it.

    Returns, by the engine's name, why one is not there; its work goes on without it.
    """
    engines: dict[str, Engine] = {
        "speech": open_speech_engine(settings),
        "screen_text": open_screen_text_engine(settings),
        "sentences": open_sentence_engine(settings),
    }
    if (language := open_language_engine(settings)) is not None:
        engines["language"] = language
    missing = {}
    for name, engine in engines.items():
        try:
            engine.load()
        except EngineError as error:
            missing[name] = error.message
    return missing


def still_missing(settings: Settings, missing: Mapping[str, str]) -> dict[str, str]:
    """What `warm_engines` found to be missing, as it is now: a language model's endpoint comes and goes."""
    found = {name: reason for name, reason in missing.items() if name != "language"}
    language = open_language_engine(settings)
    return found | {"language": language.trouble} if language and language.trouble else found


@cache
def _whisper(model: str | None, parallel: int) -> SpeechEngine:
    from workers.engines.whisper_local import WhisperLocal

    return WhisperLocal(model, parallel=parallel)


@cache
def _rapidocr() -> ScreenTextEngine:
    from workers.engines.rapidocr_local import RapidOcrLocal

    return RapidOcrLocal()


@cache
def _openai_compatible(
    url: str, key: str | None, model: str, timeout_seconds: float, requests_at_once: int, pictures: bool
) -> LanguageEngine:
    from workers.engines.openai_compatible import OpenAiCompatible

    return OpenAiCompatible(
        url,
        key=key,
        model=model,
        timeout_seconds=timeout_seconds,
        requests_at_once=requests_at_once,
        pictures=pictures,
    )
