from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.media.opus import OpusDecoder
from app.media.samples import SAMPLE_RATE_HZ, Samples
from app.media.speech import WINDOW_SAMPLES, SpeechDetector
from app.media.utterances import Utterance, UtteranceCutter
from tests.fixtures.media import START_US, beeps, opus_packets, read_speech, tone

WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE_HZ


class ScriptedDetector:
    """Gives the probabilities it was told, window by window; keeps no other rule than the real one."""

    def __init__(self, probabilities: list[float]) -> None:
        self.left = list(probabilities)
        self.rest = 0

    def reset(self) -> None:
        self.rest = 0

    def process(self, samples: Samples) -> list[float]:
        windows, self.rest = divmod(self.rest + len(samples), WINDOW_SAMPLES)
        given, self.left = self.left[:windows], self.left[windows:]
        return given + [0.0] * (windows - len(given))


def seconds(utterance: Utterance) -> tuple[float, float]:
    return (utterance.started_at_us - START_US) / 1e6, (utterance.ended_at_us - START_US) / 1e6


def cut_all(samples: Samples, cutter: UtteranceCutter, *, block: int = 320) -> list[Utterance]:
    found = []
    for start in range(0, len(samples), block):
        at_us = START_US + round(start * 1e6 / SAMPLE_RATE_HZ)
        found += cutter.feed(samples[start : start + block], at_us)
    return found + cutter.flush()


def scripted(probabilities: list[float], **settings_: float) -> list[Utterance]:
    samples = np.arange(len(probabilities) * WINDOW_SAMPLES, dtype=np.float32) / 1e7
    detector = ScriptedDetector(probabilities)
    return cut_all(samples, UtteranceCutter(detector=detector, **settings_))  # type: ignore[arg-type]


def test_speech_is_cut_at_its_pauses() -> None:
    speech = read_speech("two_cities.wav", rate_hz=SAMPLE_RATE_HZ)
    found = cut_all(speech, UtteranceCutter())
    assert 5 <= len(found) <= 15
    assert all(0.5 < len(one.samples) / SAMPLE_RATE_HZ <= 15.1 for one in found)
    covered = sum(len(one.samples) for one in found)
    assert covered > 0.8 * len(speech)
    for one in found:  # what is cut is what was fed
        start = round((one.started_at_us - START_US) * SAMPLE_RATE_HZ / 1e6)
        assert np.array_equal(one.samples, speech[start : start + len(one.samples)])


def test_opus_and_plain_samples_are_cut_alike() -> None:
    plain = cut_all(read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ), UtteranceCutter())
    decoder, cutter, found = OpusDecoder(), UtteranceCutter(), []
    for packet in opus_packets(read_speech("beckett.wav", rate_hz=48_000)):
        found += cutter.feed(decoder.decode(packet.data), packet.captured_at_us)
    found += cutter.flush()
    assert len(found) == len(plain)
    for one, other in zip(found, plain, strict=True):
        assert seconds(one) == pytest.approx(seconds(other), abs=0.1)  # three windows


NOISE = np.random.default_rng(7).normal(0, 0.2, 20 * SAMPLE_RATE_HZ).astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(20 * SAMPLE_RATE_HZ, np.float32),
        tone(20.0, rate_hz=SAMPLE_RATE_HZ),
        tone(20.0, rate_hz=SAMPLE_RATE_HZ, hz=200.0, level=0.8),
        beeps(20.0, rate_hz=SAMPLE_RATE_HZ),
        NOISE,
        NOISE * 0.02,
        NOISE * 2,
    ],
    ids=["silence", "tone", "low tone", "beeps", "noise", "hiss", "loud noise"],
)
def test_what_is_not_speech_gives_no_utterance(samples: Samples) -> None:
    assert cut_all(samples, UtteranceCutter()) == []


