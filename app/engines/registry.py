"""Which engines the settings name, of those that both the web and the workers use."""

from functools import cache
from pathlib import Path

from app.base.settings import Settings
from app.engines.clip.encoder import Device, OpenClip
from app.engines.contract import ImageTextEngine, SentenceEngine


def open_sentence_engine(settings: Settings) -> SentenceEngine:
    """The engine that says how close texts are in meaning; the same one for the same settings."""
    return _minilm(settings.sentence_model)


def open_image_text_engine(settings: Settings) -> ImageTextEngine:
    """The engine that says what pictures show. Torch is loaded when it is first used, and not before."""
    return _open_clip(
        settings.image_text_model,
        settings.image_text_weights,
        settings.image_text_device,
        settings.models_folder,
    )


@cache
def _open_clip(model: str, weights: str | None, device: Device, models_folder: Path) -> ImageTextEngine:
    return OpenClip(model, weights, device, models_folder)


@cache
def _minilm(folder: Path | None) -> SentenceEngine:
    from app.engines.minilm.encoder import MiniLm

    return MiniLm(folder)
