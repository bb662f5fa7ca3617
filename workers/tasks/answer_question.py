"""Answers a question about recordings from what search finds in them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from app.domain.assets.models import Asset
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.passages.models import Passage
from app.domain.search.service import Match, Question, search_passages
from app.engines.contract import EngineError
from app.engines.registry import open_sentence_engine
from app.process import Context
from workers.describing.answering import NOTHING_FOUND, Answer, Source, answer_in_words, quote
from workers.engines.registry import open_language_engine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores
from workers.tasks.lease import Lease

logger = logging.getLogger(__name__)

Json = dict[str, Any]
LEAST_SCORE = 0.3  # what matches less is about something else
NO_MODEL = {
    "code": "no_language_model",
    "message": "No language model is set: the answer quotes what was found.",
    "docs": [],
}
BY_WORDS_ALONE = {
    "code": "by_words_alone",
    "message": "Found by words alone: the server cannot compare meanings now.",
    "docs": [],
}


async def answer_question(context: Context, operation: Operation, lease: Lease) -> None:
    """Keep the answer, what it rests on, and what it had to do without."""
    warnings: list[Json] = []
    matches, sources = await _find(context, operation, warnings)
    lease.report(0.3)
    answer = Answer(NOTHING_FOUND, ())
    if sources:
        answer = await _answered(context, operation.request["question"], sources, warnings)
    found = [asdict(matches[place]) for place in answer.rests_on]
    async with context.db.transaction() as session:
        await operations.finish(
            session,
            operation.id,
            worker=lease.worker,
            result={"answer": answer.text, "sources": found, "warnings": warnings},
        )


async def _find(
    context: Context, operation: Operation, warnings: list[Json]
) -> tuple[Sequence[Match], list[Source]]:
    request = operation.request
    vector = await _vector(context, request["question"], warnings)
    which = select(Asset.id).where(Asset.account_id == operation.account_id, Asset.deleted_at.is_(None))
    if asset_id := request.get("asset_id"):
        which = which.where(Asset.id == asset_id)
    else:
        which = which.where(Asset.collection_id == request["collection_id"])
    async with context.db.transaction() as session:
        matches = await search_passages(
            session,
            Question(request["question"], vector, request["top_k"], LEAST_SCORE),
            Passage.account_id == operation.account_id,
            Passage.asset_id.in_(which),
        )
        ids = {match.asset_id for match in matches}
        rows = await session.execute(select(Asset.id, Asset.name).where(Asset.id.in_(ids)))
        titles = {row.id: row.name for row in rows}
    sources = [
        Source(
            match.text, titles.get(match.asset_id, ""), match.start_us / 1e6, is_said=match.kind != "visual"
        )
        for match in matches
    ]
    return matches, sources


async def _vector(context: Context, question: str, warnings: list[Json]) -> list[float] | None:
    try:
        engine = open_sentence_engine(context.settings)
        (vector,) = await asyncio.to_thread(engine.encode, [question])
    except EngineError as error:
        logger.warning("a question is answered by words alone: %s", type(error).__name__)
        warnings.append(BY_WORDS_ALONE)
        return None
    return [float(value) for value in vector]


async def _answered(
    context: Context, question: str, sources: Sequence[Source], warnings: list[Json]
) -> Answer:
    engine = open_language_engine(context.settings)
    if engine is None:
        warnings.append(NO_MODEL)
    else:
        answer, reason = await answer_in_words(engine, question, sources)
        if answer is not None:
            return answer
        warnings.append({"code": "language_model_refused", "message": reason, "docs": []})
    async with cores:
        try:
            return await asyncio.to_thread(quote, sources, closeness_to(context.settings, question))
        except EngineError:
            return quote(sources, None)
