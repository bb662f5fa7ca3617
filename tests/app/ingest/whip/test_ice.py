import asyncio

import pytest

from app.base.errors import Unavailable
from app.ingest.whip.ice import IngestConnection


def candidates(*addresses: str) -> list[str]:
    async def gather() -> list[str]:
        connection = IngestConnection(addresses, lambda data: False)
        try:
            await connection.gather_candidates()
            assert all(candidate.port for candidate in connection.local_candidates)
            return [candidate.host for candidate in connection.local_candidates]
        finally:
            await connection.close()

    return asyncio.run(gather())


def test_loopback_is_offered_beside_the_hosts_own_addresses() -> None:
    assert candidates()[-1] == "127.0.0.1"


def test_an_address_outside_this_host_is_advertised_all_the_same() -> None:
    assert candidates("203.0.113.9") == ["203.0.113.9", "127.0.0.1"]


def test_a_name_is_no_address() -> None:
    with pytest.raises(Unavailable, match="CAPTURE_ICE_ADDRESSES"):
        IngestConnection(["media.example.org"], lambda data: False)
