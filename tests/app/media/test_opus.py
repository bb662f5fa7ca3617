import numpy as np
import pytest

from app.media.opus import OpusDecoder
from app.media.samples import SAMPLE_RATE_HZ
from tests.fixtures.media import opus_packets, tone


def decode(decoder: OpusDecoder, packets: list[bytes]) -> np.ndarray:
    return np.concatenate([decoder.decode(packet) for packet in packets])


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples[3200:-3200]))))


def test_a_packet_of_20_ms_gives_320_samples() -> None:
    decoder = OpusDecoder()
    for frame in opus_packets(tone(1.0)):
        samples = decoder.decode(frame.data)
        assert samples.dtype == np.float32
        assert samples.shape == (320,)
    assert decoder.damaged_packets == 0


@pytest.mark.parametrize("hz", [200.0, 1000.0, 3000.0])
def test_speech_frequencies_keep_their_level(hz: float) -> None:
    samples = decode(OpusDecoder(), [f.data for f in opus_packets(tone(2.0, hz=hz), bit_rate=96_000)])
    assert level(samples) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)  # the codec itself is within 5 %
    spectrum = np.abs(np.fft.rfft(samples[3200:-3200]))
    assert np.argmax(spectrum) * SAMPLE_RATE_HZ / len(samples[3200:-3200]) == pytest.approx(hz, abs=1)


def test_frequencies_above_half_the_rate_do_not_fold_back() -> None:
    samples = decode(OpusDecoder(), [f.data for f in opus_packets(tone(2.0, hz=11_000), bit_rate=96_000)])
    assert level(samples) < 0.3 * 0.003  # 50 dB down


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"\x7b", b"\xff" * 50])
def test_damaged_packets_are_counted_and_the_next_ones_decoded(damaged: bytes) -> None:
    packets = [frame.data for frame in opus_packets(tone(1.0))]
    decoder = OpusDecoder()
    decoder.decode(packets[0])
    assert decoder.decode(damaged).shape == (0,)
    assert decoder.damaged_packets == 1
    assert len(decode(decoder, packets[1:])) == 320 * (len(packets) - 1)
