"""Where an image-text model's weights are: a hub's name that is on this machine, a file, or a folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from app.engines.clip.torchvision_schemas import import_torchvision
from app.engines.contract import ModelMissing

DEFAULT_WEIGHTS = "laion2b_s34b_b79k"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
BUILT_FOLDER = "image-text"  # of the models folder: what `capture models fetch` builds of packages

_HUB_FILES = (WEIGHTS_FILE, "open_clip_pytorch_model.bin")
_WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pt", ".npz")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """`path` is a file, or a folder with its own configuration; `name` is what people call it."""

    name: str
    path: Path

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def find_weights(model: str, wanted: str | None, models_folder: Path) -> Weights:
    """The weights that are on this machine; nothing is fetched. Raises `ModelMissing`.

    Without `wanted` those of the default name, else what was built of packages.
    """
    if wanted is not None and (place := Path(wanted).expanduser()).exists():
        if place.is_dir() and not (place / CONFIG_FILE).is_file():
            raise ModelMissing(f"The image-text model folder {place.name!r} lacks {CONFIG_FILE}.")
        return Weights(place.name, place)
    if wanted is not None and (place.is_absolute() or wanted.startswith(".")):
        raise ModelMissing(f"CAPTURE_IMAGE_TEXT_WEIGHTS names {place.name!r}, which is not there.")
    name = wanted or DEFAULT_WEIGHTS
    cached = cached_file(model, name)
    if cached is not None:
        return Weights(name, cached)
    built = models_folder / BUILT_FOLDER
    if wanted is None and (built / CONFIG_FILE).is_file():
        return Weights(BUILT_FOLDER, built)
    raise ModelMissing(
        f"The weights {name!r} of {model} are not on this machine: run `capture models fetch image_text`,"
        " or set CAPTURE_IMAGE_TEXT_WEIGHTS to a file or a folder."
    )


def hub_file(model: str, name: str) -> tuple[str, str | None]:
    """The hub's repository that has these weights, and the file in it; None for the usual ones.

    Raises `ModelMissing` where open_clip does not know them.
    """
    import_torchvision()
    from open_clip.pretrained import get_pretrained_cfg

    place = (get_pretrained_cfg(model, name) or {}).get("hf_hub")
    if not place:
        raise ModelMissing(f"open_clip knows no weights {name!r} of a model {model!r}.")
    repository, _, file = place.rpartition("/")
    return repository, file or None


def cached_file(model: str, name: str) -> Path | None:
    """The file of these weights in the hub's cache; None where it was not fetched. Raises `ModelMissing`."""
    from huggingface_hub import constants, try_to_load_from_cache

    # Which repository it is in open_clip knows, and to import that takes five seconds and torch.
    cached = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*/*")
    if not any(path.suffix in _WEIGHTS_SUFFIXES for path in cached):
        return None
    repository, file = hub_file(model, name)
    for candidate in (file,) if file else _HUB_FILES:
        found = try_to_load_from_cache(repository, candidate)
        if isinstance(found, str):
            return Path(found)
    return None


def digest(weights: Weights) -> str:
    """The beginning of the SHA-256 of the weights themselves: another file under the same name differs."""
    path = weights.path / WEIGHTS_FILE if weights.is_folder else weights.path
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hashed.update(block)
    return hashed.hexdigest()[:16]
