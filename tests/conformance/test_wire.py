"""Checks 43, 44 and 45: slashes, errors and deletions on the wire."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.fixtures.captures import Capture, Script, capture, write_screen, write_sound
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver

# The paths that the vendor's OpenAPI spells with a slash at the end (contract §1.5).
SLASHED = [
    *(f"/collection/{{collection}}/search{rest}/" for rest in ("", "/title", "/web")),
    *(f"/collection/{{collection}}/generate/{kind}/" for kind in ("image", "video", "audio", "text")),
    "/video/",
    *(
        f"/video/{{video}}/{name}/"
        for name in ("storage", "stream", "thumbnail", "thumbnails", "transcription")
    ),
    *(f"/video/{{video}}/{name}/" for name in ("index", "index/scene", "search", "scenes", "scenes/s-1")),
    *(f"/video/{{video}}/{name}/describe/" for name in ("scene/s-1", "frame/f-1")),
    "/video/{video}/workflow/",
    "/audio/",
    "/audio/{audio}/transcription/",
    "/image/",
    "/compile/",
    *(f"/rtstream/{rest}" for rest in ("", "{stream}/", "{stream}/status/", "{stream}/transcription/")),
]
# A body per path that is answered differently from an empty one, so that a lost body shows.
BODIES: Mapping[str, Any] = {
    "/video/{video}/index/": {"index_type": "scene"},
    "/video/{video}/search/": {"query": "wisdom"},
    "/video/{video}/stream/": {"timeline": [[0, 1]], "length": "2"},
    "/compile/": [{"video_id": "m-unknown", "collection_id": "default", "shots": [[0, 1]]}],
    "/rtstream/{stream}/transcription/": {"action": "dance"},
}
SERVED = set(BODIES)


@pytest.fixture
def named(meeting: Capture, stack: RunningStack) -> dict[str, str]:
    """What the paths are filled with."""
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{meeting.session_id}").json()["data"]
    mic = next(row for row in shown["rtstreams"] if row["channel_id"] == "mic")
    return {
        "collection": meeting.collection_id,
        "video": shown["exported_video_id"],
        "audio": mic["exported_asset_id"],
        "stream": mic["id"],
    }


def comparable(reply: httpx.Response) -> tuple[int, Any]:
    """Status and body, new links aside."""
    body = reply.json()
    if isinstance(body.get("data"), dict) and "stream_url" in body["data"]:
        body["data"] = sorted(body["data"])
    return reply.status_code, body


def test_check_43_the_list_of_paths_is_complete() -> None:
    assert len(SLASHED) == len(set(SLASHED)) == 29


@pytest.mark.parametrize("path", SLASHED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_check_43_a_trailing_slash_changes_nothing(
    stack: RunningStack, named: dict[str, str], method: str, path: str
) -> None:
    asked = path.format(**named)
    body = BODIES.get(path, {}) if method == "POST" else None
    with stack.client() as client:
        bare, slashed, doubled = (
            client.request(method, url, json=body)
            for url in (asked.removesuffix("/"), asked, f"/{asked.replace('/', '//', 1)}")
        )
        emptied = client.request(method, asked, json=[] if isinstance(body, list) else {})
    assert not 300 <= slashed.status_code < 400
    assert comparable(slashed) == comparable(bare) == comparable(doubled)
    if method == "POST" and path in SERVED:
        assert slashed.status_code != 404 or path == "/compile/"
        assert comparable(slashed) != comparable(emptied) or path == "/video/{video}/stream/"


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/no/such/route", b"", 404),
        ("POST", "/no/such/route", b"{}", 404),
        ("DELETE", "/compile", b"", 405),
        ("PUT", "/collection/default", b"{}", 405),
        ("POST", "/collection/default/capture/session", b'{"end_user_id": ', 400),
        ("POST", "/collection/default/capture/session", b"[1, 2]", 400),
        ("POST", "/compile", b'{"inputs": []}', 400),
        ("POST", "/collection/default/capture/session", b" " * (64 * 1024 * 1024), 413),
    ],
)
def test_check_44_every_failure_is_the_error_envelope(
    stack: RunningStack, method: str, path: str, content: bytes, status: int
) -> None:
    with stack.client() as client:
        reply = client.request(method, path, content=content, headers={"content-type": "application/json"})
    body = reply.json()
    assert reply.status_code == status
    assert isinstance(body, dict)
    assert body["success"] is False
    assert isinstance(body["message"], str)
    assert body["message"]


def test_check_45_deletions_are_answered_with_objects(
    pythons: dict[str, Sdk],
    stack: RunningStack,
    webhooks: WebhookReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("deleted")
    newest = pythons[NEWEST]
    collection_id = newest.run("emit(conn.create_collection('Gone', 'soon').id)")
    files = {
        "mic:default": write_sound(folder / "mic.wav", [1.5]),
        "display:1": write_screen(folder / "screen.mp4", "display:1", 1.5),
    }
    done = capture(
        newest, webhooks, Script(files, longest="display:1", stored=list(files)), collection_id, {}
    )
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{done.session_id}").json()["data"]
        raw = {row["channel_id"]: row["exported_asset_id"] for row in shown["rtstreams"]}
        replies = [
            client.delete(f"/video/{shown['exported_video_id']}"),
            client.delete(f"/video/{raw['screen']}", params={"collection_id": collection_id}),
            client.delete(f"/audio/{raw['mic']}"),
        ]
        for reply in replies:
            assert reply.status_code == 200
            assert reply.json()["success"] is True
            assert isinstance(reply.json()["data"], dict)
        assert client.get(f"/video/{shown['exported_video_id']}").status_code == 404


def test_check_45_both_pythons_delete_a_collection(py: Sdk) -> None:
    names = py.run(
        """
        made = conn.create_collection("Brief", "to be deleted")
        made.delete()
        emit([found.id for found in conn.get_collections()] + [made.id])
        """
    )
    assert names[-1] not in names[:-1]
