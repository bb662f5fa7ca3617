"""Which publisher a datagram on the shared port belongs to.

STUN requests name it by its user name fragment and answers to our own checks by their transaction, because
two publishers behind different NATs can have the same private address. All else goes by the sender's address.
An address belongs to a publisher only once it authenticated itself from there: by a STUN request (RFC 8445
section 7.3), or by SRTP from an address that nobody has, which is how a publisher is followed whose NAT or
network changed. Whatever belongs to nobody is dropped and counted, without an answer.
"""

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from aioice import stun

log = logging.getLogger(__name__)

Address = tuple[str, int]
MAX_ADDRESSES = 32  # of one publisher: its candidates, and those its NAT makes of them
MAX_SSRCS = 32
_STUN_COOKIE = b"\x21\x12\xa4\x42"


class Taken(Enum):
    """What became of a media datagram."""

    YES = "authenticated"
    NO = "forged, replayed or malformed"
    EARLY = "the handshake is not over"


class Member(Protocol):
    """A publisher's connection. Implementer: `ice.SharedProtocol`."""

    fragment: str
    ip_version: int
    addresses: dict[Address, None]
    ssrcs: dict[bytes, None]
    selected: Address | None  # where it is sent to; None until ICE has chosen

    def take_media(self, data: bytes, now: float, wall_us: int) -> Taken:
        """Take SRTP or SRTCP."""

    def take_other(self, data: bytes) -> None:
        """Take DTLS, or media that came before the handshake's end."""

    def take_request(self, message: Any, address: Address) -> None:
        """Take a STUN request that names this publisher, authenticated or not."""

    def take_response(self, message: Any, address: Address) -> None:
        """Take the answer to a check of ours."""

    def move(self, address: Address) -> None:
        """Send to `address` from now on."""


@dataclass(slots=True)
class RoutingCounters:
    """Totals of a port."""

    media: int = 0
    moves: int = 0
    unknown: int = 0  # belongs to nobody
    malformed: int = 0


class Routes:
    """The tables."""

    def __init__(self) -> None:
        self.counters = RoutingCounters()
        self.transactions: dict[bytes, Member] = {}
        self._by_fragment: dict[tuple[str, int], Member] = {}
        self._by_address: dict[Address, Member] = {}
        self._by_ssrc: dict[bytes, list[Member]] = {}

    def __len__(self) -> int:
        """How many entries there are, in all tables."""
        tables = (self._by_fragment, self._by_address, self._by_ssrc, self.transactions)
        return sum(len(table) for table in tables)

    def is_bound(self, address: Address) -> bool:
        """Whether the address belongs to a publisher."""
        return address in self._by_address

    def join(self, member: Member) -> None:
        """Route STUN requests of its IP version for `member.fragment` to it."""
        self._by_fragment[member.fragment, member.ip_version] = member

    def rename(self, member: Member, fragment: str) -> None:
        """`member` is another to STUN requests from now on; its addresses stay its own."""
        self._by_fragment.pop((member.fragment, member.ip_version), None)
        member.fragment = fragment
        self.join(member)

    def leave(self, member: Member) -> None:
        """Forget everything about `member`."""
        self._by_fragment.pop((member.fragment, member.ip_version), None)
        for address in list(member.addresses):
            self._unbind(member, address)
        for ssrc in list(member.ssrcs):
            self._forget_ssrc(member, ssrc)

    def bind(self, member: Member, address: Address) -> None:
        """`member` proved that it sends from `address`."""
        if self._by_address.get(address) is member:
            return
        self._by_address[address] = member
        member.addresses[address] = None
        if len(member.addresses) > MAX_ADDRESSES:
            self._unbind(member, next(one for one in member.addresses if one != member.selected))

    def receive(self, data: bytes, sender: Any, now: float, wall_us: int) -> None:
        """Pass on one datagram that came at `now` (monotonic seconds) and `wall_us`. Never raises.

        `sender` is what the socket says."""
        address = sender if len(sender) == 2 else sender[:2]  # IPv6 adds flow and scope
        try:
            first = data[0] if data else 255
            if 128 <= first < 192:
                self._receive_media(data, address, now, wall_us)
            elif first < 4:
                self._receive_stun(data, address)
            elif 20 <= first < 64 and (member := self._by_address.get(address)) is not None:
                member.take_other(data)
            else:
                self.counters.unknown += 1
        except Exception:  # What one datagram leads the libraries into must not end the reading for all.
            self.counters.malformed += 1
            log.exception("a datagram could not be taken")

    def _receive_media(self, data: bytes, address: Address, now: float, wall_us: int) -> None:
        member = self._by_address.get(address)
        if member is not None:
            taken = member.take_media(data, now, wall_us)
            if taken is Taken.YES:
                if address != member.selected:
                    self._move(member, address)
            elif taken is Taken.EARLY:
                member.take_other(data)
            if taken is not Taken.NO:
                self.counters.media += 1
                if (ssrc := data[4:8] if 192 <= data[1] < 224 else data[8:12]) not in member.ssrcs:
                    self._learn_ssrc(member, ssrc)
                return
        for other in self._by_ssrc.get(_ssrc_of(data), ()):
            if other is not member and other.take_media(data, now, wall_us) is Taken.YES:
                self.counters.media += 1
                self._move(other, address)
                return
        self.counters.unknown += 1

    def _receive_stun(self, data: bytes, address: Address) -> None:
        if data[4:8] != _STUN_COOKIE:
            self.counters.unknown += 1
            return
        try:
            message = stun.parse_message(data)
        except Exception:  # Attributes are unpacked as they come: any error means a malformed one.
            self.counters.malformed += 1
            return
        if message.message_class is stun.Class.REQUEST:
            fragment = message.attributes.get("USERNAME", "").partition(":")[0]
            version = 6 if ":" in address[0] else 4
            if (member := self._by_fragment.get((fragment, version))) is not None:
                member.take_request(message, address)
                return
        elif (member := self.transactions.get(message.transaction_id)) is not None:
            member.take_response(message, address)
            return
        self.counters.unknown += 1

    def _move(self, member: Member, address: Address) -> None:
        if member.selected is None:  # Still choosing a path, by the rules of ICE.
            return
        log.info("publisher %s goes on from another address", member.fragment)
        self.counters.moves += 1
        self.bind(member, address)
        member.move(address)

    def _learn_ssrc(self, member: Member, ssrc: bytes) -> None:
        member.ssrcs[ssrc] = None
        self._by_ssrc.setdefault(ssrc, []).append(member)
        if len(member.ssrcs) > MAX_SSRCS:
            self._forget_ssrc(member, next(iter(member.ssrcs)))

    def _forget_ssrc(self, member: Member, ssrc: bytes) -> None:
        del member.ssrcs[ssrc]
        senders = self._by_ssrc[ssrc]
        senders.remove(member)
        if not senders:
            del self._by_ssrc[ssrc]

    def _unbind(self, member: Member, address: Address) -> None:
        del member.addresses[address]
        if self._by_address.get(address) is member:
            del self._by_address[address]


def _ssrc_of(data: bytes) -> bytes:
    """The sender's SSRC of RTP (RFC 3550 section 5.1) or RTCP (section 6.4.1)."""
    return data[4:8] if 192 <= data[1] < 224 else data[8:12]
