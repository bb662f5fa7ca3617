import pytest
from sqlalchemy import select

from app.base.errors import InvalidRequest, NotFound
from app.domain.alerts import service as alerts
from app.domain.alerts.models import Alert, AlertFiring
from app.domain.indexes.models import SceneIndex
from app.domain.outbox.models import OutboxMessage
from app.process import Context
from tests.fixtures.factories import make_active, make_tenant
from tests.fixtures.indexing import AT_US, fire, make_alert, make_index, record


async def index_of(context: Context) -> str:
    _, opened = await make_active(context, await make_tenant(context), ("display:1",))
    return await make_index(context, opened["display:1"])


@pytest.mark.parametrize(
    ("prompt", "label", "field"),
    [(None, "x", "event_prompt"), (" ", "x", "event_prompt"), ("x", "", "label"), ("x", "y" * 2001, "label")],
)
async def test_a_rule_wants_words(context: Context, prompt: str | None, label: str, field: str) -> None:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        with pytest.raises(InvalidRequest) as refused:
            await alerts.create_rule(session, tenant.account_id, prompt=prompt, label=label)
    assert refused.value.field == field


async def test_another_accounts_rule_is_not_found(context: Context) -> None:
    index_id, stranger = await index_of(context), await make_tenant(context)
    async with context.db.transaction() as session:
        rule_id = await alerts.create_rule(session, stranger.account_id, prompt="x", label="y")
        index = await session.get_one(SceneIndex, index_id)
        for unknown in (rule_id, "ev-none", None, ""):
            with pytest.raises(NotFound):
                await alerts.create_alert(session, index, unknown, callback_url=None, ws_connection_id=None)


async def test_a_callback_is_a_url_or_nothing(context: Context) -> None:
    index_id = await index_of(context)
    await make_alert(context, index_id, callback_url="")
    with pytest.raises(InvalidRequest):
        await make_alert(context, index_id, callback_url="ftp://example.com")
    async with context.db.transaction() as session:
        index = await session.get_one(SceneIndex, index_id)
        ((alert, rule),) = await alerts.list_alerts(session, index)
        assert (alert.callback_url, alert.status, rule.label) == (None, "enabled", "error")


async def test_an_alert_is_switched_off_and_on(context: Context) -> None:
    index_id, other = await index_of(context), await index_of(context)
    alert_id = await make_alert(context, index_id)
    async with context.db.transaction() as session:
        index = await session.get_one(SceneIndex, index_id)
        assert (await alerts.switch_alert(session, index, alert_id, enabled=False)).status == "disabled"
        assert (await alerts.switch_alert(session, index, alert_id, enabled=True)).status == "enabled"
        with pytest.raises(NotFound):
            await alerts.switch_alert(
                session, await session.get_one(SceneIndex, other), alert_id, enabled=False
            )


async def test_a_record_fires_an_alert_once(context: Context) -> None:
    index_id = await index_of(context)
    alert_id = await make_alert(context, index_id, ws_connection_id="ws-alert")
    found = await record(context, index_id, "Build failed: 3 errors")
    assert found is not None
    assert await fire(context, alert_id, found.id)
    assert not await fire(context, alert_id, found.id)
    async with context.db.transaction() as session:
        assert len((await session.scalars(select(AlertFiring))).all()) == 1
        alert = await session.get_one(Alert, alert_id)
        (event,) = await session.scalars(select(OutboxMessage).where(OutboxMessage.name == "alert.fired"))
    assert event.route["connection_id"] == "ws-alert"
    (frame,) = event.payload["frames"]
    assert (frame["channel"], frame["type"]) == ("alert", "alert")
    assert (frame["alert_id"], frame["index_id"]) == (alert_id, index_id)
    assert frame["data"] == {
        "event_id": alert.rule_id,
        "label": "error",
        "event_label": "error",
        "triggered": True,
        "confidence": 0.9,
        "start": AT_US // 1000,
        "end": AT_US // 1000 + 10_000,
        "text": "Build failed: 3 errors",
        "explanation": "the screen says so",
        "stream_url": "http://x/s.m3u8",
        "player_url": "http://x/watch?v=s",
    }
