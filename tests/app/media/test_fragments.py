import io

import av
from hypothesis import given
from hypothesis import strategies as st

from app.media.boxes import movie_tracks, read_payload, top_level_boxes, track_runs
from app.media.fmp4 import SegmentMuxer
from app.media.fragments import Sample, fragment
from app.media.frames import Codec
from tests.fixtures.media import opus_packets, tone

SAMPLES = st.lists(
    st.builds(Sample, st.binary(min_size=1, max_size=40), st.integers(1, 1 << 31), st.booleans()),
    min_size=1,
    max_size=20,
)


def header() -> bytes:
    """What stands before the fragments of an Opus segment."""
    muxer = SegmentMuxer(Codec.OPUS)
    for packet in opus_packets(tone(0.1)):
        muxer.add(packet)
    data = muxer.flush()
    return data[: data.index(b"moof") - 4]


@given(samples=SAMPLES, number=st.integers(1, 1 << 31), decode_time=st.integers(0, 1 << 40))
def test_a_fragment_says_where_and_how_long_its_samples_are(
    samples: list[Sample], number: int, decode_time: int
) -> None:
    file = io.BytesIO(header() + fragment(number, decode_time, samples))
    boxes = {box.kind: box for box in top_level_boxes(file)}
    tracks = movie_tracks(read_payload(file, boxes[b"moov"]))
    (run,) = track_runs(read_payload(file, boxes[b"moof"]), tracks)
    assert (run.decode_time, run.durations) == (decode_time, [sample.duration for sample in samples])
    assert run.starts_with_keyframe is samples[0].is_sync
    assert read_payload(file, boxes[b"mdat"]) == b"".join(sample.data for sample in samples)


def test_ffmpeg_reads_what_was_written() -> None:
    packets = [packet.data for packet in opus_packets(tone(0.2))]
    parts = [
        fragment(1, 48_000, [Sample(data, 960, True) for data in packets[:4]]),
        fragment(2, 48_000 + 4 * 960, [Sample(data, 960, True) for data in packets[4:]]),
    ]
    with av.open(io.BytesIO(header() + b"".join(parts))) as container:
        read = [packet for packet in container.demux() if packet.size]
    assert [bytes(packet) for packet in read] == packets
    assert [packet.dts for packet in read] == [48_000 + n * 960 for n in range(len(packets))]
