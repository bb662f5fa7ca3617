"""Opus packets to 16 kHz speech, one decoder a track."""

import av
import numpy as np

from app.media.samples import NO_SAMPLES, SAMPLE_RATE_HZ, Samples

_OPUS_RATE_HZ = 48_000  # what FFmpeg's libopus decoder always gives, whatever rate is asked
_FACTOR = _OPUS_RATE_HZ // SAMPLE_RATE_HZ
# Windowed sinc, flat to 6.8 kHz and 60 dB down from 8.6 kHz. One product a packet costs a third of an
# AudioResampler, which also starts two threads a track.
_TAPS = 96


def _low_pass() -> Samples:
    at = np.arange(_TAPS) - (_TAPS - 1) / 2
    taps = np.sinc(at * 2 * 7_600 / _OPUS_RATE_HZ) * np.kaiser(_TAPS, 5.6)
    return np.asarray(taps / taps.sum(), np.float32)


class OpusDecoder:
    """Decodes the packets of one track in order; a damaged one gives no samples and is counted."""

    _taps = _low_pass()

    def __init__(self) -> None:
        self.damaged_packets = 0
        self._decoder = self._open()
        self._history = np.zeros(_TAPS - _FACTOR, np.float32)

    def decode(self, packet: bytes) -> Samples:
        """Return the packet's sound as float32 mono at 16 kHz, 1 ms behind the packet."""
        # FFmpeg reads an empty packet as the end of the stream and decodes nothing after it.
        if not packet:
            self.damaged_packets += 1
            return NO_SAMPLES
        try:
            frames = self._decoder.decode(av.Packet(packet))
        except av.FFmpegError:
            self.damaged_packets += 1
            return NO_SAMPLES
        parts = [np.asarray(frame.to_ndarray()[0], np.float32) for frame in frames]
        return self._decimated(np.concatenate(parts)) if parts else NO_SAMPLES

    @staticmethod
    def _open() -> av.AudioCodecContext:
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.sample_rate = _OPUS_RATE_HZ
        decoder.layout = "mono"
        return decoder

    def _decimated(self, samples: Samples) -> Samples:
        # Every Opus packet holds a multiple of 2.5 ms (120 samples), so thirds always come out whole.
        joined = np.concatenate([self._history, samples])
        self._history = joined[len(joined) - len(self._history) :]
        windows = np.lib.stride_tricks.sliding_window_view(joined, _TAPS)[::_FACTOR]
        return (windows @ self._taps) / np.float32(32_768)
