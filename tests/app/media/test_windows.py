from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.frames import Codec
from app.media.recorded import RecordedTrack
from app.media.sound import Placement
from app.media.windows import (
    FRAME_SAMPLES,
    WINDOW_FRAMES,
    WINDOW_US,
    frame_at,
    frame_starts_at_us,
    mix_window,
    mixed_frames,
    window_at,
)
from tests.fixtures.media import (
    OPUS_RATE_HZ,
    START_US,
    Samples,
    beep_seconds,
    beeps,
    export_recording,
    mix,
    opus_packets,
    read_speech,
    record,
    sound_of,
    tone,
)

JOIN_SECONDS = WINDOW_US / 1e6


def residual(sound: Samples, hz: float) -> Samples:
    """What is left of each 10 ms of a steady tone when the tone that its surroundings hold is taken out."""
    length, reach = OPUS_RATE_HZ // 100, OPUS_RATE_HZ // 10
    left = []
    for start in range(reach, len(sound) - reach - length, length):
        at = np.arange(start - reach, start + length + reach)
        waves = np.stack(
            [np.sin(2 * np.pi * hz * at / OPUS_RATE_HZ), np.cos(2 * np.pi * hz * at / OPUS_RATE_HZ)]
        )
        fitted = np.linalg.lstsq(waves.T, sound[at], rcond=None)[0] @ waves
        left.append(np.sqrt(np.mean((sound[at] - fitted)[reach : reach + length] ** 2)))
    return np.asarray(left, np.float32)


@given(st.integers(0, 2**42))
def test_the_grid_is_whole(frame: int) -> None:
    assert frame_at(frame_starts_at_us(frame)) == frame
    assert frame_at(frame_starts_at_us(frame) - 1) == frame - 1
    assert window_at(frame_starts_at_us(frame)) == frame // WINDOW_FRAMES


@pytest.mark.parametrize("clock_ppm", [0.0, 400.0])
def test_a_tone_goes_through_a_join_unheard(clock_ppm: float, tmp_path: Path) -> None:
    # At 400 ppm the tone is moved by 5 ms every 12 s, and lies some milliseconds off its clock at the join.
    packets = opus_packets(tone(2 * 8.0, hz=997.0), started_at_us=START_US - 8_000_000, clock_ppm=clock_ppm)
    sound = sound_of(export_recording(None, [record(packets, tmp_path, "mic")], tmp_path / "out.m4a").path)
    seconds = len(sound) / OPUS_RATE_HZ
    middle = sound[round((seconds / 2 - 4) * OPUS_RATE_HZ) : round((seconds / 2 + 4) * OPUS_RATE_HZ)]
    heard = residual(middle, 997.0 / (1 + clock_ppm / 1e6) if clock_ppm else 997.0)
    join = len(heard) // 2
    assert heard[join - 5 : join + 5].max() < 1.5 * np.quantile(
        np.delete(heard, range(join - 5, join + 5)), 0.99
    )


def test_a_window_goes_on_to_the_sample_where_the_one_before_left_off(tmp_path: Path) -> None:
    packets = opus_packets(tone(20.0, hz=997.0), started_at_us=START_US - 16_000_000, clock_ppm=-400.0)
    track = record(packets, tmp_path, "mic")
    before = window_at(START_US) - 1
    left = mix_window(before, {"mic": track}, {}).placements["mic"]
    assert left.at_us == pytest.approx(START_US - 1_024_000, abs=20_000)
    assert left.offset != 0
    resumed = mix_window(before + 1, {"mic": track}, {"mic": left}).data
    assert resumed == mix_window(before + 1, {"mic": track}, {"mic": left}).data
    assert resumed != mix_window(before + 1, {"mic": track}, {}).data


