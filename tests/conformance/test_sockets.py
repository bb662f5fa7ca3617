"""Checks 10, 11 and 12: a socket's first frame names its connection, and idle ones stay open."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.protocol import State

from tests.fixtures.sdks import Sdk
from tests.fixtures.stack import RunningStack

NODE_SECONDS = 5


def test_check_10_python_knows_its_connection(py: Sdk) -> None:
    connection_id = py.run(
        """
        ws = await conn.connect_websocket().connect()
        emit(ws.connection_id)
        await ws.close()
        """
    )
    assert isinstance(connection_id, str)
    assert connection_id


def test_check_11_node_connects_in_time_and_knows_its_connection(node: Sdk) -> None:
    connection_id = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const late = new Promise((_, reject) =>
          setTimeout(() => reject(new Error('connect() did not settle')), seconds * 1000));
        const ws = await Promise.race([(await conn.connectWebsocket()).connect(), late]);
        emit(ws.connectionId);
        await ws.close();
        """,
        seconds=NODE_SECONDS,
    )
    assert isinstance(connection_id, str)
    assert connection_id


async def test_check_12_an_idle_socket_answers_pings(stack: RunningStack) -> None:
    with stack.client() as client:
        url = client.get("/collection/default/websocket").json()["data"]["websocket_url"]
    # The SDK's own library pings each 20 s and closes after as much silence; here within two seconds.
    async with connect(url, ping_interval=0.3, ping_timeout=1.0) as socket:
        assert json.loads(await socket.recv())["connection_id"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 2.0)
        assert socket.state is State.OPEN
        assert socket.latency > 0
