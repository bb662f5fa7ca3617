"""Event rules, and the alerts that watch an index for them (contract A9, A10, Tier B, "RTStream v0.5")."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.indexes import PathIndex
from app.api.stream_understanding import NamedIndexOfStream
from app.base.errors import InvalidRequest
from app.domain.alerts import service as alerts
from app.domain.alerts.models import Alert, EventRule
from app.domain.indexes.models import SceneIndex
from app.wire.deps import ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/rtstream", tags=["alerts"])
Json = dict[str, Any]

# The SDKs say what to do, the vendor's specification says what shall be (contract C30).
_SWITCHES = {"enable": True, "disable": False, "enabled": True, "disabled": False}


class NewEvent(BaseModel):
    event_prompt: str | None = None
    label: str | None = None


class NewAlert(BaseModel):
    event_id: str | None = None
    callback_url: str | None = None
    ws_connection_id: str | None = None


class AlertSwitch(BaseModel):
    action: str | None = None
    status: str | None = None


@router.post("/event")
async def create_event(wanted: NewEvent, caller: ServerCaller, session: Session) -> Json:
    rule_id = await alerts.create_rule(
        session, caller.account_id, prompt=wanted.event_prompt, label=wanted.label
    )
    return success({"event_id": rule_id})


@router.get("/event")
async def list_events(caller: ServerCaller, session: Session) -> Json:
    rules = await alerts.list_rules(session, caller.account_id)
    return success(
        {
            "events": [
                {"event_id": rule.id, "event_prompt": rule.prompt, "label": rule.label} for rule in rules
            ]
        }
    )


@router.post("/{stream_id}/index/{index_id}/alert")
async def create_alert(wanted: NewAlert, index: PathIndex, session: Session) -> Json:
    return await _watch(session, index, wanted)


@router.post("/{stream_id}/indexes/{index_id}/alert")
async def create_alert_on_named(wanted: NewAlert, named: NamedIndexOfStream, session: Session) -> Json:
    output = await session.get_one(SceneIndex, named.output_id)
    return await _watch(session, output, wanted, named.id)


async def _watch(
    session: Session, index: SceneIndex, wanted: NewAlert, named_index_id: str | None = None
) -> Json:
    alert = await alerts.create_alert(
        session,
        index,
        wanted.event_id,
        callback_url=wanted.callback_url,
        ws_connection_id=wanted.ws_connection_id,
        named_index_id=named_index_id,
    )
    return success({"alert_id": alert.id, "status": alert.status})


@router.get("/{stream_id}/index/{index_id}/alert")
async def list_alerts(index: PathIndex, session: Session) -> Json:
    return _alerts_shape(await alerts.list_alerts(session, index))


@router.get("/{stream_id}/indexes/{index_id}/alert")
async def list_alerts_on_named(named: NamedIndexOfStream, session: Session) -> Json:
    output = await session.get_one(SceneIndex, named.output_id)
    return _alerts_shape(await alerts.list_alerts(session, output, named.id))


@router.patch("/{stream_id}/index/{index_id}/alert/{alert_id}/status")
async def switch_alert(alert_id: str, wanted: AlertSwitch, index: PathIndex, session: Session) -> Json:
    return await _switch(session, index, alert_id, wanted)


@router.patch("/{stream_id}/indexes/{index_id}/alert/{alert_id}/status")
async def switch_alert_on_named(
    alert_id: str, wanted: AlertSwitch, named: NamedIndexOfStream, session: Session
) -> Json:
    return await _switch(session, await session.get_one(SceneIndex, named.output_id), alert_id, wanted)


async def _switch(session: Session, index: SceneIndex, alert_id: str, wanted: AlertSwitch) -> Json:
    enabled = _SWITCHES.get(wanted.action or wanted.status or "")
    if enabled is None:
        raise InvalidRequest("action must be enable or disable", field="action")
    alert = await alerts.switch_alert(session, index, alert_id, enabled=enabled)
    return success({"alert_id": alert.id, "status": alert.status})


def _alerts_shape(found: Sequence[tuple[Alert, EventRule]]) -> Json:
    return success(
        {
            "alerts": [
                {
                    "alert_id": alert.id,
                    "event_id": rule.id,
                    "prompt": rule.prompt,
                    "label": rule.label,
                    "callback_url": alert.callback_url or "",
                    "status": alert.status,
                }
                for alert, rule in found
            ]
        }
    )
