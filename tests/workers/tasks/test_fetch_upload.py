"""Uploads by URL, from a real HTTP server: what is fetched, and how each failure is said."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

from app.base.ids import new_id, utc_now
from app.domain.assets.models import Asset
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation
from app.domain.uploads.models import Upload
from app.process import Context
from app.storage.keys import upload_key
from tests.fixtures.deliveries import publish_events, running_sender
from tests.fixtures.factories import Tenant, jobs_of, make_tenant
from tests.fixtures.webhooks import WebhookReceiver
from workers.tasks.run_operation import run_operation
from workers.tasks.tidy_operation import tidy_operation

MAX_BYTES = 100_000
Answer = Callable[[BaseHTTPRequestHandler], None]


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(data, "PNG")
    return data.getvalue()


def sent(
    body: bytes, *, status: int = 200, media_type: str = "application/octet-stream", **headers: str
) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", media_type)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def trickled(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    for _ in range(100):
        try:
            request.wfile.write(b"x")
        except OSError:
            return
        time.sleep(0.05)


class Elsewhere:
    """A server on loopback; `answers` says what is where, `asked` counts."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                elsewhere.asked.append(self.path)
                elsewhere.answers[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.close()


@pytest.fixture
async def near(context: Context) -> Context:
    """A context that may reach loopback's first address, and takes small files."""
    changed = {"allowed_networks": ("127.0.0.1/32",), "max_upload_bytes": MAX_BYTES, "fetch_seconds": 5}
    settings = context.settings.model_validate(context.settings.model_dump() | changed)
    return replace(context, settings=settings)


async def requested(context: Context, tenant: Tenant, url: str, **more: Any) -> str:
    request = {
        "upload_id": new_id("up"),
        "collection_id": tenant.collection_id,
        "name": "picture",
        "description": "",
        "media_type": None,
        "url": url,
        **more,
    }
    kind = OperationKind.IMPORT_UPLOAD
    async with context.db.transaction() as session:
        subject = f"upload:{request['upload_id']}"
        return (await request_operation(session, tenant.account_id, kind, subject, request)).id


async def run(context: Context, operation_id: str) -> Operation:
    await run_operation(context, operation_id)
    async with context.db.transaction() as session:
        return await session.get_one(Operation, operation_id)


async def make_due(context: Context) -> None:
    async with context.db.transaction() as session:
        past = utc_now() - timedelta(seconds=1)
        await session.execute(update(Operation).values(leased_until=past))


async def uploads(context: Context) -> list[str]:
    async with context.db.transaction() as session:
        return list(await session.scalars(select(Upload.id)))


async def test_a_file_from_elsewhere_becomes_an_asset(near: Context, elsewhere: Elsewhere) -> None:
    tenant = await make_tenant(near)
    there = elsewhere.url("/there.png", sent(png()))
    moved = elsewhere.url("/moved", sent(b"", status=302, Location=there))
    done = await run(near, await requested(near, tenant, moved))
    assert (done.status, done.error) == ("done", None)
    assert done.result is not None
    async with near.db.transaction() as session:
        asset = await session.get_one(Asset, done.result["asset_id"])
    assert (asset.kind, asset.name, asset.width, asset.height) == ("image", "picture", 40, 30)
    assert await near.storage.size_bytes(asset.storage_key) == len(png())
    assert await near.storage.list_keys(f"{tenant.account_id}/uploads/") == []
    assert await uploads(near) == []


MAGIC = b"#EXTM3U\n#EXT-X-VERSION:7\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sent(b"no", status=404), "url: its server answered 404"),
        (sent(b"<p>hello", media_type="text/html; charset=utf-8"), "url: this is a web page"),
        (sent(b"\n<!DOCTYPE html><title>x"), "url: this is a web page"),
        (sent(MAGIC), "url: this is a playlist of a stream"),
        (sent(b"x", media_type="application/x-mpegURL"), "url: this is a playlist of a stream"),
        (sent(b"no media at all"), "the file is no video, audio or image"),
        (sent(b""), "url: the file is empty"),
        (sent(b"x" * (MAX_BYTES + 1)), f"url: the file may have at most {MAX_BYTES} bytes"),
        (sent(b"x" * (MAX_BYTES + 1), Content_Length=""), f"url: the file may have at most {MAX_BYTES}"),
        (sent(b"x", Content_Encoding="gzip"), "url: its server sends the file compressed"),
        (sent(b"", status=302, Location="http://127.0.0.2/x.png"), "the URL leads to an address"),
        (sent(b"", status=302, Location="http://10.0.0.1/x.png"), "the URL leads to an address"),
        (sent(b"", status=302, Location="file:///etc/passwd"), "url: leads to no http or https address"),
        (sent(b"", status=302, Location="/file"), "url: leads to no http or https address"),
    ],
)
async def test_what_cannot_be_fetched_is_said_at_once(
    answer: Answer, said: str, near: Context, elsewhere: Elsewhere
) -> None:
    tenant = await make_tenant(near)
    operation_id = await requested(near, tenant, elsewhere.url("/file", answer))
    failed = await run(near, operation_id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.startswith(said)
    assert await jobs_of(near, "tidy_operation") == [operation_id]
    await tidy_operation(near, operation_id)
    assert await near.storage.list_keys(f"{tenant.account_id}/") == []
    assert await uploads(near) == []


async def test_nobody_there_and_an_address_that_is_refused(near: Context, elsewhere: Elsewhere) -> None:
    tenant = await make_tenant(near)
    elsewhere.close()
    gone = await run(near, await requested(near, tenant, f"http://127.0.0.1:{elsewhere.port}/x.png"))
    assert (gone.status, gone.error) == ("failed", "url: its server cannot be reached")
    refused = await run(near, await requested(near, tenant, "http://127.0.0.2/x.png"))
    assert refused.status == "failed"
    assert "does not connect to" in (refused.error or "")


async def test_a_file_that_takes_too_long_is_given_up(near: Context, elsewhere: Elsewhere) -> None:
    hasty = replace(near, settings=near.settings.model_copy(update={"fetch_seconds": 0.3}))
    operation_id = await requested(hasty, await make_tenant(hasty), elsewhere.url("/slow", trickled))
    failed = await run(hasty, operation_id)
    assert (failed.status, failed.error) == ("failed", "url: the file did not come in within 0.3 s")


@pytest.mark.parametrize("first", [sent(b"", status=503), sent(png()[:50], Content_Length=str(len(png())))])
async def test_a_busy_server_and_a_broken_transfer_are_tried_again(
    first: Answer, near: Context, elsewhere: Elsewhere
) -> None:
    url = elsewhere.url("/p.png", first)
    operation_id = await requested(near, await make_tenant(near), url)
    assert (await run(near, operation_id)).status == "pending"
    elsewhere.url("/p.png", sent(png()))
    await make_due(near)
    assert (await run(near, operation_id)).status == "done"
    assert elsewhere.asked == ["/p.png", "/p.png"]


async def test_what_a_worker_fetched_before_it_died_is_not_fetched_again(
    near: Context, elsewhere: Elsewhere
) -> None:
    tenant = await make_tenant(near)
    operation_id = await requested(near, tenant, elsewhere.url("/p.png", sent(b"other")), upload_id="up-1")
    await near.storage.put_bytes(upload_key(tenant.account_id, "up-1"), png())
    assert (await run(near, operation_id)).status == "done"
    assert elsewhere.asked == []


@pytest.mark.parametrize(("body", "success"), [(png(), True), (b"no media", False)])
async def test_the_callback_hears_how_it_ended(
    body: bytes, success: bool, near: Context, elsewhere: Elsewhere, webhooks: WebhookReceiver
) -> None:
    url = elsewhere.url("/p.png", sent(body))
    operation_id = await requested(near, await make_tenant(near), url, callback_url=webhooks.url)
    ended = await run(near, operation_id)
    await publish_events(near)
    async with running_sender(near) as sender:
        await sender.settle()
    (received,) = webhooks.received
    told = received.body
    assert (told["success"], told["operation_id"]) == (success, operation_id)
    if success:
        assert ended.result is not None
        assert told["data"]["id"] == ended.result["asset_id"]
        assert told["data"]["name"] == "picture"
    else:
        assert told["message"] == ended.error
