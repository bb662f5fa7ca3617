"""Who may do what: every route of the application, without a credential, with a token, and as a stranger."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.base.db import Base
from app.base.ids import new_id
from app.domain.accounts.models import ApiKey, ClientToken
from app.domain.indexes.models import ScreenFrame
from app.domain.operations.service import OperationKind, request_operation
from app.domain.scenes.models import Scene, SceneCollection
from app.domain.streams.models import Stream
from app.domain.understanding.analyzers import read_analyzers
from app.domain.understanding.service import understand_stream
from app.domain.webhooks.endpoints import create_endpoint
from app.domain.webhooks.models import WebhookDelivery
from app.process import Context
from tests.fixtures.deliveries import publish_events
from tests.fixtures.factories import (
    Tenant,
    add_segment_row,
    make_active,
    make_asset,
    make_stopped,
    make_tenant,
)
from tests.fixtures.indexing import make_alert, make_index
from tests.fixtures.web import Web

# All that a desktop client's token is good for (contract §2.6); everything else wants the API key.
TOKEN_ROUTES = {
    ("post", "/capture/session/start"),
    ("get", "/capture/session/{session_id}"),
    ("post", "/capture/session/{session_id}/stop"),
    ("get", "/collection/{collection_id}/websocket"),
    ("post", "/whip/{endpoint_id}"),
    ("delete", "/whip/{endpoint_id}/{resource}"),
    ("patch", "/whip/{endpoint_id}/{resource}"),
}
# What people look at with a link alone, and the probes.
TICKET_ROUTES = r"file/.*|upload/.*|downloads/.*"
PUBLIC = re.compile(
    rf"/(healthz|readyz|openapi.json|watch|embed|media/.*|transcript/.*|static/.*|favicon.*|{TICKET_ROUTES})?"
)
STARTABLE: dict[str, Any] = {"channels": [{"channel_id": "mic"}]}


class Owned:
    """What account A has, and how each route asks for it."""

    def __init__(self, tenant: Tenant, path_ids: dict[str, str]) -> None:
        self.path_ids = path_ids
        session_id, asset_id = path_ids["session_id"], path_ids["video_id"]
        timeline = {
            "tracks": [{"clips": [{"clip": {"asset": {"type": "video", "id": asset_id}, "duration": 1}}]}]
        }
        self.queries: dict[tuple[str, str], dict[str, Any]] = {
            ("get", "/rtstream/{stream_id}/stream"): {"start": 0, "end": 1},
            ("get", "/client_tokens"): {"session_id": session_id},
            ("delete", "/client_tokens"): {"session_id": session_id},
            ("get", "/video"): {"collection_id": tenant.collection_id},
            ("get", "/audio"): {"collection_id": tenant.collection_id},
            ("get", "/image"): {"collection_id": tenant.collection_id},
        }
        self.bodies: dict[tuple[str, str], Any] = {
            ("post", "/capture/session/start"): STARTABLE | {"session_id": session_id},
            ("post", "/capture/session/token"): {"session_id": session_id},
            ("post", "/collection/{collection_id}/capture/session"): {"end_user_id": "u"},
            ("post", "/collection/{collection_id}/upload"): {"url": "http://test/upload/none"},
            ("post", "/rtstream/{stream_id}/transcription"): {"action": "start"},
            ("post", "/rtstream/{stream_id}/search"): {"query": "x"},
            ("post", "/rtstream/event"): {"event_prompt": "x", "label": "y"},
            ("post", "/rtstream/{stream_id}/index/scene"): {"extraction_type": "transcript"},
            ("patch", "/rtstream/{stream_id}/index/scene/{index_id}"): {"prompt": "x"},
            ("patch", "/rtstream/{stream_id}/index/scene/{index_id}/status"): {"action": "stop"},
            ("patch", "/rtstream/{stream_id}/index/spoken/{index_id}/status"): {"action": "stop"},
            ("patch", "/rtstream/{stream_id}/index/{index_id}/alert/{alert_id}/status"): {
                "action": "disable"
            },
            ("patch", "/rtstream/{stream_id}/status"): {"action": "start"},
            ("patch", "/rtstream/{stream_id}"): {"name": "renamed by a stranger"},
            ("post", "/rtstream"): {
                "collection_id": tenant.collection_id,
                "url": "rtsp://camera.example/x",
                "name": "made by a stranger",
            },
            ("post", "/rtstream/collection/{collection_id}/search"): {"query": "x"},
            ("post", "/collection/{collection_id}/search"): {"query": "x"},
            ("post", "/collection/{collection_id}/search/v2"): {"query": "x"},
            ("post", "/video/{video_id}/search"): {"query": "x"},
            ("post", "/video/{video_id}/search/v2"): {"query": "x"},
            ("post", "/collection/{collection_id}/search/title"): {"query": "x"},
            ("post", "/video/{video_id}/clip"): {"prompt": "x"},
            ("post", "/video/{video_id}/workflow"): {"type": "add_subtitles"},
            ("post", "/compile"): [{"video_id": asset_id, "shots": [[0, 1]]}],
            ("post", "/editor"): {"timeline": timeline},
            ("post", "/timeline"): {"timeline": [{"asset_id": asset_id}]},
        }

    async def call(self, client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
        filled = re.sub(r"\{(\w+)(:path)?\}", lambda found: self.path_ids[found[1]], path)
        if path == "/whip/{endpoint_id}" and method == "post":
            return await client.post(filled, content="v=0", headers={"content-type": "application/sdp"})
        body = self.bodies.get((method, path), {})
        query = self.queries.get((method, path))
        return await client.request(method, filled, params=query, json=None if method == "get" else body)

    def is_named_in(self, method: str, path: str) -> bool:
        """Whether the request names something of A's."""
        return "{" in path or (method, path) in {*self.queries, *self.bodies} - {("post", "/rtstream/event")}


