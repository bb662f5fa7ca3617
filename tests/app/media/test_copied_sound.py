from pathlib import Path

import av
import numpy as np
import pytest

from app.media import export
from app.media.copied_sound import OpusSound, sound_of_file
from app.media.export import ExportedFile
from app.media.recorded import RecordedTrack
from tests.fixtures.media import (
    OPUS_RATE_HZ,
    START_US,
    Samples,
    beep_seconds,
    beeps,
    export_recording,
    h264_frames,
    opus_packets,
    record,
    tone,
)

EDGE_SECONDS = 0.015


def copied(track: RecordedTrack, target: Path) -> ExportedFile:
    ends_at_us = track.segments[-1].ended_at_us
    sound = OpusSound(track, zero_us=START_US - 64_000)
    return export.export_recording(None, sound, target, zero_us=START_US - 64_000, ends_at_us=ends_at_us)


def decoded(path: Path) -> Samples:
    """The left channel, its samples one after the other as a player without a clock hears them."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(parts).astype(np.float32)


def test_packets_are_copied_and_gaps_filled_with_silence(tmp_path: Path) -> None:
    packets = [
        packet
        for packet in opus_packets(tone(8.0))
        if not 2_000_000 <= packet.captured_at_us - START_US < 5_000_000
    ]
    made = copied(record(packets, tmp_path, "mic"), tmp_path / "out.m4a")
    with av.open(str(made.path)) as container:
        found = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    assert [data for data in found if len(data) > 3] == [packet.data for packet in packets]
    sound = np.abs(decoded(made.path))
    assert len(sound) / OPUS_RATE_HZ == pytest.approx(made.duration_seconds, abs=0.1)
    assert sound[round(2.2 * OPUS_RATE_HZ) : round(4.9 * OPUS_RATE_HZ)].max() < 0.01
    assert sound[round(5.2 * OPUS_RATE_HZ) : round(7.9 * OPUS_RATE_HZ)].max() > 0.2


def test_what_a_returning_publisher_sends_again_is_left_out(tmp_path: Path) -> None:
    packets = opus_packets(tone(6.0))
    again = opus_packets(tone(3.0), started_at_us=START_US + 5_800_000)
    segments = [*record(packets, tmp_path, "a").segments, *record(again, tmp_path, "b").segments]
    made = copied(RecordedTrack(segments), tmp_path / "out.m4a")
    with av.open(str(made.path)) as container:
        times = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert times == sorted(set(times))
    assert made.duration_seconds == pytest.approx(8.8 + 0.064, abs=0.03)
    assert len(times) == pytest.approx(made.duration_seconds * 50, abs=2)


def test_a_files_own_sound_goes_with_another_picture(tmp_path: Path) -> None:
    first = export_recording(
        record(h264_frames(seconds=4.0), tmp_path, "one"),
        [record(opus_packets(beeps(4.0)), tmp_path, "mic")],
        tmp_path / "first.mp4",
    )
    other = record(h264_frames(seconds=3.0, width=160, height=120), tmp_path, "two")
    made = export.export_recording(
        other,
        sound_of_file(first.path),
        tmp_path / "other.mp4",
        zero_us=START_US,
        ends_at_us=START_US + 4_000_000,
    )
    assert (made.width, made.has_audio) == (160, True)
    assert beep_seconds(made.path) == beep_seconds(first.path)
    assert beep_seconds(made.path) == pytest.approx([0, 1, 2, 3], abs=EDGE_SECONDS)
    silent = export_recording(other, [], tmp_path / "silent.mp4")
    assert sound_of_file(silent.path) is None
