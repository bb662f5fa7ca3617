"""Rules and alerts: made, listed, switched on and off, and fired once for a record."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.base.ids import new_id
from app.domain.alerts.models import Alert, AlertFiring, EventRule
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.outbox.events import Route, emit
from app.domain.outbox.stream_events import AlertFired
from app.domain.sessions.service import next_seq
from app.domain.streams.models import Stream
from app.domain.webhooks.service import check_callback_url

MAX_TEXT_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Matched:
    """How well a rule fits a record, 0 to 1, and why, in words that name the evidence."""

    confidence: float
    explanation: str


async def create_rule(
    session: AsyncSession, account_id: str, *, prompt: str | None, label: str | None
) -> str:
    """Keep a rule; returns its id. Raises `InvalidRequest` naming the field that is empty or too long."""
    for field, value in (("event_prompt", prompt), ("label", label)):
        if not (value or "").strip() or len(value or "") > MAX_TEXT_CHARACTERS:
            raise InvalidRequest(f"{field} must hold 1 to {MAX_TEXT_CHARACTERS} characters", field=field)
    rule = EventRule(id=new_id("ev"), account_id=account_id, prompt=prompt, label=label)
    session.add(rule)
    await session.flush()
    return rule.id


async def list_rules(session: AsyncSession, account_id: str) -> list[EventRule]:
    rows = await session.scalars(
        select(EventRule).where(EventRule.account_id == account_id).order_by(EventRule.created_at)
    )
    return list(rows)


async def create_alert(
    session: AsyncSession,
    index: SceneIndex,
    rule_id: str | None,
    *,
    callback_url: str | None,
    ws_connection_id: str | None,
    named_index_id: str | None = None,
) -> Alert:
    """Watch the index for the rule. An empty `callback_url` means none (contract A10).

    With `named_index_id` it is an alert of that index, whose records are these.

    Raises `InvalidRequest` for a URL that is none, `NotFound` for a rule that the account does not have.
    """
    rule = await session.get(EventRule, rule_id) if rule_id else None
    if rule is None or rule.account_id != index.account_id:
        raise NotFound(f"there is no event {rule_id}")
    alert = Alert(
        id=new_id("alert"),
        index_id=index.id,
        rule_id=rule.id,
        named_index_id=named_index_id,
        callback_url=check_callback_url(callback_url) if callback_url else None,
        ws_connection_id=ws_connection_id or None,
        status="enabled",
    )
    session.add(alert)
    await session.flush()
    return alert


async def list_alerts(
    session: AsyncSession, index: SceneIndex, named_index_id: str | None = None
) -> list[tuple[Alert, EventRule]]:
    """The index's alerts with their rules, oldest first; with `named_index_id` only those made on that."""
    of_name = Alert.named_index_id == named_index_id if named_index_id else true()
    rows = await session.execute(
        select(Alert, EventRule)
        .join(EventRule, EventRule.id == Alert.rule_id)
        .where(Alert.index_id == index.id, of_name)
        .order_by(Alert.created_at)
    )
    return [(alert, rule) for alert, rule in rows]


async def switch_alert(session: AsyncSession, index: SceneIndex, alert_id: str, *, enabled: bool) -> Alert:
    """Enable or disable it. Raises `NotFound`."""
    alert = await session.get(Alert, alert_id)
    if alert is None or alert.index_id != index.id:
        raise NotFound(f"index {index.id} has no alert {alert_id}")
    alert.status = "enabled" if enabled else "disabled"
    await session.flush()
    return alert


async def fire(
    session: AsyncSession,
    alert: Alert,
    rule: EventRule,
    record: IndexRecord,
    stream: Stream,
    matched: Matched,
    *,
    route: Route,
    links: Mapping[str, str | None],
) -> bool:
    """Tell of a match on the socket and by the callback; False where this record fired the alert before.

    `links` are the `stream_url` and `player_url` of the record's stretch of the stream.
    """
    fired = await session.scalar(
        insert(AlertFiring)
        .values(
            id=new_id("fire"),
            alert_id=alert.id,
            record_id=record.id,
            confidence=matched.confidence,
            explanation=matched.explanation,
        )
        .on_conflict_do_nothing(index_elements=["alert_id", "record_id"])
        .returning(AlertFiring.id)
    )
    if fired is None:
        return False
    event = AlertFired(
        alert_id=alert.id,
        rule_id=rule.id,
        label=rule.label,
        index_id=alert.named_index_id or record.index_id,
        rtstream_id=stream.id,
        rtstream_name=stream.name,
        confidence=matched.confidence,
        explanation=matched.explanation,
        text=record.text,
        start_ms=record.start_us // 1000,
        end_ms=record.end_us // 1000,
        links=dict(links),
        capture_session_id=stream.capture_session_id,
    )
    await emit(
        session,
        event,
        account_id=stream.account_id,
        route=route,
        seq=await next_seq(session, stream.capture_session_id),
        callback_url=alert.callback_url,
    )
    return True
