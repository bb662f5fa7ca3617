"""Requests as real clients mangle them, and every failure as one JSON object (contract §1.2 to §1.6)."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.base.errors import CaptureError, Unauthenticated, Unavailable
from app.main import create_app
from app.wire.envelope import failure, install_error_envelope
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.web import Web, running_web

SECRET = "st-very-secret-value"
JSON = {"content-type": "application/json"}
TOKEN = "/capture/session/token"


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The answer's body, which is an error envelope of this status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["success"] is False
    assert isinstance(body["message"], str)
    assert body["message"]
    assert "detail" not in body
    if code:
        assert body["error_code"] == code
    return body


async def test_an_empty_body_that_is_called_json_is_an_empty_object(client: httpx.AsyncClient) -> None:
    answer = await client.post(TOKEN, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["data"]["token"].startswith("st-")
    # Python calls its GETs JSON too.
    assert (await client.get("/collection", headers=JSON)).status_code == 200


async def test_slashes_lose_no_body_and_are_not_redirected(client: httpx.AsyncClient) -> None:
    for path in [
        "//capture/session/token",
        "/capture//session///token",
        TOKEN + "/",
        "//capture/session/token/",
    ]:
        answer = await client.post(f"http://test{path}", json={"expires_in": 77})
        assert answer.status_code == 200
        assert 75 <= answer.json()["data"]["expires_in"] <= 77


async def test_unknown_routes(client: httpx.AsyncClient) -> None:
    for path in ["/nothing", "//nothing//here/", "/collection/default/nothing"]:
        refused(await client.get(f"http://test{path}"), 404, "not_found")


async def test_wrong_methods_say_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.put("/collection/default", json={})
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_what_is_not_json(client: httpx.AsyncClient) -> None:
    for body in [b"{", b"{'a': 1}", b"\xff\xfe", b"nul", b"[" * 100_000]:
        refused(await client.post(TOKEN, content=body, headers=JSON), 400)


async def test_json_that_is_no_object(client: httpx.AsyncClient) -> None:
    for body in [[], "text", 5, [{"expires_in": 5}]]:
        assert refused(await client.post(TOKEN, json=body), 400, "invalid_request")["field"] == "body"
    null = await client.post(TOKEN, content=b"null", headers=JSON)
    assert refused(null, 400, "invalid_request")["field"] == "body"


async def test_nothing_at_all_is_an_empty_object(client: httpx.AsyncClient) -> None:
    assert (await client.post(TOKEN)).status_code == 200


async def test_a_wrong_value_is_named(client: httpx.AsyncClient) -> None:
    for path, body, field in [
        (TOKEN, {"expires_in": "soon"}, "expires_in"),
        (TOKEN, {"expires_in": 1.5}, "expires_in"),
        (TOKEN, {"expires_in": 0}, "expires_in"),
        (TOKEN, {"user_id": 5}, "user_id"),
        ("/collection/default/capture/session", {}, "end_user_id"),
        ("/collection/default/capture/session", {"end_user_id": "u", "metadata": []}, "metadata"),
        ("/collection/default/capture/session", {"end_user_id": "u", "callback_url": "x"}, "callback_url"),
        ("/capture/session/start", {"channels": [{"store": "maybe"}]}, "channels.0.store"),
        ("/capture/session/start", {"session_id": None}, "session_id"),
        ("/compile", [{"video_id": "m-1", "shots": [["a", 1]]}], "0.shots.0.0"),
        ("/compile", {}, "body"),
        ("/compile", [{"video_id": "m-1", "shots": [[0, 1]] * 300}] * 2, "shots"),
        ("/editor", {"timeline": 5}, "timeline"),
    ]:
        said = refused(await client.post(path, json=body), 400, "invalid_request")
        assert said["field"] == field
        assert field.split(".")[-1] in said["message"] or field == "body"


async def test_text_that_cannot_be_stored_is_the_callers_mistake(client: httpx.AsyncClient) -> None:
    for body in [
        {"end_user_id": "nul \0 byte"},
        {"end_user_id": "u", "metadata": {"nul": "\0"}},
        {"end_user_id": "u", "metadata": {"lone surrogate": "\ud800"}},
    ]:
        content = json.dumps(body).encode()
        refused(await client.post("/collection/default/capture/session", content=content, headers=JSON), 400)


async def test_numbers_that_json_does_not_know_are_the_callers_mistake(client: httpx.AsyncClient) -> None:
    content = b'{"end_user_id": "u", "metadata": {"n": NaN}}'
    refused(await client.post("/collection/default/capture/session", content=content, headers=JSON), 400)


async def test_ids_that_cannot_be(client: httpx.AsyncClient) -> None:
    for path in ["/rtstream/rts-%00", "/video/%00", "/collection/%00", "/capture/session/%00"]:
        assert (await client.get(path)).status_code in (400, 404)


async def test_null_is_the_same_as_nothing(client: httpx.AsyncClient) -> None:
    body = {"end_user_id": "u", "callback_url": None, "ws_connection_id": None, "metadata": None}
    answer = await client.post("/collection/default/capture/session", json=body)
    assert answer.status_code == 200
    assert answer.json()["data"]["metadata"] == {}


async def in_chunks(size_bytes: int) -> AsyncIterator[bytes]:
    yield b'{"user_id": "'
    for _ in range(size_bytes // 1000):
        yield b"x" * 1000
    yield b'"}'


async def test_a_body_is_limited_whether_it_says_its_length_or_not(web: Web, tenant: Tenant) -> None:
    settings = web.context.settings.model_copy(update={"max_body_bytes": 10_000})
    async with running_web(settings) as small, small.client(tenant.api_key) as client:
        said = refused(await client.post(TOKEN, json={"user_id": "x" * 10_000}), 413, "too_large")
        assert "10000 bytes" in said["message"]
        refused(await client.post(TOKEN, content=in_chunks(20_000), headers=JSON), 413, "too_large")
        assert (await client.post(TOKEN, content=in_chunks(5000), headers=JSON)).status_code == 200


async def test_a_missing_or_wrong_credential(web: Web) -> None:
    for headers, status in [
        ({}, 401),
        ({"x-access-token": SECRET}, 401),
        ({"authorization": f"Bearer {SECRET}"}, 401),
        ({"authorization": f"Basic {SECRET}"}, 401),
        ({"authorization": "Bearer"}, 401),
    ]:
        async with web.client() as client:
            answer = await client.get("/collection/default", headers=headers)
        refused(answer, status, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert SECRET not in answer.text


async def test_a_key_is_good_in_either_header_and_the_vendors_goes_first(web: Web, tenant: Tenant) -> None:
    async with web.client() as client:
        for headers in (
            {"authorization": f"Bearer {tenant.api_key}"},
            {"authorization": f"bearer  {tenant.api_key} "},
            {"x-access-token": tenant.api_key, "authorization": f"Bearer {SECRET}"},
        ):
            assert (await client.get("/collection/default", headers=headers)).status_code == 200
        headers = {"x-access-token": SECRET, "authorization": f"Bearer {tenant.api_key}"}
        assert (await client.get("/collection/default", headers=headers)).status_code == 401


async def test_refusals_do_not_repeat_what_was_sent(client: httpx.AsyncClient) -> None:
    for body in ({"expires_in": SECRET}, {"user_id": {"a": SECRET}}, [SECRET]):
        assert SECRET not in (await client.post(TOKEN, json=body)).text
    for body in ({"end_user_id": "u", "callback_url": f"ftp://{SECRET}"}, {"end_user_id": [SECRET]}):
        assert SECRET not in (await client.post("/collection/default/capture/session", json=body)).text


@pytest.fixture
async def broken() -> AsyncIterator[httpx.AsyncClient]:
    """An application whose routes fail as ours never should."""
    app = FastAPI()
    install_error_envelope(app)

    @app.get("/bug")
    async def bug() -> None:
        raise LookupError(SECRET)

    @app.get("/away")
    async def away() -> None:
        raise ConnectionRefusedError(SECRET)

    @app.get("/expected")
    async def expected() -> None:
        raise Unavailable("the part does not answer", field="part")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_a_bug_is_an_envelope_without_details(broken: httpx.AsyncClient) -> None:
    answer = await broken.get("/bug")
    refused(answer, 500, "internal_error")
    assert SECRET not in answer.text
    assert "LookupError" not in answer.text


async def test_an_expected_failure_shows_itself(broken: httpx.AsyncClient) -> None:
    said = refused(await broken.get("/expected"), 503, "unavailable")
    assert (said["message"], said["field"]) == ("the part does not answer", "part")


async def test_a_database_that_is_away_is_not_the_callers_fault(web: Web) -> None:
    away = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    settings = web.context.settings.model_copy(update={"database_url": away})
    async with running_web(settings) as cut_off, cut_off.client("sk-any") as client:
        refused(await client.get("/collection/default"), 503, "unavailable")
        assert (await client.get("/healthz")).status_code == 200
        said = refused(await client.get("/readyz"), 503, "not_ready")
        assert "database" in said["message"]


def test_the_envelope_of_an_error() -> None:
    answer = failure(Unauthenticated("no"), {"x-more": "1"})
    assert json.loads(answer.body) == {"success": False, "message": "no", "error_code": "unauthenticated"}
    assert (answer.headers["www-authenticate"], answer.headers["x-more"]) == ("Bearer", "1")
    assert failure(CaptureError("x")).status_code == 500


async def test_doors_that_are_shut_are_not_there(web: Web, tenant: Tenant) -> None:
    settings = web.context.settings.model_copy(update={"doors": ("hub",)})
    async with running_web(settings) as hub_only, hub_only.client(tenant.api_key) as client:
        assert (await client.get("/collection/default/websocket")).status_code == 200
        refused(await client.get("/collection/default"), 404, "not_found")
        assert (await client.get("/healthz")).status_code == 200
    assert create_app(settings).state is not hub_only.app.state
    assert logging.getLogger("httpx").level == logging.WARNING
