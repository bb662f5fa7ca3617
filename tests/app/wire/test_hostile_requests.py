"""Requests that no client would send: each is answered with a clear refusal, and none breaks anything."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.app.api.test_access import Owned, owned, owner, routes
from tests.fixtures.factories import Tenant
from tests.fixtures.offers import AUDIO_OFFER
from tests.fixtures.web import Web

__all__ = ["owned", "owner"]

QUICK = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
# Names that our own bodies have, with values of any kind.
KNOWN_NAMES = st.sampled_from(
    [
        "name",
        "scopes",
        "session_id",
        "channels",
        "channel_id",
        "expires_in",
        "user_id",
        "end_user_id",
        "metadata",
        "callback_url",
        "query",
        "top_k",
        "timeline",
        "video_id",
        "shots",
        "url",
        "action",
        "start",
        "end",
        "time",
        "retention_days",
        "grace_seconds",
        "index_type",
        "store",
        "type",
    ]
)
BODIES = st.dictionaries(KNOWN_NAMES, JSON_VALUES, max_size=6) | JSON_VALUES
HEADER_VALUES = st.binary(max_size=60).filter(lambda value: not set(value) & {0, 10, 13})


@pytest.fixture
async def client(
    web: Web, owner: Tenant, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr("app.api.operations.HOLD_SECONDS", 0.0)
    async with web.client(owner.api_key) as opened:
        yield opened


def is_clear(answer: httpx.Response) -> bool:
    """Whether it is a success, or a refusal that says why."""
    if answer.status_code < 400:
        return True
    body = answer.json()
    return answer.status_code < 500 and body["success"] is False and bool(body["message"])


async def writing_routes(web: Web) -> list[tuple[str, str]]:
    kept_out = ("/api_keys/{key_id}", "/whip")
    return [
        (method, path) for method, path in routes(web) if method != "get" and not path.startswith(kept_out)
    ]


@QUICK
@given(body=BODIES, data=st.data())
async def test_any_json(
    web: Web, client: httpx.AsyncClient, owned: Owned, body: Any, data: st.DataObject
) -> None:
    method, path = data.draw(st.sampled_from(await writing_routes(web)))
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    filled = path
    for name, value in owned.path_ids.items():
        filled = filled.replace("{" + name + "}", value).replace("{" + name + ":path}", value)
    answer = await client.request(method, filled, content=text, headers={"content-type": "application/json"})
    assert is_clear(answer), (method, path, body, answer.text)


@QUICK
@given(body=st.binary(max_size=300), kind=st.sampled_from(["application/json", "text/plain", "x", ""]))
async def test_bytes_that_are_no_json(client: httpx.AsyncClient, body: bytes, kind: str) -> None:
    answer = await client.post("/collection", content=body, headers={"content-type": kind})
    assert is_clear(answer), answer.text


# Starlette leaves the temporary file of a form that breaks off to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@QUICK
@given(
    body=st.binary(max_size=300),
    boundary=st.text("abc-_'\"; =", max_size=10),
    name=st.sampled_from([b"file", b"fil", b"", b"file[]"]),
    ending=st.sampled_from([b"", b"--", b"\r\n", b"--\r\n"]),
)
async def test_any_form(
    client: httpx.AsyncClient, body: bytes, boundary: str, name: bytes, ending: bytes
) -> None:
    url = (await client.get("/collection/default/upload_url")).json()["data"]["upload_url"]
    line = boundary.encode()
    head = b'content-disposition: form-data; name="' + name + b'"; filename="x"'
    form = b"--" + line + b"\r\n" + head + b"\r\n\r\n" + body + b"\r\n--" + line + ending
    kind = f"multipart/form-data; boundary={boundary}"
    answer = await client.post(httpx.URL(url).path, content=form, headers={"content-type": kind})
    assert is_clear(answer), answer.text


@QUICK
@given(
    name=st.sampled_from(
        [
            "x-access-token",
            "authorization",
            "content-type",
            "content-length",
            "range",
            "if-match",
            "origin",
            "accept",
            "host",
        ]
    ),
    value=HEADER_VALUES,
    path=st.sampled_from(
        ["/collection", "/", "/media/none/0.mp4", "/file/none/x", "/collection/default/websocket"]
    ),
)
async def test_any_header(client: httpx.AsyncClient, name: str, value: bytes, path: str) -> None:
    answer = await client.get(path, headers=[(name.encode(), value)])
    assert is_clear(answer), answer.text


@QUICK
@given(
    lines=st.lists(st.integers(0, AUDIO_OFFER.count("\n") - 1), max_size=4),
    words=st.text(max_size=40) | st.from_regex(r"[amcvo]=[a-z0-9: /-]{0,30}", fullmatch=True),
)
async def test_any_offer(client: httpx.AsyncClient, owned: Owned, lines: list[int], words: str) -> None:
    offer = AUDIO_OFFER.splitlines()
    for number in lines:
        offer[number] = words
    path = f"/whip/{owned.path_ids['stream_id']}"
    answer = await client.post(
        path,
        content="\r\n".join(offer).encode("utf-8", "surrogatepass"),
        headers={"content-type": "application/sdp"},
    )
    assert is_clear(answer), answer.text
    if answer.status_code == 201:
        assert (await client.delete(answer.headers["location"])).status_code == 200


@QUICK
@given(path=st.text(max_size=60))
async def test_any_path(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get("/" + quote(path.encode("utf-8", "surrogatepass")))
    assert is_clear(answer), answer.text
