"""Checks 4, 5, 6 and 7: creating capture sessions."""

from tests.fixtures.sdks import Sdk
from tests.fixtures.stack import RunningStack


def test_check_04_python_creates_a_session(py: Sdk) -> None:
    made = py.run(
        """
        session = conn.create_capture_session(
            end_user_id="u", callback_url="http://127.0.0.1:9/nobody", metadata={"team": "red"}
        )
        emit([session.id, session.status, session.end_user_id, session.callback_url, session.metadata])
        """
    )
    assert made[0].startswith("cap-")
    assert made[1:] == ["created", "u", "http://127.0.0.1:9/nobody", {"team": "red"}]


def test_check_05_node_creates_a_session(node: Sdk) -> None:
    made = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const session = await conn.createCaptureSession({ endUserId: 'u' });
        emit([session.id, session.status]);
        """
    )
    assert made[0].startswith("cap-")
    assert made[1] == "created"


def test_check_06_create_replies_with_session_id_only_and_lists_with_both(
    stack: RunningStack, collection_id: str
) -> None:
    path = f"/collection/{collection_id}/capture/session"
    with stack.client() as client:
        created = client.post(path, json={"end_user_id": "u"}).json()["data"]
        assert created["session_id"].startswith("cap-")
        assert "id" not in created
        rows = {row["session_id"]: row for row in client.get(path).json()["data"]["sessions"]}
        shown = client.get(f"{path}/{created['session_id']}").json()["data"]
    assert all(row["id"] == session_id for session_id, row in rows.items())
    assert created["session_id"] in rows
    assert shown["id"] == shown["session_id"] == created["session_id"]


def test_check_07_a_session_without_an_end_user_is_refused(stack: RunningStack) -> None:
    with stack.client() as client:
        reply = client.post("/collection/default/capture/session", json={})
    assert reply.status_code == 400
    assert reply.json()["success"] is False
    assert reply.json()["message"] == "end_user_id is required"
