"""Text on screens, by the PP-OCR models that rapidocr carries, on this machine's cores."""

from threading import Lock
from typing import Any

import av
import numpy as np

from app.engines.contract import EngineFailed, EngineRecord, ModelMissing
from app.engines.loading import Loaded
from app.media.stills import decode_still
from workers.engines.contract import ScreenLine

_LEAST_CONFIDENCE = 0.5  # below it what was read is mostly no text: icons, borders, wallpaper
_PARAMETERS = {
    "Global.use_cls": False,  # screens are never upside down
    "Global.log_level": "error",
    "Rec.rec_batch_num": 1,  # lines in one batch are padded to the longest: measured slower
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # two threads gain nothing: measured
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


class RapidOcrLocal:
    """PP-OCR by ONNX, one thread a picture; pictures are read one after the other."""

    def __init__(self) -> None:
        self._reader = Loaded(_opened)
        self._reading = Lock()

    @property
    def record(self) -> EngineRecord:
        return EngineRecord(
            "rapidocr",
            "PP-OCR",
            device="cpu",
            compute_type="float32",
            languages=("en", "zh"),
            missing=self._reader.missing,
        )

    def load(self) -> None:
        """Open the models. Raises `ModelMissing`."""
        self._reader.get()

    def read(self, picture: bytes) -> list[ScreenLine]:
        """Raises `EngineFailed` for what is no picture, `ModelMissing`."""
        reader = self._reader.get()
        try:
            pixels = decode_still(picture, "bgr24")
            with self._reading:  # its parts keep state between their steps
                found = reader(pixels)
        except (av.FFmpegError, RuntimeError, ValueError) as error:
            raise EngineFailed("The screen text engine broke off.") from error
        if found.boxes is None or found.txts is None:
            return []
        lines = [
            _line(text, box, confidence)
            for text, box, confidence in zip(found.txts, found.boxes, found.scores, strict=True)
            if text.strip() and confidence >= _LEAST_CONFIDENCE
        ]
        return sorted(lines, key=lambda line: (line.top, line.left))


def _opened() -> Any:
    try:
        from rapidocr import RapidOCR  # a second to import: only where screens are read
    except ImportError as error:
        raise ModelMissing("rapidocr is not installed: pip install 'opencapture[screen]'") from error
    return RapidOCR(params=_PARAMETERS)


def _line(text: str, box: np.ndarray[Any, Any], confidence: float) -> ScreenLine:
    left, top = np.floor(box.min(axis=0)).astype(int)
    right, bottom = np.ceil(box.max(axis=0)).astype(int)
    return ScreenLine(text.strip(), int(left), int(top), int(right), int(bottom), round(float(confidence), 3))
