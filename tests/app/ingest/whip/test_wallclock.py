import random

import pytest

from app.ingest.whip.wallclock import WallClock

RATE = 90_000
START_US = 1_760_000_000_000_000


def ticks(seconds: float) -> int:
    return round(seconds * RATE)


def at_us(seconds: float) -> int:
    return START_US + round(seconds * 1e6)


def test_a_plausible_report_is_taken_as_it_is() -> None:
    clock = WallClock(RATE)
    clock.on_arrival(ticks(0), at_us(0.4))
    assert not clock.is_anchored
    clock.on_report(ticks(1), at_us(1), arrived_us=at_us(1.25))
    assert clock.to_unix_us(ticks(0)) == pytest.approx(at_us(0), abs=20)
    assert clock.to_unix_us(ticks(2)) == pytest.approx(at_us(2), abs=20)
    assert clock.sender_skew_us == 250_000


def test_two_tracks_of_one_host_agree_however_late_they_arrive() -> None:
    audio, video = WallClock(48_000), WallClock(RATE)
    audio.on_report(48_000 * 10, at_us(1), arrived_us=at_us(1.02))
    video.on_report(ticks(500), at_us(1.7), arrived_us=at_us(2.3))
    assert audio.to_unix_us(48_000 * 11) == pytest.approx(at_us(2), abs=20)
    assert video.to_unix_us(ticks(500.3)) == pytest.approx(at_us(2), abs=20)


def test_a_clock_an_hour_off_is_moved_onto_ours_alike_for_two_tracks() -> None:
    ahead = 3600.0
    clocks = [WallClock(RATE), WallClock(RATE)]
    for clock, base in zip(clocks, (0, 77), strict=True):
        for second in range(1, 6):
            delay = 0.05 if second == 2 else 0.08  # the quickest report wins
            clock.on_report(ticks(base + second), at_us(ahead + second), arrived_us=at_us(second + delay))
        for second in range(6, 20):
            clock.to_unix_us(ticks(base + second))
    mapped = [clock.to_unix_us(ticks(base + 20)) for clock, base in zip(clocks, (0, 77), strict=True)]
    assert mapped[0] == pytest.approx(mapped[1], abs=20)
    assert mapped[0] == pytest.approx(at_us(20.05), abs=20_000)


def test_without_reports_the_quickest_arrival_counts() -> None:
    clock = WallClock(RATE)
    for n, delay in enumerate((0.09, 0.03, 0.2, 0.06)):
        clock.on_arrival(ticks(n), at_us(n + delay))
    clock.anchor_on_arrival()
    assert clock.to_unix_us(ticks(4)) == pytest.approx(at_us(4.03), abs=20)


def test_without_reports_a_slow_sender_clock_is_followed() -> None:
    clock = WallClock(RATE)
    drift = 1.0002
    for n in range(1000):
        clock.on_arrival(ticks(n / 2), at_us(n / 2 * drift))
        clock.anchor_on_arrival()
        mapped = clock.to_unix_us(ticks(n / 2))
        assert mapped == pytest.approx(at_us(n / 2 * drift), abs=10_000)


def test_a_report_after_anchoring_on_arrival_moves_the_clock_smoothly() -> None:
    clock = WallClock(RATE)
    clock.on_arrival(ticks(0), at_us(0.1))
    clock.anchor_on_arrival()
    before = clock.to_unix_us(ticks(1))
    clock.on_report(ticks(1), at_us(1), arrived_us=at_us(1.01))
    after = clock.to_unix_us(ticks(2))
    assert after - before == pytest.approx(990_000, abs=100)
    for second in range(3, 15):
        clock.to_unix_us(ticks(second))
    assert clock.to_unix_us(ticks(15)) == pytest.approx(at_us(15), abs=20)


def test_jittering_reports_are_smoothed_and_time_never_runs_back() -> None:
    clock, dice = WallClock(RATE), random.Random(3)
    previous = 0
    for n in range(600):
        if n % 15 == 0:
            jitter = dice.uniform(-0.02, 0.02)
            clock.on_report(ticks(n / 15), at_us(n / 15 + jitter), arrived_us=at_us(n / 15 + 0.05))
        mapped = clock.to_unix_us(ticks(n / 15))
        assert mapped > previous
        assert mapped == pytest.approx(at_us(n / 15), abs=21_000)
        previous = mapped


def test_a_sender_clock_that_is_set_anew_does_not_drag_the_track_along() -> None:
    clock = WallClock(RATE)
    clock.on_report(ticks(1), at_us(1), arrived_us=at_us(1.05))
    clock.on_report(ticks(2), at_us(3602), arrived_us=at_us(2.05))
    assert clock.to_unix_us(ticks(3)) == pytest.approx(at_us(3), abs=60_000)


def test_asking_before_the_anchor_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="anchored"):
        WallClock(RATE).to_unix_us(0)
