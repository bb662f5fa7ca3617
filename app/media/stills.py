"""Encoded still pictures as pixels."""

import io
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def decode_still(picture: bytes, layout: str = "rgb24") -> NDArray[np.uint8]:
    """The pixels of a JPEG or PNG, (height, width, 3) in FFmpeg's `layout`. Raises `av.FFmpegError`."""
    with av.open(io.BytesIO(picture), "r") as container:
        frame = next(container.decode(video=0))
        pixels: NDArray[Any] = frame.to_ndarray(format=layout)
    return np.ascontiguousarray(pixels, np.uint8)
