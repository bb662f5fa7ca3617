"""Holds one record against the alerts of its index."""

import asyncio
import logging

from app.domain.alerts.service import Matched
from app.domain.assets.links import Links
from app.domain.indexes.models import IndexRecord
from app.domain.matching.service import claim_match, conclude, watching
from app.engines.contract import EngineError
from app.engines.registry import open_sentence_engine
from app.process import Context
from workers.engines.registry import open_language_engine
from workers.matching.evidence import evidence_of
from workers.matching.judge import Likeness, judge
from workers.matching.second_opinion import with_second_opinion
from workers.tasks.cores import cores

logger = logging.getLogger(__name__)


async def match_record(context: Context, record_id: str) -> None:
    """Fire the alerts that match the record. Harmless when run again: what has waited for it is a row."""
    async with context.db.transaction() as session:
        claimed = await claim_match(session, record_id)
        if claimed is None:
            return
        record, index = claimed
        rules = await watching(session, index.id)
    found = await _judged(context, record, [words for _, words in rules])
    verdicts = [(alert_id, matched) for (alert_id, _), matched in zip(rules, found, strict=True)]
    async with context.db.transaction() as session:
        await conclude(
            session,
            record,
            verdicts,
            cooldown_seconds=context.settings.alert_cooldown_seconds,
            links=Links(context.settings),
        )


async def _judged(context: Context, record: IndexRecord, rules: list[str]) -> list[Matched]:
    evidence = evidence_of(record.text, record.details, record.start_us)
    engine = open_sentence_engine(context.settings)
    likeness: Likeness | None = engine.encode
    async with cores:
        try:
            judged = await asyncio.to_thread(judge, rules, evidence, likeness)
        except EngineError as error:
            logger.warning("alerts are matched by words alone: %s", type(error).__name__)
            judged = await asyncio.to_thread(judge, rules, evidence, None)
    return await with_second_opinion(open_language_engine(context.settings), rules, evidence, judged)
