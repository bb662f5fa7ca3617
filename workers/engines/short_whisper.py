"""Whisper whose encoder works through the sound that there is, not always through thirty seconds."""

from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

_FRAMES_PER_SECOND = 100
# Measured on 16 utterances and 45 beginnings of them: the words are those of the full thirty seconds for a
# third of the time. With less silence after the sound, or less in all, the model loops on short utterances.
_SILENCE_FRAMES = 3 * _FRAMES_PER_SECOND
_LEAST_FRAMES = 10 * _FRAMES_PER_SECOND


class ShortWhisper(WhisperModel):  # type: ignore[misc]
    """The library pads every window with empty frames to the length that the model was trained on."""

    def encode(self, features: NDArray[np.float32]) -> Any:
        """Encode (mel bands, frames) without most of the empty frames at the end."""
        return super().encode(without_padding(features))


def without_padding(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep up to the last frame that is not empty, and what silence the model needs after it."""
    filled = np.flatnonzero(features.any(axis=tuple(range(features.ndim - 1))))
    length = int(filled[-1]) + 1 if len(filled) else 0
    length = max(length + _SILENCE_FRAMES, _LEAST_FRAMES)
    # The encoder halves the rate: an even number of frames.
    return np.ascontiguousarray(features[..., : length + length % 2])
