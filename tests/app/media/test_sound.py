import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.media.frames import Codec, EncodedFrame
from app.media.sound import CHANNELS, RATE_HZ, PlacedTrack, Sound, mixed
from tests.fixtures.media import START_US, opus_packets, record, tone

PACKETS = opus_packets(tone(2.0), started_at_us=START_US)[:60]


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.sampled_from([20_000] * 6 + [0, 5_000, 35_000, 90_000, 400_000]), max_size=59),
    zero_us=st.integers(-200_000, 400_000),
    damaged=st.sets(st.integers(0, 59), max_size=5),
)
def test_blocks_go_forward_and_lie_where_the_clock_says(
    steps: list[int], zero_us: int, damaged: set[int]
) -> None:
    at_us, frames = START_US, []
    for number, step in enumerate([0, *steps]):
        at_us += step
        data = b"\xff" if number in damaged else PACKETS[number].data
        frames.append(EncodedFrame(Codec.OPUS, data, PACKETS[number].timestamp, at_us, True))
    with tempfile.TemporaryDirectory() as folder:
        track = PlacedTrack(record(frames, Path(folder), "mic"), START_US + zero_us)
        blocks = list(track.blocks())
    position = 0
    for at, samples in blocks:
        assert at >= position
        assert samples.shape[1] == CHANNELS
        position = at + len(samples)
    # The last sample is no later than the last packet's 20 ms and the 40 ms within which sound is not moved,
    # unless packets came faster than they play: then what is too much was cut off.
    assert position <= max(at_us - START_US - zero_us + 60_100, 0) * RATE_HZ / 1_000_000
    assert track.damaged_packets == sum(number in damaged for number in range(len(frames)))


def test_the_mix_is_the_sum_at_full_level_and_in_place() -> None:
    loud = np.full((4800, CHANNELS), 0.25, np.float32)
    sounds = [
        Sound(iter([(4800, loud)])),
        Sound(iter([(4800, loud), (14_400, loud)]), begins=4800),
    ]
    frames = list(mixed(sounds, 24_000, block=1000))
    heard = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert len(heard) == 24_000
    assert np.allclose(heard[4900:9500], 0.5, atol=0.01)
    assert np.allclose(heard[14_500:19_100], 0.25, atol=0.01)
    assert np.allclose(heard[:4700], 0)
    assert np.flatnonzero(heard > 0.1)[0] == 4800  # the limiter's look-ahead is taken out
    assert frames[0].pts == 0