def test_beeps_keep_time_over_joins_gaps_and_late_tracks(tmp_path: Path) -> None:
    begins = START_US - 3_000_000
    first = [
        packet
        for packet in opus_packets(beeps(70.0), started_at_us=begins)
        if not 19_500_000 <= packet.captured_at_us - begins < 49_500_000
    ]
    late = opus_packets(beeps(9.0, hz=600.0), started_at_us=begins + 37_500_000)
    tracks = [record(first, tmp_path, "mic"), record(late, tmp_path, "system")]
    made = export_recording(None, tracks, tmp_path / "out.m4a")
    expected = [*range(20), *(37.5 + number for number in range(9)), *range(50, 70)]
    assert beep_seconds(made.path) == pytest.approx(expected, abs=0.025)
    assert made.duration_seconds == pytest.approx(70.0, abs=0.065)


def exported_sound(sounds: list[Samples], folder: Path, *, started_at_us: int) -> Samples:
    folder.mkdir()
    tracks = [
        record(opus_packets(samples, started_at_us=started_at_us), folder, f"{number}")
        for number, samples in enumerate(sounds)
    ]
    return sound_of(export_recording(None, tracks, folder / "out.m4a").path)


@pytest.mark.parametrize("loud", [True, False])
def test_over_a_join_the_mix_is_that_of_one_window(loud: bool, tmp_path: Path) -> None:
    if loud:
        sounds = [tone(8.0, hz=440, level=1.0), tone(8.0, hz=441, level=1.0)]
    else:
        sounds = [
            read_speech("two_cities.wav", rate_hz=OPUS_RATE_HZ)[: 8 * OPUS_RATE_HZ],
            tone(8.0, level=0.1),
        ]
    joined = exported_sound(sounds, tmp_path / "joined", started_at_us=START_US - 4_096_000)
    whole = exported_sound(sounds, tmp_path / "whole", started_at_us=START_US + 4_096_000)
    assert np.abs(joined).max() < 1.0
    assert np.abs(joined).max() > 0.2
    join = round(4.096 * OPUS_RATE_HZ)
    error = joined[: len(whole)] - whole[: len(joined)]
    # Two encoders differ by the noise of their coding; a jump at the join would stand out of it.
    near = np.sqrt(np.mean(error[join - 2 * FRAME_SAMPLES : join + 2 * FRAME_SAMPLES] ** 2))
    after = np.sqrt(np.mean(error[join + 2 * FRAME_SAMPLES :] ** 2))
    assert near < 0.01
    assert near < 2 * after + 0.001


def test_where_there_is_no_window_there_is_silence(tmp_path: Path) -> None:
    track = record(opus_packets(tone(2.0), started_at_us=START_US + 1_000_000), tmp_path, "mic")
    windows = mix([track], tmp_path)
    first = window_at(START_US) * WINDOW_FRAMES
    frames = list(mixed_frames(windows, first - 10, first + WINDOW_FRAMES + 10))
    assert len(frames) == WINDOW_FRAMES + 20
    assert len(set(frames[:10] + frames[-10:])) == 1
    made = export_recording(
        None, [track], tmp_path / "out.m4a", zero_us=START_US - 1_024_000, ends_at_us=START_US + 40_000_000
    )
    loud = np.flatnonzero(np.abs(sound_of(made.path)) > 0.1) / OPUS_RATE_HZ
    assert (loud[0], loud[-1]) == pytest.approx((2.024, 4.024), abs=0.04)
    assert made.duration_seconds == pytest.approx(41.024, abs=FRAME_SAMPLES / OPUS_RATE_HZ)


def test_a_placement_of_a_packet_that_is_gone_is_no_harm(tmp_path: Path) -> None:
    track = record(opus_packets(tone(4.0), started_at_us=START_US), tmp_path, "mic")
    assert isinstance(track, RecordedTrack)
    assert track.codecs == {Codec.OPUS}
    stale = {
        "mic": Placement(START_US + 500_001, 100, 0.0, False),
        "other": Placement(START_US, 0, 0.0, False),
    }
    assert mix_window(window_at(START_US), {"mic": track}, stale).data
