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


def test_check_47_collections_in_python(py: Sdk) -> None:
    seen = py.run(
        """
        made = conn.create_collection("Weekly", "what was shown")
        changed = conn.update_collection(made.id, "Monthly", "what was said")
        changed.make_public()
        listed = {one.id: [one.name, one.description, one.is_public] for one in conn.get_collections()}
        conn.get_collection(made.id).delete()
        left = [one.id for one in conn.get_collections()]
        emit([listed[made.id], made.id in left])
        """
    )
    assert seen == [["Monthly", "what was said", True], False]


def test_check_47_collections_in_node(node: Sdk) -> None:
    seen = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const made = await conn.createCollection('Weekly', 'what was shown');
        await conn.updateCollection(made.id, 'Monthly', 'what was said');
        await (await conn.getCollection(made.id)).makePublic();
        const found = (await conn.getCollections()).find(one => one.id === made.id);
        emit([found.name, found.description, found.isPublic]);
        """
    )
    assert seen == ["Monthly", "what was said", True]


def test_check_48_sessions_are_listed(py: Sdk, node: Sdk, stack: RunningStack) -> None:
    made, listed, exported = py.run(
        """
        collection = conn.create_collection("Listed", "sessions to list")
        made = [collection.create_capture_session(end_user_id=f"user-{n}").id for n in range(3)]
        listed = [session.id for session in collection.list_capture_sessions(status="created")]
        emit([[collection.id, made], listed, len(collection.list_capture_sessions(status="exported"))])
        """
    )
    collection_id, session_ids = made
    assert sorted(listed) == sorted(session_ids)
    assert exported == 0
    by_user, of_collection, limited = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const ids = sessions => sessions.map(session => session.id);
        const collection = await conn.getCollection(id);
        emit([
          ids(await conn.listCaptureSessions(id, { endUserId: 'user-1' })),
          ids(await collection.listCaptureSessions({ status: 'created' })),
          ids(await conn.listCaptureSessions(id, { limit: 2 })),
        ]);
        """,
        id=collection_id,
    )
    assert by_user == session_ids[1:2]
    assert sorted(of_collection) == sorted(session_ids)
    paged: list[str] = []
    cursor = None
    with stack.client() as client:
        while cursor or not paged:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"/collection/{collection_id}/capture/session", params=params).json()["data"]
            paged += [row["id"] for row in page["sessions"]]
            cursor = page["next_page"]
    assert paged[:2] == limited
    assert sorted(paged) == sorted(session_ids)
