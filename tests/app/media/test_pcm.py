from pathlib import Path

import numpy as np
import pytest

from app.base.errors import Unprocessable
from app.media.pcm import SAMPLE_RATE_HZ, decode_audio_file, decode_speech, encode_speech
from tests.fixtures.media import (
    START_US,
    export_recording,
    h264_frames,
    opus_packets,
    read_speech,
    record,
    speech_file,
    tone,
)


def test_speech_survives_packing() -> None:
    speech = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)
    packed = encode_speech(speech)
    assert len(packed) < len(speech) * 2 * 0.7  # well below 16-bit WAV
    assert np.abs(decode_speech(packed) - speech).max() <= 1 / 32_767


def test_packing_clips_and_takes_nothing() -> None:
    assert decode_speech(encode_speech(np.array([2.0, -2.0] * 400, np.float32))).max() == 1.0
    assert decode_speech(encode_speech(np.empty(0, np.float32))).shape == (0,)


@pytest.mark.parametrize("data", [b"", b"fLaC", b"RIFF" + b"\x00" * 100])
def test_what_is_not_packed_speech_is_refused(data: bytes) -> None:
    with pytest.raises(Unprocessable):
        decode_speech(data)


def test_a_file_comes_in_blocks_of_bounded_size() -> None:
    blocks = list(decode_audio_file(speech_file("two_cities.wav")))
    assert all(len(block) < 1.2 * SAMPLE_RATE_HZ for block in blocks)
    assert sum(map(len, blocks)) == pytest.approx(44.37 * SAMPLE_RATE_HZ, abs=SAMPLE_RATE_HZ / 50)


def test_sound_that_begins_late_is_led_by_silence(tmp_path: Path) -> None:
    late = opus_packets(tone(2.0), started_at_us=START_US + 3_000_000)
    video = record(h264_frames(seconds=5.0), tmp_path, "display")
    made = export_recording(video, [record(late, tmp_path, "mic")], tmp_path / "out.mp4")
    samples = np.concatenate(list(decode_audio_file(made.path)))
    assert np.flatnonzero(np.abs(samples) > 0.05)[0] / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.03)
    steady = samples[round(3.5 * SAMPLE_RATE_HZ) : round(4.5 * SAMPLE_RATE_HZ)]
    assert np.abs(steady).max() == pytest.approx(0.3, abs=0.03)  # two equal channels stay as loud as one


def test_files_without_sound_are_refused(tmp_path: Path) -> None:
    silent = export_recording(record(h264_frames(seconds=1.0), tmp_path, "v"), [], tmp_path / "v.mp4")
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no media" * 100)
    for path in (silent.path, junk, tmp_path / "missing.mp4"):
        with pytest.raises(Unprocessable):
            list(decode_audio_file(path))
