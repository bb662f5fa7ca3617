"""Limits on what comes in, and the headers of what goes out."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.base.settings import Settings
from app.embedded.stack import web_argv
from app.wire.normalise import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URL_BYTES
from tests.fixtures.eventually import eventually
from tests.fixtures.web import Web, running_web

SITE = "https://app.example.com"


@pytest.fixture
async def client(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client() as opened:
        yield opened


@pytest.mark.parametrize("path", ["/healthz", "/collection", "/nowhere", "/", "/media/none/stream.m3u8"])
async def test_every_answer_tells_browsers_to_be_careful(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers


async def test_only_the_embedded_player_may_be_framed(client: httpx.AsyncClient) -> None:
    for path, is_framed in (("/embed", True), ("/watch", False), ("/", False)):
        headers = (await client.get(path)).headers
        assert ("frame-ancestors" not in headers["content-security-policy"]) is is_framed
        assert "x-frame-options" not in headers


async def test_what_is_private_is_kept_by_no_cache(client: httpx.AsyncClient) -> None:
    assert (await client.get("/collection")).headers["cache-control"] == "no-store"


async def test_behind_https_browsers_stay_there(settings: Settings) -> None:
    public = settings.model_copy(update={"public_url": "https://capture.example.com"})
    async with running_web(public) as web, web.client() as client:
        assert "max-age" in (await client.get("/healthz")).headers["strict-transport-security"]


async def test_no_site_may_call_the_api_unless_a_setting_says_so(web: Web, settings: Settings) -> None:
    preflight = {"origin": SITE, "access-control-request-method": "POST"}
    async with web.client() as client:
        answer = await client.options("/collection", headers=preflight)
        assert "access-control-allow-origin" not in answer.headers
    async with (
        running_web(settings.model_copy(update={"cors_origins": (SITE,)})) as opened,
        opened.client() as client,
    ):
        wanted = preflight | {"access-control-request-headers": "x-access-token, content-type"}
        answer = await client.options("/collection", headers=wanted)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
        answer = await client.get("/collection", headers={"origin": SITE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, SITE)
        assert "access-control-allow-credentials" not in answer.headers
        answer = await client.options("/collection", headers=preflight | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        # What is open to every site stays so.
        for path in ("/media/none/stream.m3u8", "/whip/rts-none"):
            answer = await client.options(path, headers=preflight)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"url": "/healthz", "headers": {"x-long": "x" * MAX_HEADER_BYTES}}, 431),
        ({"url": "/healthz", "headers": {f"x-{number}": "1" for number in range(MAX_HEADERS)}}, 431),
        ({"url": "/" + "x" * MAX_URL_BYTES}, 414),
        ({"url": "/healthz", "params": {"x": "x" * MAX_URL_BYTES}}, 414),
        ({"url": "/healthz", "headers": {"x-long": "x" * (MAX_HEADER_BYTES // 2)}}, 200),
    ],
)
async def test_heads_of_requests_are_limited(
    client: httpx.AsyncClient, request_: dict[str, object], status: int
) -> None:
    answer = await client.request("GET", **request_)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.json()["success"] is (status == 200)


def test_the_server_itself_reads_no_endless_head(settings: Settings) -> None:
    argv = web_argv(settings)
    assert argv[argv.index("--http") + 1] == "h11"
    assert int(argv[argv.index("--h11-max-incomplete-event-size") + 1]) > MAX_HEADER_BYTES


async def test_an_endless_header_is_cut_off(settings: Settings) -> None:
    import uvicorn

    async def application(scope: object, receive: object, send: object) -> None:
        raise AssertionError("nothing of it should have come here")

    limit = int(web_argv(settings)[web_argv(settings).index("--h11-max-incomplete-event-size") + 1])
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            port=0,
            http="h11",
            h11_max_incomplete_event_size=limit,
            log_config=None,
            lifespan="off",
        )
    )
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        await eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (limit + 100_000))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        server.should_exit = True
        await serving
