"""Where speech is: a probability for every 32 ms of sound, from the Silero model."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from app.base.errors import Unavailable
from app.media.samples import NO_SAMPLES, Samples

WINDOW_SAMPLES = 512
_CONTEXT_SAMPLES = 64


class Detector(Protocol):
    """What tells speech from other sound. Implementers: `SpeechDetector`."""

    def process(self, samples: Samples) -> list[float]:
        """Probabilities of the whole windows of `WINDOW_SAMPLES` that `samples` complete, in order."""

    def reset(self) -> None:
        """Forget what came before: the next samples do not follow on it."""


class SpeechDetector:
    """Silero VAD v6 over a stream; keeps its own state, so one is needed a track. Raises `Unavailable`
    when the speech packages are not installed."""

    def __init__(self) -> None:
        self._session = _open_model()
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._rest = NO_SAMPLES

    def process(self, samples: Samples) -> list[float]:
        """Probabilities of speech, one a window of 32 ms; samples of an unfinished window wait."""
        joined = np.concatenate([self._rest, samples])
        count = len(joined) // WINDOW_SAMPLES
        self._rest = joined[count * WINDOW_SAMPLES :]
        if not count:
            return []
        windows = joined[: count * WINDOW_SAMPLES].reshape(count, WINDOW_SAMPLES)
        # Each window is seen after the last 64 samples of the one before.
        before = np.concatenate([self._context[None, :], windows[:-1, -_CONTEXT_SAMPLES:]])
        self._context = windows[-1, -_CONTEXT_SAMPLES:]
        found, self._hidden, self._cell = self._session.run(
            None,
            {
                "input": np.concatenate([before, windows], axis=1).astype(np.float32),
                "h": self._hidden,
                "c": self._cell,
            },
        )
        return [float(probability) for probability in np.ravel(found)]


@cache
def _open_model() -> Any:
    """The model, shared by every detector of the process: running it keeps no state inside."""
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(_model_path()), providers=["CPUExecutionProvider"], sess_options=options
    )


def _model_path() -> Path:
    # Found, not imported: importing the package would load its engine into the web process.
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "assets" / "silero_vad_v6.onnx"
        if path.is_file():
            return path
    raise Unavailable("no voice activity model: pip install 'opencapture[speech]'")
