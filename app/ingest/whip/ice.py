"""The ICE connection of one publisher on the shared port: what it offers, and what it takes from the port."""

import ipaddress
import secrets
from collections.abc import Callable
from typing import Any

import aioice
from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from app.ingest.whip.media_port import MediaPort
from app.ingest.whip.routing import Address, Taken

LOOPBACK = "127.0.0.1"
MAX_WAITING = 512  # datagrams between two steps of the handshake
_HIGHEST_PREFERENCE = 65535  # RFC 8445 section 5.1.2.1

TakeMedia = Callable[[bytes, float, int], Taken]


class SharedProtocol(StunProtocol):
    """A connection's end of the shared port, where aioice has a socket of its own. A `routing.Member`.

    One speaks for all advertised addresses of one IP version.
    """

    def __init__(self, connection: "IngestConnection", port: MediaPort, first: aioice.Candidate) -> None:
        super().__init__(connection)
        self.local_candidate = first
        self.fragment: str = connection.local_username
        self.ip_version: int = ipaddress.ip_address(first.host).version
        self.addresses: dict[Address, None] = {}
        self.ssrcs: dict[bytes, None] = {}
        self.selected: Address | None = None
        self.take_media: TakeMedia = connection.take_media
        self._connection = connection
        self._routes = port.routes
        self._send = port.send

    def take_other(self, data: bytes) -> None:
        """Queue DTLS or early media for the handshake."""
        if self._connection._queue.qsize() < MAX_WAITING:
            self._connection.data_received(data, self.local_candidate.component)

    def take_request(self, message: Any, address: Address) -> None:
        """Have aioice authenticate and answer a STUN request."""
        self._connection.request_received(message, address, self)

    def take_response(self, message: Any, address: Address) -> None:
        """Have aioice's transaction authenticate the answer to one of our checks."""
        if (transaction := self.transactions.get(message.transaction_id)) is not None:
            transaction.response_received(message, address)

    def move(self, address: Address) -> None:
        """Send to `address` from now on."""
        self._connection.select(self, address)

    def rename(self, fragment: str) -> None:
        """Have STUN requests for `fragment` routed here, and no longer those for the one before."""
        self._routes.rename(self, fragment)

    # What aioice calls

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        self._routes.transactions[request.transaction_id] = self
        try:
            answer: tuple[stun.Message, Address] = await super().request(
                request, addr, integrity_key, retransmissions
            )
        finally:
            del self._routes.transactions[request.transaction_id]
        # Only an ICE Lite publisher, which sends no checks, is known by this alone.
        self._routes.bind(self, answer[1])
        return answer

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        if message.message_class is stun.Class.RESPONSE:  # aioice answers so once a request is authenticated.
            self._routes.bind(self, addr)
        self._send(bytes(message), addr)

    async def send_data(self, data: bytes, addr: Address) -> None:
        self._send(data, addr)

    async def close(self) -> None:
        self._routes.leave(self)
        self.connection_lost(None)


class IngestConnection(aioice.Connection):
    """A full ICE agent in the controlled role; it offers the shared port on every advertised address.

    `take_media` is shown every datagram that looks like SRTP or SRTCP (RFC 7983 section 7) as it comes in.
    """

    def __init__(self, port: MediaPort, take_media: TakeMedia) -> None:
        # aioice's own four characters would soon collide where all publishers share a port.
        super().__init__(ice_controlling=False, local_username=secrets.token_hex(6))
        self.selected: Address | None = None
        self._shared: list[SharedProtocol] = []
        self._port = port
        self._decrypt = take_media

    def take_media(self, data: bytes, now: float, wall_us: int) -> Taken:
        """Take SRTP or SRTCP, in sequence behind packets that still wait for the handshake's end.

        From the first that is taken on, the rest goes straight to the decryption.
        """
        if not self._queue.empty():
            return Taken.EARLY
        taken = self._decrypt(data, now, wall_us)
        if taken is Taken.YES:
            for protocol in self._shared:
                protocol.take_media = self._decrypt
        return taken

    def send_now(self, data: bytes) -> None:
        """Send a datagram to where ICE chose; nowhere before that."""
        if self.selected is not None:
            self._port.send(data, self.selected)

    def select(self, protocol: SharedProtocol, address: Address) -> None:
        """Send to `address` from now on: the publisher has authenticated itself from there."""
        reached = aioice.Candidate(
            foundation=candidate_foundation("prflx", "udp", address[0]),
            component=protocol.local_candidate.component,
            transport="udp",
            priority=candidate_priority(protocol.local_candidate.component, "prflx"),
            host=address[0],
            port=address[1],
            type="prflx",
        )
        self._nominated[reached.component] = CandidatePair(protocol, reached)
        self._send_to(address)

    def _send_to(self, address: Address) -> None:
        self.selected = address
        for protocol in self._shared:  # each packet is held against it there
            protocol.selected = address

    def restart(self, remote_username: str, remote_password: str) -> None:
        """Begin a new ICE session (RFC 8445 section 9) over the same port.

        The path in use stays until the publisher nominates one with the new credentials.
        """
        for pair in self._check_list:
            if pair.task is not None:
                pair.task.cancel()
        # A check that was cut would keep its pair from ever being checked again.
        self._check_list = [pair for pair in self._check_list if pair.state is CandidatePair.State.SUCCEEDED]
        self._remote_candidates = [pair.remote_candidate for pair in self._check_list]
        self._local_username, self._local_password = secrets.token_hex(6), secrets.token_hex(16)
        self.remote_username, self.remote_password = remote_username, remote_password
        for protocol in self._shared:
            protocol.rename(self._local_username)

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109 - aioice's signature
    ) -> list[aioice.Candidate]:
        """Return a candidate for each address; `addresses` are this host's own, without loopback."""
        wanted = self._port.advertised or tuple(addresses)
        by_version: dict[int, list[aioice.Candidate]] = {}
        for rank, address in enumerate(dict.fromkeys((*wanted, LOOPBACK))):
            version = ipaddress.ip_address(address).version
            if version not in self._port.ip_versions:
                continue
            by_version.setdefault(version, []).append(
                aioice.Candidate(
                    foundation=candidate_foundation("host", "udp", address),
                    component=component,
                    transport="udp",
                    priority=candidate_priority(component, "host", _HIGHEST_PREFERENCE - rank),
                    host=address,
                    port=self._port.number,
                    type="host",
                )
            )
        for candidates in by_version.values():
            protocol = SharedProtocol(self, self._port, candidates[0])
            self._protocols.append(protocol)
            self._shared.append(protocol)
            self._port.routes.join(protocol)
        return [candidate for candidates in by_version.values() for candidate in candidates]

    def check_complete(self, pair: CandidatePair) -> None:
        """Note the pair that ICE nominates."""
        super().check_complete(pair)
        if self._nominated.get(pair.component) is pair:
            self._send_to(pair.remote_addr)

    async def query_consent(self) -> None:
        """Send no consent checks of our own: arriving media is the consent (RFC 7675 section 5.1).

        Only RTCP is ever sent, and only while authenticated media arrives; the peer's silence timer ends
        the rest. aioice's own checks would close FFmpeg's WHIP publisher, which answers none, after 35 s.
        """
