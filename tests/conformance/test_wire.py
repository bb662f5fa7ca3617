"""Checks 43, 44 and 45: slashes, errors and deletions on the wire."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.base.settings import Settings
from tests.fixtures.captures import Capture, Script, capture, write_screen, write_sound
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver

MAX_BODY_BYTES: int = Settings.model_fields["max_body_bytes"].default
# The paths that the vendor's OpenAPI spells with a slash at the end (contract §1.5).
SLASHED = [
    *(f"/collection/{{collection}}/search{rest}/" for rest in ("", "/title", "/web")),
    *(f"/collection/{{collection}}/generate/{kind}/" for kind in ("image", "video", "audio", "text")),
    "/video/",
    *(f"/video/{{video}}/{name}/" for name in ("storage", "stream", "thumbnail", "thumbnails")),
    *(f"/video/{{video}}/{name}/" for name in ("transcription", "index", "index/scene", "search")),
    *(f"/video/{{video}}/{name}/" for name in ("scenes", "scenes/s-1", "workflow")),
    *(f"/video/{{video}}/{name}/describe/" for name in ("scene/s-1", "frame/f-1")),
    *("/audio/", "/audio/{audio}/transcription/", "/image/", "/compile/"),
    *(f"/rtstream/{rest}" for rest in ("", "{stream}/", "{stream}/status/", "{stream}/transcription/")),
]
# Where a POST is served: a body with one wrong field, so that a lost body shows.
REFUSED: Mapping[str, Any] = {
    "/collection/{collection}/search/title/": {"query": 1},
    "/video/{video}/index/": {"language_code": 1},
    "/video/{video}/index/scene/": {"prompt": 1},
    "/video/{video}/scenes/": {"extraction_type": 1},
    "/video/{video}/workflow/": {"type": 1},
    "/video/{video}/transcription/": {"language_code": 1},
    "/video/{video}/scene/s-1/describe/": {"prompt": 1},
    "/video/{video}/frame/f-1/describe/": {"prompt": 1},
    "/audio/{audio}/transcription/": {"language_code": 1},
    "/video/{video}/search/": {"top_k": "all"},
    "/video/{video}/stream/": {"timeline": "all of it"},
    "/compile/": [{"video_id": "m-1", "shots": "all of it"}],
    "/rtstream/{stream}/transcription/": {"engine": 1},
}


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


def test_check_43_the_list_of_paths_is_complete() -> None:
    assert len(SLASHED) == len(set(SLASHED)) == 29


@pytest.mark.parametrize("path", SLASHED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_check_43_a_trailing_slash_changes_nothing(
    stack: RunningStack, named: dict[str, str], method: str, path: str
) -> None:
    asked = path.format(**named)
    body = REFUSED.get(path, {}) if method == "POST" else None
    with stack.client() as client:
        bare, *others = (
            client.request(method, f"{stack.base_url}{url}", json=body)
            for url in (asked.removesuffix("/"), asked, f"/{asked}")
        )
    assert not 300 <= bare.status_code < 400
    for reply in others:
        assert (reply.status_code, reply.json()) == (bare.status_code, bare.json())


@pytest.mark.parametrize("path", REFUSED)
def test_check_43_a_trailing_slash_keeps_the_body(
    stack: RunningStack, named: dict[str, str], path: str
) -> None:
    wrong = REFUSED[path]
    with stack.client() as client:
        reply = client.post(path.format(**named), json=wrong)
    assert reply.status_code == 400
    last_field = list(wrong[0] if isinstance(wrong, list) else wrong)[-1]
    assert last_field in reply.json()["field"]


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
        ("POST", "/collection/default/capture/session", b" " * (MAX_BODY_BYTES + 1), 413),
        ("POST", "/compile", [b" " * MAX_BODY_BYTES, b" "], 413),
    ],
)
def test_check_44_every_failure_is_the_error_envelope(
    stack: RunningStack, method: str, path: str, content: bytes | list[bytes], status: int
) -> None:
    with stack.client() as client:
        reply = client.request(method, path, content=content, headers={"content-type": "application/json"})
    body = reply.json()
    assert reply.status_code == status
    assert isinstance(body, dict)
    assert body["success"] is False
    assert isinstance(body["message"], str)
    assert body["message"]


def test_check_45_deleted_media_is_answered_with_objects(
    pythons: dict[str, Sdk], stack: RunningStack, webhooks: WebhookReceiver, tmp_path: Path
) -> None:
    newest = pythons[NEWEST]
    collection_id = newest.run("emit(conn.create_collection('Gone', 'soon').id)")
    files = {
        "mic:default": write_sound(tmp_path / "mic.wav", [1.5]),
        "display:1": write_screen(tmp_path / "screen.mp4", "display:1", 1.5),
    }
    script = Script(files, longest="display:1", stored=list(files))
    done = capture(newest, webhooks, script, collection_id, {})
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{done.session_id}").json()["data"]
        raw = {row["channel_id"]: row["exported_asset_id"] for row in shown["rtstreams"]}
        paths = [f"/video/{shown['exported_video_id']}", f"/video/{raw['screen']}", f"/audio/{raw['mic']}"]
        for path in paths:
            reply = client.delete(path, params={"collection_id": collection_id})
            assert reply.status_code == 200
            assert reply.json()["success"] is True
            assert isinstance(reply.json()["data"], dict)
        assert [client.get(path).status_code for path in paths] == [404, 404, 404]
        left = client.get(f"/collection/default/capture/session/{done.session_id}").json()["data"]
        again = client.post(f"/rtstream/{left['rtstreams'][0]['id']}/export", json={})
    assert left["exported_video_id"] is None
    assert [row["exported_asset_id"] for row in left["rtstreams"]] == [None, None, None]
    assert again.status_code == 400


def test_check_45_python_deletes_a_collection(py: Sdk) -> None:
    deleted, left = py.run(
        """
        made = conn.create_collection("Brief", "to be deleted")
        made.delete()
        emit([made.id, [found.id for found in conn.get_collections()]])
        """
    )
    assert deleted not in left


def test_check_45_a_deleted_collection_is_answered_with_an_object(stack: RunningStack) -> None:
    with stack.client() as client:
        made = client.post("/collection", json={"name": "Brief"}).json()["data"]
        reply = client.delete(f"/collection/{made['id']}")
    assert reply.status_code == 200
    assert reply.json()["success"] is True
    assert isinstance(reply.json()["data"], dict)
