import asyncio

import pytest

from app.base.errors import Unavailable
from app.ingest.whip.ice import IngestConnection
from app.ingest.whip.media_port import open_media_port
from app.ingest.whip.routing import Taken


def candidates(*addresses: str) -> list[str]:
    async def gather() -> list[str]:
        async with open_media_port(addresses=addresses) as port:
            connection = IngestConnection(port, lambda data, now, wall_us: Taken.EARLY)
            await connection.gather_candidates()
            offered = connection.local_candidates
            assert {candidate.port for candidate in offered} == {port.number}
            assert len({candidate.priority for candidate in offered}) == len(offered)
            assert len(connection.local_username) == 12
            await connection.close()
            assert len(port.routes) == 0
            return [candidate.host for candidate in offered]

    return asyncio.run(gather())


def test_loopback_is_offered_beside_the_hosts_own_addresses() -> None:
    assert "127.0.0.1" in candidates()


def test_an_address_outside_this_host_is_advertised_all_the_same() -> None:
    assert candidates("203.0.113.9") == ["203.0.113.9", "127.0.0.1"]


def test_a_name_is_no_address() -> None:
    with pytest.raises(Unavailable, match="CAPTURE_ICE_ADDRESSES"):
        candidates("media.example.org")