def test_what_is_being_said_is_the_beginning_of_its_utterance() -> None:
    speech = read_speech("two_cities.wav", rate_hz=SAMPLE_RATE_HZ)[: 24 * SAMPLE_RATE_HZ]
    cutter, heard, ended = UtteranceCutter(), {}, []
    for start in range(0, len(speech), 1600):
        ended += cutter.feed(speech[start : start + 1600], START_US + round(start * 1e6 / SAMPLE_RATE_HZ))
        speaking = cutter.speaking()
        if speaking is not None:
            before = heard.setdefault(speaking.started_at_us, [])
            assert not before or len(before[-1].samples) <= len(speaking.samples) + 0.3 * SAMPLE_RATE_HZ
            before.append(speaking)
    assert len(ended) >= 2
    for one in ended:
        parts = heard.pop(one.started_at_us)
        assert parts[-1].has_paused
        assert np.array_equal(parts[-1].samples, one.samples)
        for part in parts:
            shared = min(len(part.samples), len(one.samples))
            assert np.array_equal(part.samples[:shared], one.samples[:shared])
    assert len(heard) <= 1  # what goes on
    cutter.flush()
    assert cutter.speaking() is None


def test_noise_that_may_yet_be_dropped_is_not_being_said() -> None:
    cutter = UtteranceCutter(detector=ScriptedDetector([0.9] * 4))
    cutter.feed(np.zeros(4 * WINDOW_SAMPLES, np.float32), START_US)
    assert cutter.speaking() is None


def test_an_utterance_keeps_a_little_around_it() -> None:
    quiet, loud = [0.0] * 40, [0.9] * 30
    (one,) = scripted(quiet + loud + quiet)
    begun, ended = seconds(one)
    assert begun == pytest.approx(40 * WINDOW_SECONDS - 0.2, abs=WINDOW_SECONDS)
    assert ended == pytest.approx(70 * WINDOW_SECONDS + 0.2, abs=WINDOW_SECONDS)


def test_a_short_pause_does_not_end_it_and_a_click_is_no_speech() -> None:
    assert len(scripted([0.9] * 20 + [0.1] * 10 + [0.9] * 20 + [0.0] * 40)) == 1
    assert len(scripted([0.9] * 20 + [0.1] * 25 + [0.9] * 20 + [0.0] * 40)) == 2
    assert scripted([0.0] * 20 + [0.9] * 2 + [0.0] * 40) == []


def test_long_speech_is_cut_at_its_best_pause() -> None:
    speech = [0.9] * 40 + [0.1] * 4 + [0.9] * 20 + [0.1] * 8 + [0.9] * 60
    first, second = scripted(speech + [0.0] * 30, max_seconds=100 * WINDOW_SECONDS)
    assert seconds(first)[1] == pytest.approx(68 * WINDOW_SECONDS, abs=WINDOW_SECONDS)  # 64 to 72
    assert second.started_at_us >= first.ended_at_us


def test_long_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    windows = np.full(100, 0.5, np.float32)
    windows[70:73] = 0.01
    samples = np.repeat(windows, WINDOW_SAMPLES)
    cutter = UtteranceCutter(detector=ScriptedDetector([0.9] * 100), max_seconds=90 * WINDOW_SECONDS)
    first, second = cut_all(samples, cutter)
    assert seconds(first)[1] == pytest.approx(71 * WINDOW_SECONDS, abs=1.5 * WINDOW_SECONDS)
    assert second.started_at_us == first.ended_at_us


@pytest.mark.parametrize("jump_seconds", [0.8, 3600.0, -3600.0])
def test_a_jump_of_the_clock_ends_the_utterance(jump_seconds: float) -> None:
    cutter = UtteranceCutter(detector=ScriptedDetector([0.9] * 200))
    samples = np.ones(SAMPLE_RATE_HZ, np.float32)
    assert cutter.feed(samples, START_US) == []
    later_us = START_US + round((1 + jump_seconds) * 1e6)
    (first,) = cutter.feed(samples, later_us)
    assert seconds(first) == (0.0, 1.0)
    (second,) = cutter.flush()
    assert (second.started_at_us, second.ended_at_us) == (later_us, later_us + 1_000_000)


