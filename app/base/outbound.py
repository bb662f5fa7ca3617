"""Where this product's own requests may go: every connection to a URL that a caller gave passes here.

A name is resolved once, each of its addresses is checked, and the connection is made to the checked address
itself, so that a name which resolves differently a moment later (DNS rebinding) leads nowhere new.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from app.base.errors import InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVE_SECONDS = 10.0

# Prefixes of IPv6 that carry an IPv4 address, by which 127.0.0.1 can be written as a global address.
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1, deprecated and still understood


class AddressRefused(InvalidRequest):
    """The URL leads to an address that this server does not connect to."""

    code = "address_refused"


def is_allowed(address: Address, allowed_networks: Iterable[Network]) -> bool:
    """True for a public unicast address, and for one in `allowed_networks`."""
    if any(address in network for network in allowed_networks):
        return True
    carried = _carried_ipv4(address)
    if carried is not None:
        return is_allowed(carried, allowed_networks)
    if isinstance(address, IPv6Address) and (address in _LOCAL_NAT64 or address.is_site_local):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried_ipv4(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def refuse_literal(url: str, allowed_networks: Iterable[Network], field: str) -> None:
    """Raise AddressRefused where `url` names an address, in digits, that may not be connected to.

    A courtesy to whoever mistypes: what a name leads to is only known, and checked, at each connection.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return  # no URL at all, and nothing will be connected to
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(host))  # 127.1 and 0x7f000001, as resolvers read them
        except (OSError, UnicodeError):
            if host.lower() != "localhost":
                return
            address = ip_address("127.0.0.1")
    if not is_allowed(address, tuple(allowed_networks)):
        raise AddressRefused(f"{field}: this server does not connect to that address", field=field)


async def resolve(host: str, port: int, allowed_networks: Iterable[Network]) -> list[Address]:
    """The addresses of `host` that may be connected to, in the resolver's order.

    Raises AddressRefused where there is none, OSError where the name does not resolve and TimeoutError where
    the resolver does not answer.
    """
    networks = tuple(allowed_networks)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host, port, proto=6)  # IPPROTO_TCP: each address once
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    allowed = [address for address in addresses if is_allowed(address, networks)]
    if not allowed:
        raise AddressRefused("the URL leads to an address that this server does not connect to")
    return allowed


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to checked addresses only; TLS still verifies the name of the URL."""

    def __init__(self, allowed_networks: Iterable[Network]) -> None:
        self._networks = tuple(allowed_networks)
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore names it so
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host, port, self._networks)
        except OSError as error:  # TimeoutError is one, too
            raise httpcore.ConnectError(type(error).__name__) from error
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # `resolve` gives at least one address
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no local sockets")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over checked addresses; redirects that a client follows are checked as well."""

    def __init__(self, allowed_networks: Iterable[Network], max_connections: int = 10) -> None:
        super().__init__(trust_env=False)
        # httpx offers no parameter for httpcore's documented `network_backend`.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            network_backend=_CheckedBackend(allowed_networks),
            max_connections=max_connections,
            keepalive_expiry=5.0,
        )


def outbound_client(
    allowed_networks: Iterable[Network],
    timeout: httpx.Timeout,
    *,
    follow_redirects: bool = False,
    max_connections: int = 10,
) -> httpx.AsyncClient:
    """A client for URLs that callers gave. Its requests raise AddressRefused where they may not go.

    No proxy of the environment is used: it would resolve the name anew. Requests beyond `max_connections`
    at once wait for one of them to end.
    """
    return httpx.AsyncClient(
        transport=CheckedTransport(allowed_networks, max_connections),
        timeout=timeout,
        follow_redirects=follow_redirects,
        max_redirects=5,
        trust_env=False,
    )
