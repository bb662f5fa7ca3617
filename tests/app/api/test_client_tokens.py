"""Client tokens that are bound to a capture session and its channels, and their revocation."""

from typing import Any

import httpx
import pytest

from tests.fixtures.factories import Tenant, make_session, make_tenant, start_session
from tests.fixtures.web import Web


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


async def make_token(web: Web, tenant: Tenant, **wanted: Any) -> dict[str, Any]:
    async with web.client(tenant.api_key) as client:
        answer = await client.post("/capture/session/token", json=wanted)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


async def start(web: Web, secret: str, session_id: str, *channels: str) -> httpx.Response:
    body = {"session_id": session_id, "channels": [{"channel_id": one} for one in channels]}
    async with web.client(secret) as client:
        return await client.post("/capture/session/start", json=body)


async def status(web: Web, secret: str, session_id: str) -> httpx.Response:
    async with web.client(secret) as client:
        return await client.get(f"/capture/session/{session_id}")


async def test_a_bound_token_is_good_for_its_session_alone(web: Web, tenant: Tenant) -> None:
    own, other = [await make_session(web.context, tenant) for _ in range(2)]
    made = await make_token(web, tenant, session_id=own, expires_in=600)
    for refused in (
        await status(web, made["token"], other),
        await start(web, made["token"], other, "mic"),
    ):
        assert refused.status_code == 401
    assert (await start(web, made["token"], own, "mic", "screen")).status_code == 200
    assert (await status(web, made["token"], own)).status_code == 200


async def test_a_bound_token_is_good_for_its_channels_alone(web: Web, tenant: Tenant) -> None:
    session_id = await make_session(web.context, tenant)
    made = await make_token(web, tenant, session_id=session_id, channels=["mic"])
    refused = await start(web, made["token"], session_id, "mic", "display:1")
    assert (refused.status_code, refused.json()["error_code"]) == (403, "channel_not_granted")
    streams = await start_session(web.context, session_id, ("mic", "display:1"))
    shown = (await status(web, made["token"], session_id)).json()["data"]["channels"]
    assert [channel["channel_name"] for channel in shown] == ["mic:default"]
    sdp = {"content": "v=0", "headers": {"content-type": "application/sdp"}}
    async with web.client(made["token"]) as client:
        answer = await client.post(f"/whip/{streams['display:1']}", **sdp)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "channel_not_granted")
        answer = await client.post(f"/whip/{streams['mic:default']}", **sdp)
        assert answer.status_code == 400  # it got as far as the offer, which is none


async def test_a_token_of_another_session_publishes_nothing_here(web: Web, tenant: Tenant) -> None:
    own, other = [await make_session(web.context, tenant) for _ in range(2)]
    made = await make_token(web, tenant, session_id=own)
    streams = await start_session(web.context, other)
    async with web.client(made["token"]) as client:
        answer = await client.post(
            f"/whip/{streams['mic:default']}", content="v=0", headers={"content-type": "application/sdp"}
        )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"channels": ["mic"]}, 400),
        ({"session_id": "cap-none"}, 404),
        ({"session_id": "cap-none", "channels": []}, 400),
    ],
)
async def test_what_no_token_is_bound_to(web: Web, tenant: Tenant, wanted: Any, code: int) -> None:
    async with web.client(tenant.api_key) as client:
        assert (await client.post("/capture/session/token", json=wanted)).status_code == code


async def test_a_revoked_token_is_refused_at_once(web: Web, tenant: Tenant) -> None:
    session_id = await make_session(web.context, tenant)
    one, other = [await make_token(web, tenant, session_id=session_id) for _ in range(2)]
    async with web.client(tenant.api_key) as client:
        listed = await client.get("/client_tokens", params={"session_id": session_id})
        assert {row["id"] for row in listed.json()["data"]["client_tokens"]} == {
            one["token_id"],
            other["token_id"],
        }
        gone = await client.delete(f"/client_tokens/{one['token_id']}")
        assert gone.json()["data"]["revoked_at"] is not None
    assert (await status(web, one["token"], session_id)).status_code == 401
    assert (await status(web, other["token"], session_id)).status_code == 200


async def test_all_tokens_of_a_session_are_revoked_together(web: Web, tenant: Tenant) -> None:
    session_id = await make_session(web.context, tenant)
    bound = [await make_token(web, tenant, session_id=session_id) for _ in range(3)]
    free = await make_token(web, tenant)
    async with web.client(tenant.api_key) as client:
        gone = await client.delete("/client_tokens", params={"session_id": session_id})
        assert set(gone.json()["data"]["revoked"]) == {one["token_id"] for one in bound}
        again = await client.delete("/client_tokens", params={"session_id": session_id})
        assert again.json()["data"]["revoked"] == []
    for one in bound:
        assert (await status(web, one["token"], session_id)).status_code == 401
    assert (await status(web, free["token"], session_id)).status_code == 200