@pytest.fixture
async def owner(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def owned(web: Web, owner: Tenant) -> Owned:
    """One of everything that a route can name; a route with an id of a new kind has to be given one here."""
    session_id, streams = await make_active(web.context, owner, end_user_id="ada")
    stream_id = streams["mic:default"]
    index_id = await make_index(web.context, stream_id, extraction_type="transcript")
    async with web.context.db.transaction() as session:
        operation = await request_operation(
            session, owner.account_id, OperationKind.RENDER_TIMELINE, "a timeline", {}
        )
        download = await request_operation(
            session,
            owner.account_id,
            OperationKind.MAKE_DOWNLOAD,
            "a download",
            {"name": "a.mp4", "asset_ids": []},
        )
        webhook = await create_endpoint(
            session, owner.account_id, url="https://example.com/hook", events=[], description=""
        )
        path_ids = {
            "collection_id": owner.collection_id,
            "session_id": session_id,
            "stream_id": stream_id,
            "endpoint_id": stream_id,
            "index_id": index_id,
            "alert_id": await make_alert(web.context, index_id),
            "operation_id": operation.id,
            "download_id": download.id,
            "webhook_id": webhook.id,
            "resource": "etag",
            "understanding_id": await _understanding(web.context, stream_id),
            "analyzer": "transcript",
            "end_user_id": "ada",
            "key_id": str(await session.scalar(select(ApiKey.id))),
            "token_id": str(await session.scalar(select(ClientToken.id))),
        }
    for kind in ("video", "audio", "image"):
        path_ids[f"{kind}_id"] = (await make_asset(web.context, owner, kind=kind)).id
    path_ids["asset_id"] = path_ids["video_id"]
    path_ids["delivery_id"] = await _delivery(web.context, owner)
    path_ids |= await _scene(web.context, owner, path_ids["video_id"])
    return Owned(owner, path_ids)


async def _scene(context: Context, owner: Tenant, video_id: str) -> dict[str, str]:
    """A scene of the video, with its collection and its picture."""
    ids = {"scene_collection_id": new_id("scc"), "scene_id": new_id("scn"), "frame_id": new_id("frm")}
    frame = ScreenFrame(
        id=ids["frame_id"], asset_id=video_id, storage_key="a/frame", at_us=0, width=2, height=2
    )
    collection = SceneCollection(
        id=ids["scene_collection_id"],
        account_id=owner.account_id,
        asset_id=video_id,
        extraction={"type": "time", "config": {}},
        digest="one",
        status="ready",
    )
    scene = Scene(
        id=ids["scene_id"],
        scene_collection_id=collection.id,
        start_us=0,
        end_us=1,
        frames=[{"frame_id": frame.id, "at_us": 0}],
    )
    async with context.db.transaction() as session:
        session.add_all([frame, collection])
        await session.flush()
        session.add(scene)
    return ids


async def _understanding(context: Context, stream_id: str) -> str:
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        analyzers = read_analyzers([{"type": "spoken_words"}], None, None)
        return (await understand_stream(session, stream, analyzers, {"segmentation": {}}, None)).id


async def _delivery(context: Context, owner: Tenant) -> str:
    """A webhook of the session's first event, in line before the account's endpoint."""
    await publish_events(context)
    async with context.db.transaction() as session:
        return str(await session.scalar(select(WebhookDelivery.id).limit(1)))


def all_routes(router: Any) -> Iterator[BaseRoute]:
    """Every route of an application and of what it includes, those that no document lists among them."""
    for route in router.routes:
        if hasattr(route, "original_router"):  # how FastAPI keeps an included router
            yield from all_routes(route.original_router)
        else:
            yield route


def routes(web: Web) -> list[tuple[str, str]]:
    """Method and path of every route that is not public."""
    return sorted(
        (method.lower(), route.path)
        for route in all_routes(web.app)
        if isinstance(route, Route) and not PUBLIC.fullmatch(route.path)
        for method in route.methods or ()
        if method not in ("OPTIONS", "HEAD")
    )


def test_every_route_is_walked_or_public(web: Web, owned: Owned) -> None:
    for route in all_routes(web.app):
        assert isinstance(route, Route | WebSocketRoute), route
        if isinstance(route, WebSocketRoute):
            assert route.path == "/ws/{ticket}"  # tested with the hub
        elif not PUBLIC.fullmatch(route.path):
            assert set(route.param_convertors) <= set(owned.path_ids), f"give {route.path} an id of A's"


async def snapshot(context: Context) -> dict[str, str]:
    """Every row of every table but the ingest's heartbeats."""
    async with context.db.transaction() as session:
        return {
            table: await session.scalar(
                text(f"select coalesce(string_agg(t::text, '|' order by t::text), '') from {table} t")
            )
            # What notes each use, or beats.
            for table in Base.metadata.tables.keys() - {"api_keys", "audit_entries", "ingest_nodes"}
        }


async def test_each_route_wants_a_credential(web: Web, owned: Owned) -> None:
    before = await snapshot(web.context)
    found = routes(web)
    assert len(found) > 30
    for secret in (None, "sk-none"):
        async with web.client(secret) as client:
            for method, path in found:
                answer = await owned.call(client, method, path)
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["success"] is False
    assert await snapshot(web.context) == before


async def test_a_client_token_is_good_for_capture_and_nothing_else(
    web: Web, owner: Tenant, owned: Owned
) -> None:
    accepted = set()
    async with web.client(owner.client_token) as client:
        for method, path in routes(web):
            answer = await owned.call(client, method, path)
            assert answer.status_code != 401, (method, path)
            if answer.status_code != 403:
                accepted.add((method, path))
            else:
                assert answer.json()["error_code"] == "forbidden"
    assert accepted == TOKEN_ROUTES


async def test_another_accounts_key_finds_nothing_and_changes_nothing(web: Web, owned: Owned) -> None:
    stranger = await make_tenant(web.context)
    before = await snapshot(web.context)
    async with web.client(stranger.api_key) as client:
        for method, path in routes(web):
            if owned.is_named_in(method, path):
                answer = await owned.call(client, method, path)
                assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
    assert await snapshot(web.context) == before


async def test_another_accounts_token_is_refused_on_capture(web: Web, owned: Owned) -> None:
    stranger = await make_tenant(web.context)
    before = await snapshot(web.context)
    async with web.client(stranger.client_token) as client:
        for method, path in sorted(TOKEN_ROUTES):
            answer = await owned.call(client, method, path)
            expected = 404 if "collection" in path else 401
            assert answer.status_code == expected, (method, path, answer.text)
    assert await snapshot(web.context) == before


async def test_lists_hold_nothing_of_another_account(web: Web, owner: Tenant) -> None:
    stopped, streams = await make_stopped(web.context, owner)
    await add_segment_row(web.context, streams["mic:default"])
    await make_asset(web.context, owner)
    stranger = await make_tenant(web.context)
    async with web.client(stranger.api_key) as client:
        collections = (await client.get("/collection")).json()["data"]["collections"]
        assert [row["id"] for row in collections] == [stranger.collection_id]
        sessions = await client.get("/collection/default/capture/session")
        assert sessions.json()["data"]["sessions"] == []
        assert (await client.get("/video")).json()["data"]["videos"] == []
        assert (await client.get("/audio")).json()["data"]["audios"] == []
        assert (await client.get("/rtstream")).json()["data"]["results"] == []
        assert (await client.get("/video", params={"collection_id": owner.collection_id})).status_code == 404
    async with web.client(owner.api_key) as client:
        sessions = await client.get("/collection/default/capture/session")
        assert [row["id"] for row in sessions.json()["data"]["sessions"]] == [stopped]
