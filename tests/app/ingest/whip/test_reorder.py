import random

import pytest

from app.ingest.whip.packets import RtpPacket
from app.ingest.whip.reorder import ReorderBuffer
from app.ingest.whip.statistics import TrackCounters


def packet(number: int) -> RtpPacket:
    return RtpPacket(96, True, number & 0xFFFF, timestamp=number * 3000, ssrc=1, payload=b"x")


def numbers(packets: object) -> list[int]:
    return [p.sequence_number for p in packets]  # type: ignore[attr-defined]


@pytest.fixture
def counters() -> TrackCounters:
    return TrackCounters()


@pytest.fixture
def buffer(counters: TrackCounters) -> ReorderBuffer:
    return ReorderBuffer(0.8, counters)


def test_a_packet_in_sequence_is_released_at_once(buffer: ReorderBuffer) -> None:
    assert [numbers(buffer.push(packet(n), 0.0)) for n in (7, 8, 9)] == [[7], [8], [9]]
    assert buffer.next_deadline() is None


def test_swapped_packets_come_out_in_sequence(buffer: ReorderBuffer, counters: TrackCounters) -> None:
    released = [n for number in (1, 3, 2, 5, 4, 6) for n in numbers(buffer.push(packet(number), 0.0))]
    assert released == [1, 2, 3, 4, 5, 6]
    assert (counters.recovered, counters.lost) == (2, 0)


def test_sequence_numbers_wrap(buffer: ReorderBuffer) -> None:
    arrivals = [65533, 65534, 0, 65535, 2, 1, 3]
    assert [n for number in arrivals for n in numbers(buffer.push(packet(number), 0.0))] == [
        65533,
        65534,
        65535,
        0,
        1,
        2,
        3,
    ]


def test_a_lost_packet_is_asked_for_once_it_was_not_overtaken_then_at_growing_distances(
    buffer: ReorderBuffer, counters: TrackCounters
) -> None:
    buffer.push(packet(1), 0.0)
    buffer.push(packet(3), 10.0)
    asked = [
        now
        for now in (10.0, 10.02, 10.03, 10.1, 10.11, 10.2, 10.27, 10.5, 10.59)
        if buffer.take_nacks(now) == [2]
    ]
    assert asked == [10.03, 10.11, 10.27, 10.59]
    assert counters.nacked == 4


def test_deadlines_are_the_next_nack_then_giving_up(buffer: ReorderBuffer) -> None:
    buffer.push(packet(1), 0.0)
    buffer.push(packet(3), 10.0)
    assert buffer.next_deadline() == pytest.approx(10.03)
    buffer.take_nacks(10.03)
    assert buffer.next_deadline() == pytest.approx(10.11)
    for now in (10.11, 10.27, 10.59):
        buffer.take_nacks(now)
    assert buffer.next_deadline() == pytest.approx(10.8)


def test_a_packet_that_was_only_overtaken_is_not_asked_for(
    buffer: ReorderBuffer, counters: TrackCounters
) -> None:
    buffer.push(packet(1), 10.0)
    buffer.push(packet(3), 10.0)
    assert not buffer.take_nacks(10.02)
    assert numbers(buffer.push(packet(2), 10.029)) == [2, 3]
    buffer.push(packet(5), 20.0)
    assert buffer.next_deadline() == pytest.approx(20.03)
    assert not buffer.take_nacks(20.0)
    assert buffer.take_nacks(20.03) == [4]
    assert (counters.nacked, counters.recovered) == (1, 1)


def test_a_jittery_line_has_few_packets_sent_twice(buffer: ReorderBuffer, counters: TrackCounters) -> None:
    dice = random.Random(1)
    arrivals = sorted((number * 0.004 + dice.random() * 0.05, number) for number in range(2000))
    released = 0
    for now, number in arrivals:
        released += len(buffer.push(packet(number), now))
        buffer.take_nacks(now)
    assert released == 2000
    assert counters.recovered > 500
    assert counters.nacked < 200


def test_what_never_comes_is_given_up_and_the_next_packet_says_so(
    buffer: ReorderBuffer, counters: TrackCounters
) -> None:
    buffer.push(packet(1), 0.0)
    for number in (4, 5, 7):
        assert not buffer.push(packet(number), 10.0)
    assert not buffer.give_up(10.79)
    released = buffer.give_up(10.8)
    assert [(p.sequence_number, p.after_loss) for p in released] == [(4, True), (5, False), (7, True)]
    assert counters.lost == 3
    assert numbers(buffer.push(packet(8), 10.9)) == [8]


def test_the_packet_behind_a_given_up_gap_is_marked_even_if_it_comes_later(buffer: ReorderBuffer) -> None:
    buffer.push(packet(1), 0.0)
    buffer.push(packet(3), 0.0)
    buffer.push(packet(6), 0.5)
    buffer.give_up(0.8)
    (late,) = buffer.push(packet(4), 0.9)
    assert not late.after_loss
    assert [p.after_loss for p in buffer.give_up(1.3)] == [True]


def test_duplicates_and_packets_given_up_are_dropped(buffer: ReorderBuffer, counters: TrackCounters) -> None:
    buffer.push(packet(1), 0.0)
    buffer.push(packet(3), 0.0)
    buffer.push(packet(3), 0.0)
    buffer.give_up(1.0)
    assert not buffer.push(packet(2), 1.1)
    assert counters.duplicates == 2


def test_a_gap_of_an_outage_is_not_asked_for(buffer: ReorderBuffer, counters: TrackCounters) -> None:
    buffer.push(packet(1), 0.0)
    (resumed,) = buffer.push(packet(5000), 1.0)
    assert resumed.after_loss
    assert not buffer.take_nacks(1.0)
    assert counters.lost == 4998
    assert numbers(buffer.push(packet(5001), 1.0)) == [5001]


def test_numbering_that_starts_anew_is_followed_at_the_second_packet(buffer: ReorderBuffer) -> None:
    buffer.push(packet(30_000), 0.0)
    assert not buffer.push(packet(10), 1.0)
    (resumed,) = buffer.push(packet(11), 1.0)
    assert (resumed.sequence_number, resumed.after_loss) == (11, True)
    assert numbers(buffer.push(packet(12), 1.0)) == [12]


def test_memory_is_bounded_when_one_packet_never_comes(buffer: ReorderBuffer) -> None:
    buffer.push(packet(0), 0.0)
    released = 0
    for number in range(2, 12_000, 2):  # every other packet lost, and nobody gives up
        released += len(buffer.push(packet(number), 0.0))
    assert released >= 5_999 - 4_096


def test_any_arrival_order_with_losses_comes_out_in_sequence(counters: TrackCounters) -> None:
    dice = random.Random(7)
    for _ in range(50):
        buffer = ReorderBuffer(0.8, counters)
        start = dice.randrange(65_536)
        sent = [start + i for i in range(400)]
        arrived = sorted((n for n in sent[1:] if dice.random() > 0.1), key=lambda n: n + dice.uniform(0, 8))
        released = list(buffer.push(packet(start), 0.0))
        for i, number in enumerate(arrived):
            released += buffer.push(packet(number), i * 0.01)
            released += buffer.give_up(i * 0.01)
        released += buffer.flush()
        steps = [(b - a) & 0xFFFF for a, b in zip(numbers(released), numbers(released)[1:], strict=False)]
        assert all(0 < step < 1000 for step in steps)
        gaps = [step > 1 for step in steps]
        assert [p.after_loss for p in released[1:]] == gaps
