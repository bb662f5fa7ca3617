"""API keys over REST: made, listed, rotated, revoked at once, scoped; and the audit of all that."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from app.base.ids import utc_now
from app.domain.accounts.models import ApiKey
from tests.app.api.test_access import Owned, owned, owner, routes
from tests.fixtures.factories import Tenant
from tests.fixtures.web import Web

__all__ = ["owned", "owner"]

# Of what is no GET, all that only looks: a key with the scope `read` is enough.
LOOKING = {
    ("post", "/rtstream/collection/{collection_id}/search"),
    ("post", "/rtstream/{stream_id}/search"),
    ("post", "/collection/{collection_id}/search"),
    ("post", "/collection/{collection_id}/search/v2"),
    ("post", "/video/{video_id}/search"),
    ("post", "/video/{video_id}/search/v2"),
    *(
        ("post", f"{of_what}/{verb}")
        for of_what in ("/video/{video_id}", "/collection/{collection_id}")
        for verb in ("ask", "query", "aggregate", "semantic-search")
    ),
    ("post", "/collection/{collection_id}/search/title"),
    ("post", "/video/{video_id}/clip"),
    ("post", "/video/{video_id}/stream"),
    ("post", "/compile"),
    ("post", "/image/{image_id}/generate_url"),
    ("post", "/audio/{audio_id}/generate_url"),
}
WRITES = {("get", "/collection/{collection_id}/upload_url")}
ADMINISTERS = {
    ("get", "/api_keys"),
    ("post", "/api_keys"),
    ("post", "/api_keys/{key_id}/rotate"),
    ("delete", "/api_keys/{key_id}"),
    ("get", "/audit"),
    ("delete", "/end_user/{end_user_id:path}"),
    ("get", "/webhooks/secret"),
    ("post", "/webhooks/secret/rotate"),
    ("get", "/webhooks/{webhook_id}/secret"),
    ("post", "/webhooks/{webhook_id}/secret/rotate"),
}


async def call(web: Web, secret: str, method: str, path: str, **more: Any) -> httpx.Response:
    async with web.client(secret) as client:
        return await client.request(method, path, **more)


async def data(web: Web, secret: str, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = await call(web, secret, method, path, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


async def works(web: Web, secret: str) -> bool:
    return (await call(web, secret, "GET", "/collection")).status_code == 200


async def test_a_key_is_shown_once_and_known_by_its_end(web: Web, owner: Tenant) -> None:
    made = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "laptop", "scopes": ["read"]})
    assert made["api_key"].startswith("sk-")
    assert made["api_key"].endswith(made["hint"])
    assert await works(web, made["api_key"])
    listed = (await data(web, owner.api_key, "GET", "/api_keys"))["api_keys"]
    row = next(one for one in listed if one["id"] == made["id"])
    assert (row["name"], row["scopes"], row["revoked_at"]) == ("laptop", ["read"], None)
    assert row["last_used_at"] is not None
    assert made["api_key"] not in str(listed)


async def test_a_rotated_key_lives_on_for_its_grace_period(web: Web, owner: Tenant) -> None:
    made = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "backend"})
    path = f"/api_keys/{made['id']}/rotate"
    new = await data(web, owner.api_key, "POST", path, json={"grace_seconds": 3600})
    assert (new["name"], new["scopes"]) == ("backend", ["read", "write", "admin"])
    assert new["replaces"]["id"] == made["id"]
    assert await works(web, made["api_key"])
    assert await works(web, new["api_key"])
    assert (await call(web, owner.api_key, "POST", path, json={})).status_code == 409
    async with web.context.db.transaction() as session:  # the grace period is over
        await session.execute(update(ApiKey).where(ApiKey.id == made["id"]).values(expires_at=utc_now()))
    refused = await call(web, made["api_key"], "GET", "/collection")
    assert (refused.status_code, "expired" in refused.json()["message"]) == (401, True)
    assert await works(web, new["api_key"])


async def test_a_revoked_key_is_refused_at_once(web: Web, owner: Tenant) -> None:
    made = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "lost"})
    assert await works(web, made["api_key"])
    for _ in range(2):  # saying it twice is no error
        gone = await data(web, owner.api_key, "DELETE", f"/api_keys/{made['id']}")
        assert gone["revoked_at"] is not None
    assert not await works(web, made["api_key"])
    assert (await call(web, owner.api_key, "POST", f"/api_keys/{made['id']}/rotate")).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": " "},
    ],
)
async def test_what_makes_no_key(web: Web, owner: Tenant, wrong: dict[str, Any]) -> None:
    answer = await call(web, owner.api_key, "POST", "/api_keys", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["success"] is False


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_a_key_does_what_its_scopes_say_on_every_route(
    web: Web, owner: Tenant, owned: Owned, scope: str
) -> None:
    made = await data(web, owner.api_key, "POST", "/api_keys", json={"name": scope, "scopes": [scope]})
    may = set()
    # Wrong ids: what may be done is said before anything is looked for.
    nobody = Owned(owner, dict.fromkeys(owned.path_ids, "none"))
    async with web.client(made["api_key"]) as client:
        found = routes(web)
        for method, path in found:
            answer = await nobody.call(client, method, path)
            if answer.status_code == 403:
                assert answer.json()["error_code"] == "missing_scope", (method, path, answer.text)
            else:
                assert answer.status_code < 500, (method, path, answer.text)
                may.add((method, path))
    looking = {(method, path) for method, path in found if method == "get"} | LOOKING
    writing = set(found) - {(method, path) for method, path in found if method == "get"} - LOOKING
    expected = {
        "read": looking - ADMINISTERS,
        "write": writing - ADMINISTERS,
        "admin": ADMINISTERS,
    }[scope]
    # The collection of a wrong id is not found before the second scope is asked for.
    assert may - WRITES == expected - WRITES


async def test_a_reading_key_gets_no_upload_url_and_no_retention(web: Web, owner: Tenant) -> None:
    reads = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "r", "scopes": ["read"]})
    writes = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "w", "scopes": ["write"]})
    answer = await call(web, reads["api_key"], "GET", "/collection/default/upload_url")
    assert answer.status_code == 403
    kept = {"retention_days": 1}
    answer = await call(web, writes["api_key"], "PATCH", "/collection/default", json=kept)
    assert answer.status_code == 403
    named = await data(web, writes["api_key"], "PATCH", "/collection/default", json={"name": "new"})
    assert (named["name"], named["retention_days"]) == ("new", None)
    assert (await data(web, owner.api_key, "PATCH", "/collection/default", json=kept)) | kept == named | kept


async def test_the_audit_tells_who_did_what(web: Web, owner: Tenant) -> None:
    made = await data(web, owner.api_key, "POST", "/api_keys", json={"name": "audited"})
    for _ in range(3):
        assert await works(web, made["api_key"])
    await data(web, owner.api_key, "DELETE", f"/api_keys/{made['id']}")
    for _ in range(3):
        assert not await works(web, made["api_key"])
    query = {"subject_id": made["id"]}
    entries = (await data(web, owner.api_key, "GET", "/audit", params=query))["entries"]
    assert [(one["action"], one["outcome"]) for one in reversed(entries)] == [
        ("api_key.created", "done"),
        ("api_key.used", "accepted"),
        ("api_key.revoked", "done"),
        ("api_key.used", "revoked"),
    ]
    assert {one["address"] for one in entries} == {"127.0.0.1"}
    assert entries[-1]["actor"]["kind"] == "api_key"
    assert entries[-1]["actor"]["id"] != made["id"]
    first = await data(web, owner.api_key, "GET", "/audit", params=query | {"limit": 3})
    assert first["entries"] == entries[:3]
    rest = {"limit": 3, "cursor": first["next_page"]}
    last = await data(web, owner.api_key, "GET", "/audit", params=query | rest)
    assert (last["entries"], last["next_page"]) == (entries[3:], None)


async def test_the_audit_cannot_be_changed(web: Web, owner: Tenant) -> None:
    assert await works(web, owner.api_key)
    with pytest.raises(DBAPIError, match="append-only"):
        async with web.context.db.transaction() as session:
            await session.execute(text("update audit_entries set outcome = 'nothing happened'"))
