"""The one UDP port that all publishers of a process send to: its sockets, and when they are read.

While nobody publishes, the event loop watches the sockets, so that a handshake is answered at once and an
idle process sleeps. While media flows they are read in turns instead: after each pause the caches are cold,
and to wake up once for each datagram takes more CPU than all that is then done with it. A turn comes every
100 ms where few datagrams come (one session then takes half of what it takes at 10 ms), more often where
there are many, and every 10 ms for a while after somebody said that time matters: a handshake goes on, or
packets are missing.
"""

import asyncio
import fcntl
import ipaddress
import logging
import math
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from app.base.errors import Conflict, Unavailable
from app.ingest.turns import next_turn
from app.ingest.whip.routing import Address, Routes

# The length of a turn by the datagrams that came in a second; all divide the intervals of other timers.
# The smallest receive buffer that is not spread holds 3600 of them.
TURN_SECONDS = ((1000.0, 0.100), (20_000.0, 0.050), (math.inf, 0.020))
QUICK_TURN_SECONDS = 0.010
QUIET_SECONDS = 1.0  # without media: back to being woken by the event loop
TURN_DATAGRAMS = 512  # then other work of the loop has its turn, and reading goes on at once
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
# Where the process may exceed the host's limit. It is used only while the process is held up: 150 sessions
# fill the smaller one in a quarter of a second.
PRIVILEGED_BUFFER_BYTES = 16 * 1024 * 1024
SPREAD_SOCKETS = 8  # on one port, where the kernel refuses one socket so large a buffer
_MAX_DATAGRAM_BYTES = 2048  # SRTP here takes 1500 at the most
_SO_RCVBUFFORCE = 33  # socket(7); Python has no names for these
_SO_MEMINFO = 55  # nine numbers of 32 bits, of which the last counts drops
_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")
_MEMORY_INFO = struct.Struct("@9I")

log = logging.getLogger(__name__)


class MediaPort:
    """Bound sockets, read in turns into `routes`. Made by `open_media_port`."""

    def __init__(self, sockets: Sequence[socket.socket], addresses: Sequence[str]) -> None:
        self.advertised = tuple(addresses)
        self.number: int = sockets[0].getsockname()[1]
        self.receive_buffer_bytes = sum(
            one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            for one in sockets
            if one.family == socket.AF_INET
        )
        self.routes = Routes()
        self.unsent = 0  # datagrams that the kernel refused
        self._sockets = tuple(sockets)
        self._senders = {one.family: one for one in sockets}
        self._loop = asyncio.get_running_loop()
        self._flowing: list[socket.socket] = []  # read in turns; the event loop watches the others
        self._turn_handle: asyncio.Handle | None = None
        self._turn_at = 0.0
        self._turn_seconds = QUICK_TURN_SECONDS
        self._quick_until = 0.0
        self._media_at = 0.0
        # In small buffers a burst has to be fetched soon.
        self._is_roomy = sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= RECEIVE_BUFFER_BYTES
        for one in sockets:
            self._loop.add_reader(one, self._on_readable, one)

    @property
    def ip_versions(self) -> tuple[int, ...]:
        """4, and 6 where this host has it."""
        return tuple(4 if family == socket.AF_INET else 6 for family in self._senders)

    @property
    def reads_in_turns(self) -> bool:
        """Whether media flows; else the event loop watches every socket."""
        return bool(self._flowing)

    @property
    def turn_seconds(self) -> float:
        """How long turns are at present."""
        return self._turn_seconds

    @property
    def refused(self) -> int:
        """Datagrams that came while the receive buffers were full. The kernel's totals miss some of them."""
        return sum(_dropped(one) for one in self._sockets)

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram; one that the kernel refuses is counted and gone, as on any network."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._senders[family].sendto(data, address)
        except (OSError, KeyError):
            self.unsent += 1

    def close(self) -> None:
        """Free the port."""
        if self._turn_handle is not None:
            self._turn_handle.cancel()
        refused = self.refused
        for one in self._sockets:
            self._loop.remove_reader(one)
            one.close()
        log.info(
            "media port %d closed; %s, %d unsent, %d refused",
            self.number,
            self.routes.counters,
            self.unsent,
            refused,
        )

    def hurry(self, seconds: float) -> None:
        """Read every 10 ms for so long: somebody waits for an answer."""
        now = self._loop.time()
        self._quick_until = max(self._quick_until, now + seconds)
        if isinstance(self._turn_handle, asyncio.TimerHandle) and self._turn_at > now + QUICK_TURN_SECONDS:
            self._turn_handle.cancel()
            self._schedule_turn(now)

    def _on_readable(self, one: socket.socket) -> None:
        media_before = self.routes.counters.media
        now = self._loop.time()
        # What is left beyond a turn's limit makes the socket readable again.
        self._read(one, now)
        if self.routes.counters.media != media_before:
            self._loop.remove_reader(one)
            self._flowing.append(one)
            self._media_at = now
            if self._turn_handle is None:
                self._schedule_turn(now)

    def _turn(self) -> None:
        now = self._loop.time()
        media_before = self.routes.counters.media
        counts = [self._read(one, now) for one in self._flowing]
        if self.routes.counters.media != media_before:
            self._media_at = now
        if TURN_DATAGRAMS in counts:
            self._turn_handle = self._loop.call_soon(self._turn)
        elif now - self._media_at < QUIET_SECONDS:
            rate = sum(counts) / self._turn_seconds
            self._turn_seconds = next(seconds for least, seconds in TURN_SECONDS if rate < least)
            self._schedule_turn(now)
        else:
            self._turn_handle = None
            for one in self._flowing:
                self._loop.add_reader(one, self._on_readable, one)
            self._flowing.clear()

    def _schedule_turn(self, now: float) -> None:
        if now < self._quick_until or not self._is_roomy:
            self._turn_seconds = QUICK_TURN_SECONDS
        self._turn_at = next_turn(now, self._turn_seconds)
        self._turn_handle = self._loop.call_at(self._turn_at, self._turn)

    def _read(self, one: socket.socket, now: float) -> int:
        """Read until the socket is empty or the turn's limit is reached; return how many datagrams came."""
        receive, route = one.recvfrom, self.routes.receive
        wall_us = time.time_ns() // 1000
        count = 0
        try:
            while count < TURN_DATAGRAMS:
                data, address = receive(_MAX_DATAGRAM_BYTES)
                count += 1
                if len(data) > 1 and 192 <= data[1] < 224:  # RTCP: clocks are compared by its arrival
                    waited_us = max(0, wall_us - _arrived_us(one, wall_us))
                    route(data, address, now - waited_us / 1e6, wall_us - waited_us)
                else:
                    route(data, address, now, wall_us)
        except BlockingIOError:
            pass
        except OSError as error:
            log.warning("media port %d: %s", self.number, error)
        return count


