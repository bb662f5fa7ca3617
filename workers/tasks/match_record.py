"""Holds one record against the alerts of its index."""

import asyncio
import logging
from datetime import UTC, datetime

from app.domain.alerts.service import Matched
from app.domain.assets.links import Links
from app.domain.indexes.models import IndexRecord
from app.domain.matching.service import claim_match, conclude, watching
from app.engines.contract import EngineError
from app.engines.registry import open_image_text_engine, open_sentence_engine
from app.process import Context
from workers.engines.registry import open_language_engine
from workers.matching.evidence import evidence_of
from workers.matching.judge import Likeness, judge
from workers.matching.pictures import with_pictures
from workers.matching.second_opinion import with_second_opinion
from workers.tasks.cores import cores
from workers.tasks.see_pictures import see_pictures

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
    found = await _with_pictures(context, record, [words for _, words in rules], found)
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


async def _with_pictures(
    context: Context, record: IndexRecord, rules: list[str], found: list[Matched]
) -> list[Matched]:
    """What the record's pictures show counts too, where they have hardly any text."""
    seen = await see_pictures(context, record.details.get("picture_frame_ids") or ())
    if not seen:
        return found
    at = datetime.fromtimestamp(record.start_us / 1e6, UTC)
    vectors = [picture.vector for picture in seen.values()]
    encode_texts = open_image_text_engine(context.settings).encode_texts
    async with cores:
        try:
            return await asyncio.to_thread(with_pictures, rules, found, vectors, at, encode_texts)
        except EngineError as error:
            logger.warning("alerts are matched without pictures: %s", type(error).__name__)
            return found
