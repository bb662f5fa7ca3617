"""No process writes a secret to its log, whatever it logs and however a call ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack, running_stack

BROKER = 9


def used_secrets(stack: RunningStack) -> set[str]:
    """Make typical calls, good and bad; returns every secret that was in one of them or in its answer."""
    secrets = {stack.api_key, "sk-wrong-key-of-a-stranger", "Bearer-secret-of-a-stranger"}
    with stack.client() as client:

        def ask(method: str, path: str, **more: Any) -> Any:
            answer = client.request(method, path, **more)
            return answer.json()["data"] if answer.status_code == 200 else None

        made = ask("POST", "/api_keys", json={"name": "logged"})
        rotated = ask("POST", f"/api_keys/{made['id']}/rotate", json={})
        ask("DELETE", f"/api_keys/{rotated['id']}")
        session = ask("POST", "/collection/default/capture/session", json={"end_user_id": "u"})
        token = ask("POST", "/capture/session/token", json={"session_id": session["session_id"]})
        secrets |= {made["api_key"], rotated["api_key"], token["token"]}
        for name, value in (
            ("x-access-token", "sk-wrong-key-of-a-stranger"),
            ("x-access-token", rotated["api_key"]),
            ("authorization", "Bearer Bearer-secret-of-a-stranger"),
        ):
            assert httpx.get(f"{stack.base_url}/collection", headers={name: value}).status_code == 401
        socket = ask("GET", "/collection/default/websocket")["websocket_url"]
        asyncio.run(open_socket(socket))
        asyncio.run(open_socket(socket + "x"))
        upload = ask("GET", "/collection/default/upload_url")["upload_url"]
        client.post(upload, files={"file": b"not a video"})
        client.post(upload, files={"file": b"again"})
        client.get(upload)
        ask("POST", "/collection/default/upload", json={"url": upload})
        secrets |= {url.rpartition("/")[2] for url in (socket, upload)}
        start = {"session_id": session["session_id"], "channels": [{"channel_id": "mic"}]}
        with stack.client(token["token"]) as desktop:
            started = desktop.post("/capture/session/start", json=start).json()["data"]
            offer = {"content": "v=0", "headers": {"content-type": "application/sdp"}}
            desktop.post(started["channels"][0]["whip_url"], **offer)
        secrets |= {
            channel["rtsp_url"].rpartition("/")[2] for channel in started["channels"] if channel["rtsp_url"]
        }
        shown = ask("GET", f"/collection/default/capture/session/{session['session_id']}")
        live = shown["live_stream_url"]
        secrets |= set(live.split("/")[-2].split(".")[::2])  # the slug, and the signature
        for url in (live, live.replace(".m3u8", ".json"), live[:-20], shown["live_player_url"]):
            client.get(url)
        # What the database refuses, with a secret beside it.
        client.post("/api_keys", json={"name": "\x00" + token["token"]})
        client.post("/collection", content=b'{"name": ' + token["token"].encode())
        ask("DELETE", "/client_tokens", params={"session_id": session["session_id"]})
        client.get("/collection?x=" + "y" * 9000)
    return secrets


async def open_socket(url: str) -> None:
    try:
        async with connect(url, open_timeout=10) as socket:
            json.loads(await asyncio.wait_for(socket.recv(), 10))
    except (WebSocketException, OSError):
        pass  # a wrong ticket


@pytest.mark.slow
def test_no_log_holds_a_secret(servers: Servers, tmp_path: Path) -> None:
    for database_url in cloned_database(servers):
        with running_stack(
            tmp_path / "data", database_url, servers.broker_of(BROKER), CAPTURE_LOG_LEVEL="DEBUG"
        ) as stack:
            secrets = used_secrets(stack)
            secrets.add((stack.data_dir / "secret_key").read_text().strip())
    logs = [*(tmp_path / "data").rglob("*.log"), *tmp_path.glob("*.log")]
    assert {path.stem for path in logs} >= {"web", "relay", "worker"}
    text = "\n".join(path.read_text(errors="replace") for path in logs)
    assert "DEBUG" in text
    assert len(secrets) >= 11
    for secret in secrets:
        assert secret
        assert secret not in text, text[max(text.index(secret) - 300, 0) : text.index(secret)]
