"""Times by sync data: taken as they are where the publisher's clock is right, moved as a whole where not."""

import pytest

from app.ingest.rtsp.frame_clock import FrameClock, RecorderClock, RecorderClocks
from app.ingest.rtsp.sync_data import SyncTime

START_US = 1_760_000_000_000_000
STEP_US = 20_000


def captured(
    delays_us: list[int], *, ahead_us: int = 0, jump_at: int | None = None, jump_us: int = 0
) -> list[int]:
    """What a clock says of frames 20 ms apart, less their true times."""
    clock, found = FrameClock(48_000, RecorderClock()), []
    for number, delay_us in enumerate(delays_us):
        at_us = START_US + number * STEP_US
        if jump_at is not None and number >= jump_at:
            ahead_us, jump_at = ahead_us + jump_us, None
        told = SyncTime(0, at_us + ahead_us)
        found.append(clock.captured_at_us(told, number * 960, at_us + delay_us) - at_us)
    return found


@pytest.mark.parametrize("ahead_us", [0, 900_000, -4_000_000])
def test_a_plausible_clock_is_believed(ahead_us: int) -> None:
    assert set(captured([30_000, 80_000, 20_000] * 50, ahead_us=ahead_us)) == {ahead_us}


@pytest.mark.parametrize("ahead_us", [3600_000_000, -86_400_000_000])
def test_a_clock_that_is_far_off_is_moved_to_ours(ahead_us: int) -> None:
    off = captured([60_000, 30_000, 90_000] * 50, ahead_us=ahead_us)
    assert set(off[1:]) == {30_000}  # by the quickest arrival


def test_late_arrivals_move_nothing() -> None:
    stalled = [30_000] * 50 + [8_000_000 - number * 100_000 for number in range(70)] + [30_000] * 100
    assert set(captured(stalled)) == {0}


def test_a_clock_that_was_set_is_followed_after_a_while() -> None:
    off = captured([30_000] * 1200, ahead_us=0, jump_at=100, jump_us=-3600_000_000)
    assert set(off[:100]) == {0}
    assert off[-1] == pytest.approx(30_000, abs=1)


def test_the_channels_of_a_recorder_are_moved_alike() -> None:
    clocks = RecorderClocks()
    recorder = clocks.clock_of("cap-1")
    assert clocks.clock_of("cap-1") is recorder
    assert clocks.clock_of("cap-2") is not recorder
    sound, picture = FrameClock(48_000, recorder), FrameClock(90_000, recorder)
    for number in range(100):
        at_us = START_US + number * STEP_US
        told = SyncTime(0, at_us + 3600_000_000)
        seen = picture.captured_at_us(told, 0, at_us + 5_000)
        heard = sound.captured_at_us(told, 0, at_us + 65_000)
        assert heard == seen == at_us + 5_000


def test_without_sync_data_the_first_arrival_is_the_anchor() -> None:
    clock = FrameClock(90_000, RecorderClock())
    times = [clock.captured_at_us(None, 3000 * n, START_US + n * 33_333 + n % 3 * 5_000) for n in range(60)]
    assert times[0] == START_US
    assert times[-1] == pytest.approx(START_US + 59 * 33_333, abs=5_000)
