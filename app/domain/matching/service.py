"""Records held against the alerts of their index: each once, and one firing for each episode."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.alerts.models import Alert, AlertFiring, AlertMatch, EventRule, RecordToMatch
from app.domain.alerts.service import Matched, fire
from app.domain.assets.links import Links
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.domain.streams.playback import play_stream
from app.domain.understanding.models import NamedIndex

MAX_ATTEMPTS = 5
# An alert fires from the first confidence on; an episode goes on down to the second, so that a reading that
# is a little less clear does not end it.
FIRES_AT = 0.5
GOES_ON_AT = 0.35
# What is matched again after so long a silence is matched anew.
LONGEST_PAUSE_US = 60_000_000


async def await_match(session: AsyncSession, record: IndexRecord) -> bool:
    """Keep in mind, with the record itself, that it is to be matched; False where no alert watches."""
    watched = exists().where(Alert.index_id == record.index_id, _is_awake())
    if not await session.scalar(select(watched)):
        return False
    due_at = utc_now() + timedelta(seconds=RING_AGAIN_SECONDS)
    session.add(RecordToMatch(record_id=record.id, due_at=due_at))
    await session.flush()
    return True


def _is_awake() -> ColumnElement[bool]:
    """Whether an alert is enabled, and the named index that it was made on, if any, not stopped."""
    stopped = exists().where(NamedIndex.id == Alert.named_index_id, NamedIndex.is_stopped)
    return and_(Alert.status == "enabled", ~stopped)


async def claim_match(session: AsyncSession, record_id: str) -> tuple[IndexRecord, SceneIndex] | None:
    """The record and its index, one more attempt counted; None where it was matched, or is given up."""
    waiting = await session.get(RecordToMatch, record_id, with_for_update=True)
    if waiting is None:
        return None
    waiting.attempts += 1
    record = await session.get_one(IndexRecord, record_id)
    if waiting.attempts > MAX_ATTEMPTS:
        await session.delete(waiting)
        return None
    return record, await session.get_one(SceneIndex, record.index_id)


async def watching(session: AsyncSession, index_id: str) -> list[tuple[str, str]]:
    """The id and the rule's words of each alert that is enabled on the index."""
    rows = await session.execute(
        select(Alert.id, EventRule.prompt)
        .join(EventRule, EventRule.id == Alert.rule_id)
        .where(Alert.index_id == index_id, _is_awake())
        .order_by(Alert.id)
    )
    return [(alert_id, prompt) for alert_id, prompt in rows]


async def conclude(
    session: AsyncSession,
    record: IndexRecord,
    verdicts: Sequence[tuple[str, Matched]],
    *,
    cooldown_seconds: float,
    links: Links,
) -> list[str]:
    """Fire what the verdicts, by alert id, say of the record, and forget that it waits; once.

    Returns the ids of the alerts that fired.
    """
    waiting = await session.get(RecordToMatch, record.id, with_for_update=True)
    if waiting is None:
        return []
    fired = []
    for alert_id, matched in verdicts:
        if await _concern(session, alert_id, record, matched, cooldown_seconds, links):
            fired.append(alert_id)
    await session.execute(delete(RecordToMatch).where(RecordToMatch.record_id == record.id))
    return fired


async def _concern(
    session: AsyncSession,
    alert_id: str,
    record: IndexRecord,
    matched: Matched,
    cooldown_seconds: float,
    links: Links,
) -> bool:
    if matched.confidence < GOES_ON_AT:
        return False
    # Records of one index may be matched at once and out of order: one after the other for each alert.
    alert = await session.get(Alert, alert_id, with_for_update=True, populate_existing=True)
    if alert is None or alert.status != "enabled":
        return False
    goes_on = await _is_within(session, alert_id, await _neighbours(session, record))
    if not goes_on and matched.confidence < FIRES_AT:
        return False
    await session.execute(
        insert(AlertMatch)
        .values(alert_id=alert_id, record_id=record.id, confidence=matched.confidence)
        .on_conflict_do_nothing()
    )
    if goes_on or await _fired_near(session, alert_id, record, cooldown_seconds):
        return False
    stream = await session.get_one(Stream, (await session.get_one(SceneIndex, record.index_id)).stream_id)
    rule = await session.get_one(EventRule, alert.rule_id)
    route = await pipeline_route(session, stream, await _socket(session, alert, record))
    watched = await _watched(session, stream, record, links)
    return await fire(session, alert, rule, record, stream, matched, route=route, links=watched)


async def _watched(
    session: AsyncSession, stream: Stream, record: IndexRecord, links: Links
) -> dict[str, str | None]:
    """Where the record's stretch is played; nowhere, if its stream is not stored."""
    if not stream.store:
        return {}
    playback = await play_stream(session, stream, record.start_us, record.end_us, title=stream.name)
    return links.of_playback(playback.slug)


async def _socket(session: AsyncSession, alert: Alert, record: IndexRecord) -> str | None:
    index = await session.get_one(SceneIndex, record.index_id)
    return alert.ws_connection_id or index.ws_connection_id


async def _neighbours(session: AsyncSession, record: IndexRecord) -> list[str]:
    """The record right before this one and the one right after: a later one may have been matched first."""
    of_index = IndexRecord.index_id == record.index_id
    before = await session.scalar(
        select(IndexRecord.id)
        .where(
            of_index,
            IndexRecord.start_us < record.start_us,
            IndexRecord.end_us >= record.start_us - LONGEST_PAUSE_US,
        )
        .order_by(IndexRecord.start_us.desc())
        .limit(1)
    )
    after = await session.scalar(
        select(IndexRecord.id)
        .where(
            of_index,
            IndexRecord.start_us > record.start_us,
            IndexRecord.start_us <= record.end_us + LONGEST_PAUSE_US,
        )
        .order_by(IndexRecord.start_us)
        .limit(1)
    )
    return [one for one in (before, after) if one is not None]


async def _is_within(session: AsyncSession, alert_id: str, record_ids: Sequence[str]) -> bool:
    within = exists().where(AlertMatch.alert_id == alert_id, AlertMatch.record_id.in_(record_ids))
    return bool(await session.scalar(select(within)))


async def _fired_near(
    session: AsyncSession, alert_id: str, record: IndexRecord, cooldown_seconds: float
) -> bool:
    near_us = round(cooldown_seconds * 1e6)
    near = (
        exists()
        .where(AlertFiring.alert_id == alert_id, AlertFiring.record_id == IndexRecord.id)
        .where(IndexRecord.start_us > record.start_us - near_us)
        .where(IndexRecord.start_us < record.start_us + near_us)
    )
    return bool(await session.scalar(select(near)))


async def ring_waiting_matches(session: AsyncSession) -> None:
    """Ask again for records that nobody has matched in time: their worker has died, perhaps."""
    now = utc_now()
    waiting = await session.scalars(
        update(RecordToMatch)
        .where(RecordToMatch.due_at <= now)
        .values(due_at=now + timedelta(seconds=RING_AGAIN_SECONDS))
        .returning(RecordToMatch.record_id)
    )
    for record_id in waiting.all():
        await enqueue(session, Job.MATCH_RECORD, record_id)