def _arrived_us(one: socket.socket, otherwise_us: int) -> int:
    """When the datagram read last came in, in Unix microseconds by the kernel (socket(7), SIOCGSTAMP)."""
    try:
        seconds, nanoseconds = _TIMESPEC.unpack(fcntl.ioctl(one, _SIOCGSTAMPNS, bytes(_TIMESPEC.size)))
    except OSError:
        return otherwise_us
    return int(seconds) * 1_000_000 + int(nanoseconds) // 1000


def _dropped(one: socket.socket) -> int:
    """How many datagrams did not fit into the socket's buffer."""
    try:
        info = one.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY_INFO.size)
    except OSError:
        return 0
    return int(_MEMORY_INFO.unpack(info)[-1])


@asynccontextmanager
async def open_media_port(number: int = 0, addresses: Sequence[str] = ()) -> AsyncIterator[MediaPort]:
    """Hold UDP port `number` (0: any free one) on every address of this host.

    `addresses` are what publishers are told beside loopback; none means this host's own. Raises `Conflict`
    where the port is taken and `Unavailable` where an address is none.
    """
    try:
        told = [str(ipaddress.ip_address(address)) for address in addresses]
    except ValueError as error:
        raise Unavailable(f"CAPTURE_ICE_ADDRESSES must hold IP addresses: {error}.") from error
    port = MediaPort(_open_sockets(number), told)
    log.info(
        "media port %d: %d socket(s), receive buffer %d kB",
        port.number,
        len(port._sockets),
        port.receive_buffer_bytes // 1024,
    )
    try:
        yield port
    finally:
        port.close()


def _open_sockets(number: int) -> list[socket.socket]:
    first = _bind(number)
    number = first.getsockname()[1]
    opened = [first]
    # The kernel keeps its own needs in the same buffer and reports twice what it was asked for.
    if _enlarge(first) < 2 * RECEIVE_BUFFER_BYTES:
        first.close()
        opened = [_bind(number, shared=True) for _ in range(SPREAD_SOCKETS)]
        for one in opened:
            _enlarge(one)
    with suppress(OSError):  # A host without IPv6 does without.
        sixth = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        opened.append(sixth)
        sixth.setblocking(False)
        sixth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sixth.bind(("::", number))
        _enlarge(sixth)
        return opened
    return [one for one in opened if one.family == socket.AF_INET]


def _bind(number: int, *, shared: bool = False) -> socket.socket:
    """A socket on the port. Only one that is not `shared` finds out that another program has it."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    if shared:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        one.bind(("0.0.0.0", number))
    except OSError as error:
        one.close()
        raise Conflict(
            f"UDP port {number} is taken: set CAPTURE_WEBRTC_PORT to another one, or to 0 for any"
        ) from error
    return one


def _enlarge(one: socket.socket) -> int:
    """Ask for a buffer that outlasts a stall of the process; return what the kernel gave."""
    try:
        one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, PRIVILEGED_BUFFER_BYTES)
    except OSError:  # It takes CAP_NET_ADMIN.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
