"""The shared port with real publishers and real sockets: who gets what, and when the sockets are read."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aioice import stun

from app.base.errors import Conflict
from app.ingest.whip import media_port
from app.ingest.whip.media_port import MediaPort, open_media_port
from app.ingest.whip.offer import read_offer
from app.ingest.whip.peer import WhipPeer, answer_offer
from app.ingest.whip.routing import Taken
from tests.fixtures.media import opus_packets, tone
from tests.fixtures.publisher import AudioTrack, EncodedTrack, Publisher
from tests.fixtures.udp import CountingMember, Nat, rtp, stun_request

LIMIT_SECONDS = 40.0


def run(scenario: Callable[[MediaPort], Awaitable[object]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_SECONDS), open_media_port() as port:
            await scenario(port)

    asyncio.run(bounded())


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def published(port: MediaPort, publisher: Publisher) -> WhipPeer:
    peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
    await publisher.accept(peer.answer_sdp)
    return peer


@asynccontextmanager
async def sender_to(port: MediaPort) -> AsyncIterator[socket.socket]:
    """A plain socket that sends to `port` and waits for answers for a second at the most."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(("127.0.0.1", port.number))
        yield sender


async def answer_to(sender: socket.socket) -> stun.Message:
    async with asyncio.timeout(5):
        return stun.parse_message(await asyncio.get_running_loop().sock_recv(sender, 2048))


