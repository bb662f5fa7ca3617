"""What was said in a window."""

import asyncio
import logging
import time
from collections.abc import Sequence

from app.domain.indexes.models import IndexWindow, SceneIndex
from app.domain.indexes.service import Found
from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import list_utterances
from app.engines.contract import EngineError
from app.process import Context
from workers.describing.screens import Description
from workers.describing.speech import Said, cut_sentences, cut_words, describe_speech, joined
from workers.describing.wording import word_speech
from workers.engines.registry import open_language_engine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores

logger = logging.getLogger(__name__)


async def found_in_speech(
    context: Context, index: SceneIndex, window: IndexWindow
) -> tuple[list[Found], str | None]:
    """A record for each segment of what was said between the window's ends, none for silence; and what they
    were made without."""
    async with context.db.transaction() as session:
        rows, _ = await list_utterances(
            session, stream_id=index.stream_id, start_us=window.start_us, end_us=window.end_us
        )
    engine = open_language_engine(context.settings)
    deadline = time.monotonic() + context.settings.language_live_seconds  # of the window, not of each segment
    found, notice = [], None
    for number, said in enumerate(_segments(rows, window, index.extraction["config"])):
        extract = await _describe(context, index.prompt, said)
        left_seconds = max(deadline - time.monotonic(), 0.0)
        worded = await word_speech(engine, index.prompt, extract, limit_seconds=left_seconds)
        described, notice = worded.description, worded.notice or notice
        source_id = f"speech:{window.start_us}:{number}"
        found.append(Found(source_id, said.start_us, said.end_us, described.text, described.details))
    return found, notice


def _segments(rows: Sequence[Utterance], window: IndexWindow, config: dict[str, object]) -> list[Said]:
    """Segments of words or sentences lie within one utterance, which the window is of; one of time takes
    every word that begins in it."""
    value = config["segmentation_value"]
    if config["segmenter"] == "time":
        inside = [
            word for row in rows for word in _words(row) if window.start_us <= word.start_us < window.end_us
        ]
        return [joined(inside)] if inside else []
    assert isinstance(value, int)
    spoken = [_words(row) for row in rows if row.start_us == window.start_us]
    parts = spoken if config["segmenter"] == "word" else [cut_sentences(words) for words in spoken]
    return [joined(segment) for one in parts for segment in cut_words(one, value)]


def _words(row: Utterance) -> list[Said]:
    if not row.words:
        return [Said(row.text, row.start_us, row.end_us)]
    return [Said(word["text"], word["start_us"], word["end_us"]) for word in row.words]


async def _describe(context: Context, prompt: str, said: Said) -> Description:
    async with cores:
        try:
            return await asyncio.to_thread(describe_speech, said, closeness_to(context.settings, prompt))
        except EngineError as error:
            logger.warning("speech is described without its prompt: %s", type(error).__name__)
            return describe_speech(said, None)