def test_lost_packets_are_silence() -> None:
    cutter = UtteranceCutter(detector=ScriptedDetector([0.9] * 200))
    block = np.ones(3200, np.float32)  # 200 ms
    cutter.feed(block, START_US)
    cutter.feed(block, START_US + 500_000)
    (one,) = cutter.flush()
    assert seconds(one) == pytest.approx((0.0, 0.7), abs=1e-6)
    assert len(one.samples) == 0.7 * SAMPLE_RATE_HZ
    assert not one.samples[3200:8000].any()


def test_a_drifting_sample_clock_does_not_shift_utterances() -> None:
    # 1000 ppm over 60 s: 60 ms, taken back between utterances.
    probabilities = ([0.0] * 60 + [0.9] * 40) * 19
    cutter, found = UtteranceCutter(detector=ScriptedDetector(probabilities)), []
    for start in range(0, len(probabilities) * WINDOW_SAMPLES, 320):
        at_us = START_US + round(start * 1e6 / SAMPLE_RATE_HZ * 1.001)
        found += cutter.feed(np.zeros(320, np.float32), at_us)
    found += cutter.flush()
    for number, one in enumerate(found):
        spoken_at = (number * 100 + 60) * WINDOW_SECONDS * 1.001 - 0.2
        assert seconds(one)[0] == pytest.approx(spoken_at, abs=WINDOW_SECONDS)


@settings(max_examples=200, deadline=None)
@given(
    probabilities=st.lists(st.floats(0, 1), max_size=250),
    block=st.integers(1, 3000),
    gaps=st.lists(st.sampled_from([0, 0, 0, -20_000, 20_000, 100_000, 450_000, 900_000]), max_size=50),
    max_seconds=st.floats(0.2, 5.0),
)
def test_utterances_are_in_order_apart_and_inside_what_was_fed(
    probabilities: list[float], block: int, gaps: list[int], max_seconds: float
) -> None:
    cutter = UtteranceCutter(detector=ScriptedDetector(probabilities), max_seconds=max_seconds)
    total, at_us, found = len(probabilities) * WINDOW_SAMPLES + 100, START_US, []
    last_us = START_US
    for number, start in enumerate(range(0, total, block)):
        samples = np.ones(min(block, total - start), np.float32)
        at_us += max(gaps[number], -round(len(samples) * 1e6 / SAMPLE_RATE_HZ)) if number < len(gaps) else 0
        found += cutter.feed(samples, at_us)
        at_us += round(len(samples) * 1e6 / SAMPLE_RATE_HZ)
        last_us = max(last_us, at_us)
    found += cutter.flush()
    jitter_us = 60_000  # within which the sample clock stands for the wall clock
    for one in found:
        assert START_US - jitter_us <= one.started_at_us < one.ended_at_us <= last_us + jitter_us
        length_us = len(one.samples) / SAMPLE_RATE_HZ * 1e6
        assert one.ended_at_us - one.started_at_us == pytest.approx(length_us, abs=jitter_us)
        assert length_us <= max_seconds * 1e6 + 300_000
    for one, other in pairwise(found):
        assert one.ended_at_us <= other.started_at_us


def test_the_detector_does_not_care_how_it_is_fed() -> None:
    speech = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)
    whole = SpeechDetector().process(speech)
    by_packet = SpeechDetector()
    pieces = [
        p for start in range(0, len(speech), 320) for p in by_packet.process(speech[start : start + 320])
    ]
    assert pieces == pytest.approx(whole, abs=1e-4)
    assert len(whole) == len(speech) // WINDOW_SAMPLES
    by_packet.reset()
    assert by_packet.process(speech) == pytest.approx(whole, abs=1e-4)
