"""Checks 8 and 9: client tokens."""

import asyncio

import pytest

from app.base.db import Database
from app.domain.accounts.credentials import create_account, create_api_key
from tests.fixtures.sdks import Sdk
from tests.fixtures.stack import RunningStack


@pytest.fixture
def other_api_key(stack: RunningStack) -> str:
    """The key of another account of the same server."""

    async def make() -> str:
        database = Database(stack.database_url)
        try:
            async with database.transaction() as session:
                return await create_api_key(session, await create_account(session, "other"), name="key")
        finally:
            await database.close()

    return asyncio.run(make())


def test_check_08_a_client_token_is_made_and_expires(py: Sdk) -> None:
    token, said = py.run(
        """
        token = conn.generate_client_token(expires_in=600)
        videodb.connect(session_token=token, base_url=base_url).connect_websocket()
        brief = videodb.connect(session_token=conn.generate_client_token(expires_in=1), base_url=base_url)
        for _ in range(100):
            try:
                brief.connect_websocket()
            except videodb.AuthenticationError as error:
                emit([token, str(error).strip()])
                break
            await asyncio.sleep(0.1)
        """
    )
    assert token.startswith("st-")
    assert said == "Error: this client token has expired: ask your backend for a new one"


def test_check_08_a_client_token_is_never_good_for_another_account(
    stack: RunningStack, other_api_key: str
) -> None:
    with stack.client() as client:
        created = client.post("/collection/default/capture/session", json={"end_user_id": "u"}).json()
    start = {"session_id": created["data"]["session_id"], "channels": [{"channel_id": "mic:default"}]}
    with stack.client(other_api_key) as client:
        foreign = client.post("/capture/session/token", json={"expires_in": 600}).json()["data"]["token"]
    with stack.client(foreign) as client:
        replies = [
            client.post("/capture/session/start", json=start),
            client.get(f"/capture/session/{start['session_id']}"),
            client.post(f"/capture/session/{start['session_id']}/stop", json={}),
        ]
    assert [reply.status_code for reply in replies] == [401, 401, 401]
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{start['session_id']}").json()
    assert shown["data"]["status"] == "created"


def test_check_09_a_client_token_opens_a_socket(py: Sdk) -> None:
    connection_id = py.run(
        """
        token = conn.generate_client_token(expires_in=600)
        ws = await videodb.connect(session_token=token, base_url=base_url).connect_websocket().connect()
        emit(ws.connection_id)
        await ws.close()
        """
    )
    assert isinstance(connection_id, str)
    assert connection_id
