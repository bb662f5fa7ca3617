"""Requests to callers' URLs reach public addresses and allowed networks, nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network

import httpx
import pytest

from app.base.outbound import AddressRefused, is_allowed, outbound_client, resolve

LOOPBACK = (ip_network("127.0.0.0/8"),)
TIMEOUT = httpx.Timeout(5)

REFUSED = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::1", "2002:7f00:1::", "2002:c0a8:101::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", REFUSED)
def test_private_addresses_are_refused_in_every_spelling(address: str) -> None:
    assert not is_allowed(ip_address(address), ())


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), ())


def test_an_allowed_network_holds_for_mapped_addresses_too() -> None:
    assert is_allowed(ip_address("127.0.0.1"), LOOPBACK)
    assert is_allowed(ip_address("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_allowed(ip_address("10.0.0.1"), LOOPBACK)


# What `getaddrinfo` takes for an address, beside the dotted form.
@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0"])
async def test_odd_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        await resolve(host, 80, ())


class Site:
    """An HTTP server on loopback that counts its connections and answers with `answer`."""

    def __init__(self) -> None:
        self.connections = 0
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    async with await asyncio.start_server(site.serve, "127.0.0.1", 0) as server:
        site.port = server.sockets[0].getsockname()[1]
        yield site


async def test_a_refused_address_sees_no_connection(site: Site) -> None:
    async with outbound_client((), TIMEOUT) as client:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
            with pytest.raises(AddressRefused):
                await client.get(f"http://{host}:{site.port}/")
    assert site.connections == 0


async def test_an_allowed_network_is_reached(site: Site) -> None:
    async with outbound_client(LOOPBACK, TIMEOUT) as client:
        assert (await client.get(f"http://127.0.0.1:{site.port}/")).text == "ok"


async def test_a_redirect_into_a_private_network_is_refused(site: Site) -> None:
    site.answer = b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n"
    async with outbound_client(LOOPBACK, TIMEOUT, follow_redirects=True) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://127.0.0.1:{site.port}/")
    assert site.connections == 1


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer of the resolver is allowed, each later one is loopback: the address is pinned."""
    answers = iter(["127.0.0.1"])
    asked: list[str] = []

    async def rebinding(self: object, host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        address = next(answers, "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)
    async with outbound_client(LOOPBACK, TIMEOUT) as client:
        assert (await client.get(f"http://rebind.example:{site.port}/")).text == "ok"
        assert asked.count("rebind.example") == 1
        with pytest.raises(AddressRefused):
            await client.get(f"http://rebind.example:{site.port}/", headers={"connection": "close"})
    assert site.connections == 1


async def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    async with outbound_client((), TIMEOUT) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://nothing.invalid/")
