"""Gives the passages of a stream or an asset their vectors."""

import asyncio
import logging

from app.domain.passages.service import save_vectors, waiting_passages
from app.engines.contract import EngineError
from app.engines.registry import open_sentence_engine
from app.process import Context
from workers.tasks.cores import cores

logger = logging.getLogger(__name__)

AT_ONCE = 32  # passages: some 0.2 s of work


async def embed_passages(context: Context, owner_id: str) -> None:
    """Until none waits. Harmless when run again, or beside another. Search goes on without, by words."""
    engine = open_sentence_engine(context.settings)
    while True:
        async with context.db.transaction() as session:
            texts = await waiting_passages(session, owner_id, AT_ONCE)
        if not texts:
            return
        try:
            async with cores:
                vectors = await asyncio.to_thread(engine.encode, list(texts.values()))
        except EngineError as error:
            logger.warning("passages stay without vectors: %s", type(error).__name__)
            return
        async with context.db.transaction() as session:
            await save_vectors(session, dict(zip(texts, vectors, strict=True)))
