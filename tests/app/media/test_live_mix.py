import io
from itertools import pairwise

import av
import numpy as np
import pytest

from app.media.fmp4 import SegmentMuxer
from app.media.frames import Codec
from app.media.hls import index_file
from app.media.live_mix import MixStretch, StoredSegment, make_mix, pieces_until
from tests.fixtures.media import START_US, cut, opus_packets, tone

ZERO_US = START_US - 3_000_000


def segments(hz: float, seconds: float) -> list[StoredSegment]:
    made = []
    for run in cut(opus_packets(tone(seconds, hz=hz, level=0.2)), 4.0):
        muxer = SegmentMuxer(run[0].codec, zero_us=ZERO_US)
        for frame in run:
            muxer.add(frame)
        segment = muxer.finish()
        made.append((Codec.OPUS, segment.data, segment.started_at_us, segment.duration_us))
    return made


def pieces(seconds: float) -> list[bytes]:
    tracks = [segments(440.0, seconds), segments(1000.0, seconds)]
    made = []
    for number in range(pieces_until(START_US + round(seconds * 1e6), START_US, has_ended=False)):
        piece = MixStretch.piece(number)
        low, high = piece.needed_us(START_US)
        needed = [[one for one in track if one[2] < high and one[2] + one[3] > low] for track in tracks]
        made.append(make_mix(needed, piece, START_US, zero_us=ZERO_US))
    return made


def test_pieces_lie_end_to_end() -> None:
    spans = [MixStretch.piece(number).times_us(START_US) for number in range(100)]
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[0] == (START_US, START_US + 4_010_667)
    assert pieces_until(START_US + 4_100_000, START_US, has_ended=False) == 0
    assert pieces_until(START_US + 4_200_000, START_US, has_ended=False) == 1
    assert pieces_until(START_US + 4_200_000, START_US, has_ended=True) == 2


def test_pieces_play_without_a_seam() -> None:
    made = pieces(13.0)
    assert len(made) == 3
    header = made[0][: index_file(io.BytesIO(made[0])).init_length_bytes]
    fragments = [one[index_file(io.BytesIO(one)).init_length_bytes :] for one in made]
    blocks = []
    with av.open(io.BytesIO(header + b"".join(fragments)), "r") as container:
        for frame in container.decode(audio=0):
            if not blocks:
                assert float(frame.time or 0) == pytest.approx(3.0, abs=0.001)
            blocks.append(frame.to_ndarray()[0])
    sound = np.concatenate(blocks)
    assert len(sound) == 3 * 188 * 1024
    # Both tones are in it, and nothing else: a click at a seam would be heard over the whole spectrum.
    for at in (2.0, 4.0107, 8.0213):
        window = sound[round(at * 48_000) - 4_800 : round(at * 48_000) + 4_800] * np.hanning(9_600)
        spectrum = np.abs(np.fft.rfft(window))
        loud = {88, 200}  # 440 Hz and 1 kHz in steps of 5 Hz
        assert {int(np.argmax(spectrum[:150])), 150 + int(np.argmax(spectrum[150:]))} == loud
        assert spectrum[600:].max() < spectrum.max() / 100