@pytest.mark.parametrize("count", [2, 20])
def test_publishers_share_one_port_and_leave_nothing_behind(count: int) -> None:
    async def scenario(port: MediaPort) -> None:
        sound = opus_packets(tone(4))
        publishers = [Publisher(EncodedTrack(sound, 4)) for _ in range(count)]
        peers = await asyncio.gather(*(published(port, publisher) for publisher in publishers))
        offered = {
            int(number) for peer in peers for number in re.findall(r"udp \d+ \S+ (\d+)", peer.answer_sdp)
        }
        assert offered == {port.number}

        async def read(peer: WhipPeer) -> None:
            frames = peer.tracks[0].frames()
            taken = [await anext(frames) for _ in range(50)]
            assert all(after.timestamp - before.timestamp == 960 for before, after in pairwise(taken))

        await asyncio.gather(*map(read, peers))
        assert port.reads_in_turns
        # Half of them leave by themselves, the others are closed here.
        await asyncio.gather(*(publisher.close() for publisher in publishers[: count // 2]))
        await asyncio.gather(*(peer.closed.wait() for peer in peers[: count // 2]))
        await asyncio.gather(*(peer.close() for peer in peers))
        assert len(port.routes) == 0
        assert sum(peer.tracks[0].stats.lost for peer in peers) == 0
        await asyncio.gather(*(publisher.close() for publisher in publishers))
        await until(lambda: not port.reads_in_turns)

    run(scenario)


def test_a_publisher_whose_address_changes_goes_on_without_loss() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
        async with Nat(port.number) as nat:
            await publisher.accept(nat.rewrite(peer.answer_sdp))
            frames = peer.tracks[0].frames()
            taken = [await anext(frames) for _ in range(100)]
            nat.rebind()
            taken += [await anext(frames) for _ in range(100)]
            assert all(after.timestamp - before.timestamp == 960 for before, after in pairwise(taken))
            assert peer.tracks[0].stats.lost == 0
            assert port.routes.counters.moves >= 1
            # Feedback follows to the new address.
            await until(lambda: nat.answers_since_rebinding > 0)
            await publisher.close()
            await peer.close()
        assert len(port.routes) == 0

    run(scenario)


def test_junk_gets_no_answer_and_a_wrong_password_no_address() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
        fragment = re.search(r"a=ice-ufrag:(\S+)", peer.answer_sdp)
        assert fragment is not None
        assert len(fragment[1]) == 12
        async with sender_to(port) as sender:
            request = stun_request(f"{fragment[1]}:them", "x" * 22)
            junk = [
                b"",
                b"\x00",
                b"\xff" * 500,
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x80",
                rtp(1),
                b"\x80\xc8" + bytes(26),
                b"\x16\xfe\xfd" + bytes(100),
                *(request[:size] for size in range(1, len(request))),
                stun_request("unknown:them", "x" * 22),
                stun_request("", "x" * 22),
                request[:4] + bytes(4) + request[8:],  # not the magic cookie
                request[:2] + b"\xff\xff" + request[4:],
                stun_request(f"{fragment[1]}:them", "x" * 22, message_class=stun.Class.RESPONSE),
            ]
            for datagram in junk:
                sender.send(datagram)
            sender.send(request)
            answer = await answer_to(sender)
            # The first answer of all is that to the last datagram.
            assert answer.transaction_id == stun.parse_message(request).transaction_id
            assert (answer.message_class, answer.error_code) == (stun.Class.ERROR, 401)
            assert not port.routes.is_bound(sender.getsockname())
        counters = port.routes.counters
        assert counters.unknown + counters.malformed == len(junk)
        await peer.close()
        await publisher.close()

    run(scenario)


def test_an_authenticated_request_binds_the_address_it_came_from() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
        ours = dict(re.findall(r"a=ice-(ufrag|pwd):(\S+)", peer.answer_sdp))
        theirs = re.search(r"a=ice-ufrag:(\S+)", await publisher.offer())
        assert theirs is not None
        async with sender_to(port) as sender:
            sender.send(stun_request(f"{ours['ufrag']}:{theirs[1]}", ours["pwd"]))
            answer = await answer_to(sender)
            assert answer.message_class is stun.Class.RESPONSE
            assert answer.attributes["XOR-MAPPED-ADDRESS"] == sender.getsockname()
            assert port.routes.is_bound(sender.getsockname())
        await peer.close()
        assert len(port.routes) == 0
        await publisher.close()

    run(scenario)


@pytest.mark.parametrize("in_turns", [False, True])
def test_more_datagrams_than_one_turn_takes_are_not_left_behind(
    in_turns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(port: MediaPort) -> None:
        member = CountingMember()
        async with sender_to(port) as sender:
            port.routes.bind(member, sender.getsockname())
            if in_turns:
                sender.send(rtp(0))
                await until(lambda: member.taken == 1)
                assert port.reads_in_turns
            before = member.taken
            monkeypatch.setattr(media_port, "TURN_DATAGRAMS", 64)
            for number in range(300):
                sender.send(rtp(number))
            await until(lambda: member.taken == before + 300)
            port.routes.leave(member)

    run(scenario)


def test_turns_are_long_while_little_comes_and_short_while_somebody_waits() -> None:
    async def scenario(port: MediaPort) -> None:
        member = CountingMember()
        async with sender_to(port) as sender:
            port.routes.bind(member, sender.getsockname())

            async def flow(turn_seconds: float) -> None:
                while port.turn_seconds != turn_seconds:
                    sender.send(rtp(member.taken))
                    await asyncio.sleep(0.02)

            await flow(0.100)
            port.hurry(0.2)
            await flow(0.010)
            await flow(0.100)
            port.routes.leave(member)

    run(scenario)


def test_what_one_datagram_leads_to_does_not_stop_the_reading(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CountingMember):
        def take_media(self, data: bytes, now: float, wall_us: int) -> Taken:
            super().take_media(data, now, wall_us)
            raise RuntimeError("broken")

    async def scenario(port: MediaPort) -> None:
        member = Broken()
        async with sender_to(port) as sender:
            port.routes.bind(member, sender.getsockname())
            for number in range(3):
                sender.send(rtp(number))
            await until(lambda: member.taken == 3)
            assert port.routes.counters.malformed == 3
            port.routes.leave(member)

    run(scenario)
    assert "a datagram could not be taken" in caplog.text


def test_a_taken_port_is_said_in_one_line() -> None:
    async def scenario(port: MediaPort) -> None:
        with pytest.raises(Conflict, match=f"^UDP port {port.number} is taken: set CAPTURE_WEBRTC_PORT"):
            async with open_media_port(port.number):
                pass

    run(scenario)


def test_where_no_large_buffer_is_to_be_had_several_sockets_share_the_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def small(one: socket.socket) -> int:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 106_496)
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    monkeypatch.setattr(media_port, "_enlarge", small)

    async def scenario(port: MediaPort) -> None:
        assert port.receive_buffer_bytes == media_port.SPREAD_SOCKETS * 212_992
        publishers = [Publisher(AudioTrack()) for _ in range(4)]
        peers = [await published(port, publisher) for publisher in publishers]
        for peer in peers:
            frames = peer.tracks[0].frames()
            assert len([await anext(frames) for _ in range(25)]) == 25
        # Sockets that share a port would also share it with a second product: it has to notice.
        with pytest.raises(Conflict):
            async with open_media_port(port.number):
                pass
        await asyncio.gather(*(publisher.close() for publisher in publishers))
        await asyncio.gather(*(peer.close() for peer in peers))
        assert len(port.routes) == 0

    run(scenario)


def test_datagrams_that_found_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(one: socket.socket) -> int:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return 2 * media_port.RECEIVE_BUFFER_BYTES  # no second socket

    monkeypatch.setattr(media_port, "_enlarge", tiny)

    async def scenario(port: MediaPort) -> None:
        assert port.refused == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(500):
                sender.sendto(b"\xff" * 200, ("127.0.0.1", port.number))
        await until(lambda: port.refused > 0 and port.routes.counters.unknown + port.refused == 500)

    run(scenario)


def test_an_address_that_a_publisher_left_can_be_anothers() -> None:
    async def scenario(port: MediaPort) -> None:
        first, second = CountingMember(), CountingMember()
        async with sender_to(port) as sender:
            for member in (first, second):
                port.routes.bind(member, sender.getsockname())
                sender.send(rtp(1))
                await until(lambda member=member: member.taken == 1)  # type: ignore[misc]
            port.routes.leave(first)
            sender.send(rtp(2))
            await until(lambda: second.taken == 2)
            port.routes.leave(second)
            assert len(port.routes) == 0

    run(scenario)
