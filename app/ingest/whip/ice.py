"""The ICE connection of one publisher: which addresses it offers, and when consent ends."""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, cast

import aioice
from aioice.candidate import candidate_foundation

from app.base.errors import Unavailable

LOOPBACK = "127.0.0.1"


class IngestConnection(aioice.Connection):
    """A full ICE agent in the controlled role that offers loopback and the configured addresses.

    `take_media` is shown every datagram that looks like SRTP or SRTCP (RFC 7983 section 7) as it comes in and
    returns whether it took it. aioice would try to read each as STUN and wake a task for it: with this the
    server spends less than half as much on a packet.
    """

    def __init__(self, addresses: Sequence[str], take_media: Callable[[bytes], bool]) -> None:
        super().__init__(ice_controlling=False)
        self._take_media = take_media
        try:
            self._advertised = tuple(str(ipaddress.ip_address(address)) for address in addresses)
        except ValueError as error:
            raise Unavailable(f"CAPTURE_ICE_ADDRESSES must hold IP addresses: {error}.") from error

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109 - aioice's signature
    ) -> list[aioice.Candidate]:
        """Open one socket per address; `addresses` are this host's own, without loopback.

        An advertised address that this host does not hold (a container's or a NAT's outside) is offered
        from a socket bound to every address.
        """
        wanted = self._advertised or tuple(addresses)
        candidates: list[aioice.Candidate] = []
        for address in dict.fromkeys((*wanted, LOOPBACK)):
            bound = address
            if address != LOOPBACK and address not in addresses:
                bound = "0.0.0.0" if ipaddress.ip_address(address).version == 4 else "::"
            for candidate in await super().get_component_candidates(component, [bound], timeout):
                candidate.host = address
                candidate.foundation = candidate_foundation("host", "udp", address)
                candidates.append(candidate)
        for protocol in self._protocols:
            cast(Any, protocol).datagram_received = self._media_first(protocol.datagram_received)
        return candidates

    def _media_first(self, receive: Callable[[bytes, Any], None]) -> Callable[[bytes, Any], None]:
        take_media, waiting = self._take_media, self._queue

        def datagram_received(data: bytes, address: Any) -> None:
            # Behind packets that still wait for the handshake's end, to keep them in sequence.
            if data and 128 <= data[0] < 192 and waiting.empty() and take_media(data):
                return
            receive(data, address)

        return datagram_received

    async def query_consent(self) -> None:
        """Send no consent checks of our own: arriving media is the consent (RFC 7675 section 5.1).

        Only RTCP is ever sent, and only while authenticated media arrives; the peer's silence timer ends
        the rest. aioice's own checks would close FFmpeg's WHIP publisher, which answers none, after 35 s.
        """
