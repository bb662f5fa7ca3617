"""Puts one stream's packets back in sequence, and says which to ask for again and when to give up."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ingest.whip.packets import RtpPacket, signed_difference
from app.ingest.whip.statistics import TrackCounters

# A packet that others overtook comes by itself in this time: over a line with 50 ms of jitter, to ask for
# each gap at once had every second packet sent twice.
OVERTAKEN_SECONDS = 0.03
# Then 80 ms after (a usual round trip with its jitter), then at doubled distances.
_NACK_DELAYS_SECONDS = (0.08, 0.16, 0.32, 0.64)
_MAX_NACKED = 256  # sequence numbers asked for at a time: one feedback packet stays under a datagram
_MAX_GAP = 1000  # packets: beyond it the publisher was away, and asking again is hopeless
_MAX_MISORDER = 1500  # packets: older than that, two in a row mean that the numbering started anew
_MAX_WAITING = 4096  # packets, about 5 MB


@dataclass(slots=True)
class _Missing:
    since: float
    next_nack: float
    nacks: int = 0


class ReorderBuffer:
    """In: packets as they arrive. Out: packets in sequence, each once, `after_loss` set behind a gap.

    Times are seconds of one monotonic clock that the caller reads.
    """

    def __init__(self, give_up_seconds: float, counters: TrackCounters) -> None:
        self._give_up_seconds = give_up_seconds
        self._counters = counters
        self._next: int | None = None  # extended sequence number to release next
        self._highest = 0
        self._waiting: dict[int, RtpPacket] = {}
        #: What is waited for, in rising order, of number and of age alike.
        self.missing: dict[int, _Missing] = {}
        self._next_nack = float("inf")  # nothing is to be asked for earlier
        self._gap = False
        self._restart_at: int | None = None

    @property
    def missing_since(self) -> float | None:
        """When the oldest gap that is still open was noticed."""
        for missing in self.missing.values():
            return missing.since
        return None

    def push(self, packet: RtpPacket, now: float) -> Sequence[RtpPacket]:
        """Take a packet and return those that are now in sequence."""
        if self._next is None:
            self._next = packet.sequence_number
            self._highest = self._next - 1
        if packet.sequence_number == self._next & 0xFFFF and not (self.missing or self._waiting or self._gap):
            self._highest = self._next
            self._next += 1
            return (packet,)
        number = self._highest + signed_difference(packet.sequence_number, self._highest & 0xFFFF, 16)
        if number < self._highest - _MAX_MISORDER:
            return self._push_far_behind(packet)
        if number < self._next or number in self._waiting:
            self._counters.duplicates += 1
            return ()
        released: list[RtpPacket] = []
        if number > self._highest + _MAX_GAP:
            released = self.flush()
            self._counters.lost += number - self._next
            self._next, self._gap = number, True
        elif number > self._highest:
            if number > self._highest + 1:
                ask_at = now + OVERTAKEN_SECONDS
                self._next_nack = min(self._next_nack, ask_at) if self.missing else ask_at
                for skipped in range(self._highest + 1, number):
                    self.missing[skipped] = _Missing(since=now, next_nack=ask_at)
        elif self.missing.pop(number, None) is not None:
            self._counters.recovered += 1
        self._highest = max(self._highest, number)
        self._waiting[number] = packet
        released.extend(self._release())
        while len(self._waiting) > _MAX_WAITING:
            released.extend(self._skip())
        return released

    def give_up(self, now: float) -> Sequence[RtpPacket]:
        """Stop waiting for what is missing for too long and return what that sets free."""
        released: list[RtpPacket] = []
        while (since := self.missing_since) is not None and since + self._give_up_seconds <= now:
            released.extend(self._skip())
        return released

    def flush(self) -> list[RtpPacket]:
        """Give up everything that is missing and return everything that waits."""
        released: list[RtpPacket] = []
        while self.missing:
            released.extend(self._skip())
        return released

    def take_nacks(self, now: float) -> list[int]:
        """Return the extended sequence numbers to ask for now, and count them as asked."""
        due: list[int] = []
        if now < self._next_nack:  # asked at every packet, and after a burst of losses the list is long
            return due
        for number, missing in self.missing.items():
            if missing.next_nack <= now and len(due) < _MAX_NACKED:
                delay = _NACK_DELAYS_SECONDS[min(missing.nacks, len(_NACK_DELAYS_SECONDS) - 1)]
                missing.next_nack = now + delay
                missing.nacks += 1
                due.append(number)
        self._next_nack = min((missing.next_nack for missing in self.missing.values()), default=float("inf"))
        self._counters.nacked += len(due)
        return due

    def next_deadline(self) -> float | None:
        """When `take_nacks` or `give_up` has something to do; None while nothing is missing."""
        since = self.missing_since
        if since is None:
            return None
        return min(self._next_nack, since + self._give_up_seconds)

    def _push_far_behind(self, packet: RtpPacket) -> Sequence[RtpPacket]:
        """A very old duplicate, or a numbering that started anew: two in a row tell (RFC 3550 A.1)."""
        if packet.sequence_number != self._restart_at:
            self._restart_at = (packet.sequence_number + 1) & 0xFFFF
            self._counters.duplicates += 1
            return ()
        self._restart_at = None
        released = self.flush()
        self._next = packet.sequence_number + 1
        self._highest = packet.sequence_number
        packet.after_loss = True
        self._gap = False
        return [*released, packet]

    def _skip(self) -> list[RtpPacket]:
        """Give up the oldest run of missing packets."""
        assert self._next is not None
        while self.missing.pop(self._next, None) is not None:
            self._counters.lost += 1
            self._next += 1
            self._gap = True
        return self._release()

    def _release(self) -> list[RtpPacket]:
        assert self._next is not None
        released: list[RtpPacket] = []
        while (packet := self._waiting.pop(self._next, None)) is not None:
            if self._gap:
                packet.after_loss, self._gap = True, False
            released.append(packet)
            self._next += 1
        return released
