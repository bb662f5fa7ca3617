import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.base.errors import Unprocessable
from app.media.aac import AacDecoder, AacFormat, read_aac_format
from app.media.frames import EncodedFrame
from app.media.hearing import AacSpeechDecoder, open_speech_decoder
from app.media.opus import OpusDecoder
from tests.fixtures.media import aac_units, opus_packets, tone

STEREO_48K = b"\x11\x90"


def spoken(frames: list[EncodedFrame]) -> np.ndarray:
    decoder = open_speech_decoder(frames[0])
    return np.concatenate([decoder.decode(frame.data) for frame in frames])


def test_the_recorders_description_is_read() -> None:
    assert read_aac_format(STEREO_48K) == AacFormat(48_000, 2)
    assert read_aac_format(STEREO_48K).unit_us == 21_333


@given(st.binary(max_size=8))
def test_any_description_is_read_or_refused(description: bytes) -> None:
    try:
        found = read_aac_format(description)
    except Unprocessable:
        return
    assert found.channels in (1, 2)
    assert 7_000 < found.rate_hz < 97_000


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 2), (16_000, 1), (8_000, 1)])
def test_speech_comes_out_at_16_khz_at_its_level_and_pitch(rate_hz: int, channels: int) -> None:
    frames = aac_units(tone(2.0, rate_hz=rate_hz, hz=1000.0), rate_hz=rate_hz, channels=channels)
    samples = spoken(frames)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(len(frames) * 1024 * 16_000 / rate_hz, abs=200)
    middle = samples[6400:-6400]
    assert float(np.sqrt(np.mean(np.square(middle)))) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    peak = np.argmax(np.abs(np.fft.rfft(middle))) * 16_000 / len(middle)
    assert peak == pytest.approx(1000.0, abs=1)


@pytest.mark.parametrize("damaged", [b"", b"\xff" * 30, b"\x21"])
@pytest.mark.parametrize("rate_hz", [48_000, 16_000])
def test_damaged_units_are_counted_and_the_next_ones_decoded(damaged: bytes, rate_hz: int) -> None:
    units = [frame.data for frame in aac_units(tone(1.0))]
    decoder = AacDecoder(STEREO_48K, rate_hz)
    decoder.decode(units[0])
    assert decoder.decode(damaged).shape[1] == 0
    assert decoder.damaged_packets == 1
    decoded = sum(decoder.decode(unit).shape[1] for unit in units[1:])
    assert decoded == pytest.approx(1024 * (len(units) - 1) * rate_hz / 48_000, abs=200)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=5))
def test_whatever_is_sent_as_aac_never_raises(units: list[bytes]) -> None:
    decoder = AacSpeechDecoder(STEREO_48K)
    for unit in units:
        assert decoder.decode(unit).ndim == 1


def test_the_decoder_is_that_of_the_tracks_codec() -> None:
    assert isinstance(open_speech_decoder(opus_packets(tone(0.1))[0]), OpusDecoder)
    assert isinstance(open_speech_decoder(aac_units(tone(0.1))[0]), AacSpeechDecoder)
