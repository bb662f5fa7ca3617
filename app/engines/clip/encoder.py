"""Pictures and texts in one space, by open_clip."""

import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.engines.clip.torchvision_schemas import import_torchvision
from app.engines.clip.weights import CONFIG_FILE, DEFAULT_WEIGHTS, Weights, digest, find_weights
from app.engines.contract import EngineError, EngineFailed, EngineRecord, ModelMissing
from app.engines.loading import Loaded

Device = Literal["auto", "cpu", "cuda"]

_AT_ONCE = 16
_MOST_CHARACTERS = 400  # its tokenizers cut at 77 tokens or so; longer texts only cost time
# What every picture is: how much better a text fits than these do tells more than how well it fits.
_ANY_PICTURE = (
    "a picture",
    "an image",
    "a photo",
    "a screenshot",
    "a screenshot of a website",
    "a screenshot of an application",
    "a page of text",
    "a drawing",
    "a background",
    "something",
)


@dataclass(frozen=True, slots=True)
class _Model:
    network: Any
    prepare: Any
    tokenize: Any
    device: str
    space: str
    scale: float
    any_picture: NDArray[np.float32]


class OpenClip:
    """One of open_clip's models, 32-bit floats, one thread a picture on the CPU."""

    def __init__(self, model: str, weights: str | None, device: Device, models_folder: Path) -> None:
        self._name, self._wanted, self._device, self._folder = model, weights, device, models_folder
        self._loaded = Loaded(self._open)

    @property
    def record(self) -> EngineRecord:
        model = self._loaded.get() if self._loaded.is_there else None
        return EngineRecord(
            "open_clip",
            model.space if model else f"{self._name}/{Path(self._wanted or DEFAULT_WEIGHTS).name}",
            device=model.device if model else None,
            compute_type="float32",
            missing=self._loaded.missing,
        )

    @property
    def space(self) -> str:
        return self._loaded.get().space

    def load(self) -> None:
        """Open the model. Raises `ModelMissing`, `EngineFailed`."""
        self._loaded.get()

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Raises `EngineFailed` for what is no picture, `ModelMissing`."""
        model = self._loaded.get()
        try:
            prepared = [model.prepare(_decode(picture)) for picture in pictures]
            return _encode(model, prepared, model.network.encode_image)
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineFailed("The image-text engine broke off.") from error

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises `EngineFailed`, `ModelMissing`."""
        model = self._loaded.get()
        try:
            vectors = _encode_texts(model, texts)
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineFailed("The image-text engine broke off.") from error
        return (vectors - model.any_picture) * np.float32(model.scale)

    def _open(self) -> _Model:
        if any(importlib.util.find_spec(name) is None for name in ("torch", "open_clip")):
            raise ModelMissing(
                "open_clip is not installed: start with `run.py up --vision`, or pip install"
                " 'opencapture[vision]'"
            )
        try:
            weights = find_weights(self._name, self._wanted, self._folder)
            return _opened(self._name, weights, self._device)
        except EngineError:
            raise
        except ImportError as error:
            raise ModelMissing(f"open_clip cannot be imported: {type(error).__name__}.") from error
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise EngineFailed(f"The image-text model {self._name!r} could not be loaded.") from error


def _opened(name: str, weights: Weights, device: Device) -> _Model:
    import_torchvision()
    import open_clip
    import torch

    chosen = _chosen_device(device)
    torch.set_num_threads(1)
    # Of a folder the text tower's own configuration lies in it too, wherever it was moved to.
    kwargs: dict[str, Any] = {}
    if weights.is_folder:
        name = f"local-dir:{weights.path}"
        text = json.loads((weights.path / CONFIG_FILE).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        if text.get("hf_model_name"):
            kwargs["text_cfg"] = text | {"hf_model_name": str(weights.path), "hf_model_pretrained": False}
    else:
        kwargs = _as_trained(name, weights.name)
    network, prepare = open_clip.create_model_from_pretrained(
        name,
        pretrained=None if weights.is_folder else str(weights.path),
        device=chosen,
        **kwargs,
    )
    network.eval()
    label = weights.name if weights.is_folder else f"{name}/{weights.name}"
    bare = _Model(
        network,
        prepare,
        open_clip.get_tokenizer(name),
        chosen,
        f"{label}@{digest(weights)}",
        float(network.logit_scale.detach().exp()),
        np.zeros(1, np.float32),
    )
    any_picture = _encode_texts(bare, _ANY_PICTURE).mean(axis=0)
    return _Model(
        network, prepare, bare.tokenize, chosen, bare.space, bare.scale, np.asarray(any_picture, np.float32)
    )


def _as_trained(name: str, weights: str) -> dict[str, Any]:
    """How pictures are prepared for weights that open_clip knows: a file alone does not tell."""
    from open_clip.pretrained import get_pretrained_cfg

    known = get_pretrained_cfg(name, weights) or {}
    arguments = {
        "image_mean": known.get("mean"),
        "image_std": known.get("std"),
        "image_interpolation": known.get("interpolation"),
        "image_resize_mode": known.get("resize_mode"),
        "force_quick_gelu": known.get("quick_gelu"),
    }
    return {key: value for key, value in arguments.items() if value is not None}


def _chosen_device(device: Device) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelMissing(
            "CAPTURE_IMAGE_TEXT_DEVICE is cuda, but torch finds no GPU: its build is for the CPU, or the"
            " driver is not there."
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _decode(picture: bytes) -> Image.Image:
    with Image.open(io.BytesIO(picture)) as image:
        return image.convert("RGB")


def _encode_texts(model: _Model, texts: Sequence[str]) -> NDArray[np.float32]:
    tokens = model.tokenize([text[:_MOST_CHARACTERS] for text in texts])
    return _encode(model, list(tokens), model.network.encode_text)


def _encode(model: _Model, inputs: Sequence[Any], tower: Any) -> NDArray[np.float32]:
    import torch

    found = []
    with torch.inference_mode():
        for at in range(0, len(inputs), _AT_ONCE):
            batch = torch.stack(list(inputs[at : at + _AT_ONCE])).to(model.device)
            found.append(tower(batch, normalize=True).cpu().numpy())
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, 0), np.float32)
