"""Which engines the settings name; each is opened once a process."""

import os
from contextlib import suppress
from functools import cache

from app.base.settings import Settings
from app.engines.contract import Engine, EngineError, EngineRecord
from app.engines.registry import open_image_text_engine, open_sentence_engine
from workers.engines.contract import LanguageEngine, ScreenTextEngine, SpeechEngine
from workers.engines.whisper_local import Device, WhisperLocal


def decodes_at_once(settings: Settings) -> int:
    """How many pieces of live speech a worker recognises at a time: one a core."""
    return min(settings.worker_threads, os.cpu_count() or 1)


def open_speech_engine(settings: Settings) -> SpeechEngine:
    """The speech engine in force; the same one for the same settings. It loads its model when first used."""
    # One more than live speech needs: it does not wait for a recording that is transcribed.
    return _whisper(
        speech_location(settings),
        decodes_at_once(settings) + 1,
        settings.speech_device,
        settings.speech_compute_type,
    )


def speech_location(settings: Settings) -> str | None:
    """The folder or name of the speech model; one that `capture models fetch` brought goes by its name."""
    if settings.speech_model is None:
        return None
    fetched = settings.models_folder / f"whisper-{settings.speech_model}"
    return str(fetched) if fetched.is_dir() else settings.speech_model


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


def engines_in_force(settings: Settings) -> dict[str, Engine]:
    """Every engine that the settings ask for, by what it is for; none is loaded for it."""
    engines: dict[str, Engine] = {
        "speech": open_speech_engine(settings),
        "screen_text": open_screen_text_engine(settings),
        "sentences": open_sentence_engine(settings),
        "image_text": open_image_text_engine(settings),
    }
    language = open_language_engine(settings)
    return engines | ({"language": language} if language else {})


def warm_engines(settings: Settings) -> None:
    """Load every engine once, so that the first work does not wait for it; what is missing says so in its
    record, and its work goes on without it."""
    for engine in engines_in_force(settings).values():
        with suppress(EngineError):
            engine.load()


def engine_records(settings: Settings) -> dict[str, EngineRecord]:
    """What each engine is, and why it is not there, as far as has been seen."""
    return {name: engine.record for name, engine in engines_in_force(settings).items()}


@cache
def _whisper(model: str | None, parallel: int, device: Device, compute_type: str) -> SpeechEngine:
    return WhisperLocal(model, parallel=parallel, device=device, compute_type=compute_type)


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
