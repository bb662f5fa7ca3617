"""Media files made on the spot: a beep and a white flash at the same whole seconds."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ = 48_000
FRAME_RATE = 15
FLASH_SECONDS = 0.2


def is_flash(seconds: float) -> bool:
    """True during the first 200 ms of every second from the first on."""
    return seconds >= 1.0 and seconds % 1.0 < FLASH_SECONDS


def write_beeps(path: Path, seconds: float, tone_hz: float = 1000.0) -> Path:
    """Mono WAV: silence with a tone while `is_flash`."""
    moments = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    loud = (moments >= 1.0) & (moments % 1.0 < FLASH_SECONDS)
    samples = (np.sin(2 * np.pi * tone_hz * moments) * loud * 12_000).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return path


def write_flashes(path: Path, seconds: float, width: int = 640, height: int = 360) -> Path:
    """MP4: dark pictures, white ones while `is_flash`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for index in range(int(seconds * FRAME_RATE)):
            level = 235 if is_flash(index / FRAME_RATE) else 40
            frame = av.VideoFrame.from_ndarray(np.full((height, width), level, np.uint8), format="gray")
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def loudest_hz(samples: np.ndarray) -> float:
    """Frequency of the strongest component, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE_HZ / len(samples))


def brightness(frame: av.VideoFrame) -> float:
    """Mean luma, 16 (black) to 235 (white)."""
    return float(frame.reformat(format="gray").to_ndarray().mean())
