"""Recorded sound as the mix takes it, 48 kHz stereo blocks of samples, whatever its codec."""

from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from app.base.errors import Unprocessable
from app.media.aac import AacDecoder
from app.media.frames import Codec
from app.media.recorded import RecordedPacket

RATE_HZ = 48_000
CHANNELS = 2
Block = NDArray[np.float32]  # samples by channels
NOTHING: Block = np.empty((0, CHANNELS), np.float32)


class BlockDecoder(Protocol):
    """Decodes packets of one codec in order. Implementers: `OpusBlocks`, `AacBlocks`."""

    damaged_packets: int
    """How many packets gave nothing because they were damaged."""

    def decode(self, packet: RecordedPacket) -> Block:
        """The packet's samples; none for a damaged one, which is counted."""


class OpusBlocks:
    """Decodes a track's Opus packets to blocks; a damaged one gives nothing and is counted."""

    def __init__(self) -> None:
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.sample_rate, decoder.layout = RATE_HZ, "stereo"
        self._decoder = decoder
        self.damaged_packets = 0

    def decode(self, packet: RecordedPacket) -> Block:
        try:
            frames = self._decoder.decode(av.Packet(packet.data))
        except av.FFmpegError:
            self.damaged_packets += 1
            return NOTHING
        parts = [np.asarray(frame.to_ndarray(), np.float32).reshape(-1, CHANNELS) for frame in frames]
        return np.concatenate(parts) / np.float32(32_768) if parts else NOTHING


class AacBlocks:
    """Decodes a track's AAC access units to blocks; a publisher that came back may describe them anew."""

    def __init__(self) -> None:
        self.damaged_packets = 0
        self._description = b""
        self._decoder: AacDecoder | None = None

    def decode(self, packet: RecordedPacket) -> Block:
        try:
            if self._decoder is None or packet.description != self._description:
                self._decoder, self._description = AacDecoder(packet.description, RATE_HZ), packet.description
        except Unprocessable:
            self.damaged_packets += 1
            return NOTHING
        before = self._decoder.damaged_packets
        planes = self._decoder.decode(packet.data)
        self.damaged_packets += self._decoder.damaged_packets - before
        # One channel is heard on both sides.
        return np.ascontiguousarray(np.broadcast_to(planes[:CHANNELS], (CHANNELS, planes.shape[1])).T)


class TrackBlocks:
    """Decodes one track's packets in order, each by the decoder of its codec."""

    def __init__(self) -> None:
        self._decoders: dict[Codec, BlockDecoder] = {}

    @property
    def damaged_packets(self) -> int:
        return sum(decoder.damaged_packets for decoder in self._decoders.values())

    def decode(self, packet: RecordedPacket) -> Block:
        """The packet's samples; none for a damaged one, which is counted."""
        decoder = self._decoders.get(packet.codec)
        if decoder is None:
            decoder = AacBlocks() if packet.codec is Codec.AAC else OpusBlocks()
            self._decoders[packet.codec] = decoder
        return decoder.decode(packet)
