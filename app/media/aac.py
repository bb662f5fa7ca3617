"""AAC access units: what their AudioSpecificConfig says of them, and their sound."""

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from app.base.errors import Unprocessable

SAMPLES_PER_UNIT = 1024
_LOW_COMPLEXITY = 2
_RATES_HZ = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)

Planes = NDArray[np.float32]  # channels by samples
NO_PLANES: Planes = np.empty((1, 0), np.float32)


@dataclass(frozen=True, slots=True)
class AacFormat:
    """AAC-LC of one or two channels in frames of `SAMPLES_PER_UNIT` samples."""

    rate_hz: int
    channels: int

    @property
    def unit_us(self) -> int:
        """How long one access unit sounds, in microseconds."""
        return SAMPLES_PER_UNIT * 1_000_000 // self.rate_hz


def read_aac_format(description: bytes) -> AacFormat:
    """Read an AudioSpecificConfig (ISO/IEC 14496-3 clause 1.6.2.1).

    Raises `Unprocessable` for anything but AAC-LC, mono or stereo, at a rate of the table, 1024 samples long.
    """
    bits = int.from_bytes(description[:2], "big")
    kind, rate, channels, short_frames = bits >> 11, bits >> 7 & 0xF, bits >> 3 & 0xF, bits >> 2 & 1
    known = kind == _LOW_COMPLEXITY and rate < len(_RATES_HZ) and channels in (1, 2) and not short_frames
    if len(description) < 2 or not known:
        raise Unprocessable("Of AAC only the low complexity profile in mono or stereo is taken.")
    return AacFormat(_RATES_HZ[rate], channels)


class AacDecoder:
    """Decodes one track's access units in order; a damaged one gives no samples and is counted.

    Raises `Unprocessable` for a description that `read_aac_format` refuses.
    """

    def __init__(self, description: bytes, rate_hz: int) -> None:
        self.damaged_packets = 0
        self._format = read_aac_format(description)
        self._rate_hz = rate_hz
        decoder = av.CodecContext.create("aac", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.extradata = description
        self._decoder = decoder
        self._resampler = self._new_resampler()

    def decode(self, packet: bytes) -> Planes:
        """The access unit's sound, float32 at the decoder's `rate_hz`; a few samples late where resampled."""
        # FFmpeg reads an empty packet as the end of the stream and decodes nothing after it.
        if not packet:
            self.damaged_packets += 1
            return NO_PLANES
        try:
            frames = self._decoder.decode(av.Packet(packet))
            if self._format.rate_hz != self._rate_hz:
                frames = [part for frame in frames for part in self._resampler.resample(frame)]
            parts = [np.asarray(frame.to_ndarray(), np.float32) for frame in frames]
            return np.concatenate(parts, axis=1) if parts else NO_PLANES
        except (av.FFmpegError, ValueError):  # ValueError: the unit's own layout is not the described one
            self.damaged_packets += 1
            self._resampler = self._new_resampler()
            return NO_PLANES

    def _new_resampler(self) -> av.AudioResampler:
        layout = "mono" if self._format.channels == 1 else "stereo"
        return av.AudioResampler(format="fltp", layout=layout, rate=self._rate_hz)
