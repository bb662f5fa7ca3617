"""When frames of a source were sent, by when they came."""

from app.ingest.pull.arrival_clock import ArrivalClock, PacedClock

SECOND = 1_000_000
NOW = 1_760_000_000 * SECOND


def test_what_came_at_once_was_sent_before() -> None:
    clock = ArrivalClock()
    for number in range(20):  # two seconds that the server had kept, then media as it is made
        clock.settle(number * SECOND // 10, NOW)
    assert clock.to_unix_us(0, NOW) == NOW - 1_900_000
    assert clock.to_unix_us(2 * SECOND, NOW + SECOND // 10) == NOW + SECOND // 10


def test_a_network_that_delays_moves_nothing() -> None:
    clock = ArrivalClock()
    clock.settle(0, NOW)
    for second in range(60):
        late_us = 800_000 if second % 3 else 0
        assert clock.to_unix_us(second * SECOND, NOW + second * SECOND + late_us) == NOW + second * SECOND
    assert clock.rejoined == 0


def test_a_clock_that_drifts_is_followed() -> None:
    clock = ArrivalClock()
    clock.settle(0, NOW)
    for second in range(3600):
        arrived_us = NOW + round(second * SECOND * 1.0001)  # a source that is 100 ppm slow
        found = clock.to_unix_us(second * SECOND, arrived_us)
        assert abs(found - arrived_us) < 20_000
    assert clock.rejoined == 0


def test_another_timeline_begins_where_it_came() -> None:
    clock = ArrivalClock()
    clock.settle(0, NOW)
    clock.to_unix_us(0, NOW)
    for number, at_us in enumerate((90_000 * SECOND, 5), start=1):
        arrived_us = NOW + number * SECOND
        assert clock.to_unix_us(at_us, arrived_us) == arrived_us
        assert clock.rejoined == number


def test_a_playlist_is_played_at_its_own_speed() -> None:
    clock = PacedClock()
    due = [clock.due_us(number * SECOND, NOW) for number in range(3)]
    assert due == [NOW, NOW + SECOND, NOW + 2 * SECOND]
    assert clock.due_us(50_000 * SECOND, NOW + 3 * SECOND) == NOW + 3 * SECOND  # a discontinuity
    assert clock.due_us(1, NOW + 4 * SECOND) == NOW + 4 * SECOND
    assert clock.due_us(SECOND + 1, NOW + 30 * SECOND) == NOW + 30 * SECOND  # it had stood still
    assert clock.rejoined == 2
