"""One track's packets to 16 kHz speech, whatever their codec."""

from typing import Protocol

import numpy as np

from app.media.aac import AacDecoder
from app.media.frames import Codec, EncodedFrame
from app.media.opus import OpusDecoder
from app.media.samples import SAMPLE_RATE_HZ, Samples


class SpeechDecoder(Protocol):
    """Decodes the packets of one track in order. Implementers: `OpusDecoder`, `AacSpeechDecoder`."""

    @property
    def damaged_packets(self) -> int:
        """How many packets gave nothing because they were damaged."""

    def decode(self, packet: bytes) -> Samples:
        """The packet's sound as float32 mono at 16 kHz; none for a damaged one, which is counted."""


class AacSpeechDecoder:
    """A `SpeechDecoder`. Raises `Unprocessable` for a description that is not taken."""

    def __init__(self, description: bytes) -> None:
        self._decoder = AacDecoder(description, SAMPLE_RATE_HZ)

    @property
    def damaged_packets(self) -> int:
        return self._decoder.damaged_packets

    def decode(self, packet: bytes) -> Samples:
        # Averaged here: FFmpeg's own mix to mono adds 3 dB and would clip.
        return np.asarray(self._decoder.decode(packet).mean(axis=0), np.float32)


def open_speech_decoder(first: EncodedFrame) -> SpeechDecoder:
    """The decoder for the track that `first` belongs to. Raises `Unprocessable` for AAC that is not taken."""
    return AacSpeechDecoder(first.description) if first.codec is Codec.AAC else OpusDecoder()
