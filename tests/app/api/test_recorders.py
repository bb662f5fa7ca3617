"""What a recorder is told while no ingest process takes RTSPS."""

from app.base.settings import Settings
from tests.fixtures.factories import make_session, make_tenant
from tests.fixtures.web import running_web


async def test_without_rtsps_the_answers_name_no_place_and_the_session_waits(settings: Settings) -> None:
    async with running_web(settings) as web:
        tenant = await make_tenant(web.context)
        session_id = await make_session(web.context, tenant)
        async with web.client(tenant.client_token) as client:
            request = {"session_id": session_id, "channels": [{"channel_id": "mic", "type": "audio"}]}
            started = (await client.post("/capture/session/start", json=request)).json()["data"]
            polled = (await client.get(f"/capture/session/{session_id}")).json()["data"]
    for answer in (started, polled):
        assert answer["status"] == "starting"
        assert [row["rtsp_url"] for row in answer["channels"]] == [""]
        assert "ssl_certificate_hash" not in answer
