"""Checks 10 and 11: a socket's first frame names its connection."""

from tests.fixtures.sdks import Sdk

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
