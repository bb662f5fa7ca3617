"""What was said in a window."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from app.domain.indexes.models import IndexWindow, SceneIndex
from app.domain.indexes.service import Found
from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import list_utterances
from app.engines.contract import EngineError
from app.process import Context
from workers.describing.speech import Said, cut_sentences, cut_words, describe_speech, joined
from workers.describing.wording import Worded, word_speech
from workers.engines.registry import open_language_engine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores

logger = logging.getLogger(__name__)

PAUSE_US = 1_000_000  # no segment goes on over a longer one


async def found_in_speech(
    context: Context, index: SceneIndex, window: IndexWindow
) -> tuple[list[Found], str | None]:
    """A record for each segment of what was said between the window's ends, none for silence; and what they
    were made without."""
    async with context.db.transaction() as session:
        rows, _ = await list_utterances(
            session, stream_id=index.stream_id, start_us=window.start_us, end_us=window.end_us
        )
    deadline = time.monotonic() + context.settings.language_live_seconds  # of the window, not of each segment
    found, notice = [], None
    for number, said in enumerate(_segments(rows, window, index.extraction["config"])):
        left_seconds = max(deadline - time.monotonic(), 0.0)
        worded = await word_said(context, index.prompt, said, limit_seconds=left_seconds)
        described, notice = worded.description, worded.notice or notice
        source_id = f"speech:{window.start_us}:{number}"
        found.append(Found(source_id, said.start_us, said.end_us, described.text, described.details))
    return found, notice


async def word_said(
    context: Context,
    prompt: str,
    said: Said,
    *,
    limit_seconds: float | None = None,
    can_wait: bool = False,
) -> Worded:
    """What was said, as the prompt asks. Work that `can_wait` lets other work go first."""
    async with cores.turn(can_wait=can_wait):
        try:
            near = closeness_to(context.settings, prompt)
            extract = await asyncio.to_thread(describe_speech, said, near)
        except EngineError as error:
            logger.warning("speech is described without its prompt: %s", type(error).__name__)
            extract = describe_speech(said, None)
    engine = open_language_engine(context.settings)
    return await word_speech(engine, prompt, extract, limit_seconds=limit_seconds)


def _segments(rows: Sequence[Utterance], window: IndexWindow, config: Mapping[str, Any]) -> list[Said]:
    """Segments of words or sentences lie within one utterance, which the window is of; one of time takes
    every word that begins in it."""
    if config["segmenter"] == "time":
        inside = [
            word for row in rows for word in _words(row) if window.start_us <= word.start_us < window.end_us
        ]
        return [joined(inside)] if inside else []
    return segments_of([row for row in rows if row.start_us == window.start_us], config)


def segments_of(rows: Sequence[Utterance], config: Mapping[str, Any]) -> list[Said]:
    """Utterances cut into words, sentences or stretches of time, as an extraction asks; silence is none."""
    if config["segmenter"] == "time":
        each_us = round(config["segmentation_value"] * 1_000_000)
        words = [word for row in rows for word in _words(row)]
        return [joined(list(inside)) for _, inside in groupby(words, lambda word: word.start_us // each_us)]
    spoken = _without_pauses(rows)
    parts = spoken if config["segmenter"] == "word" else [cut_sentences(words) for words in spoken]
    return [
        joined(segment) for one in parts for segment in cut_words(one, round(config["segmentation_value"]))
    ]


def _without_pauses(rows: Sequence[Utterance]) -> list[list[Said]]:
    """The words of utterances that follow each other at once, as one: a recording's are sentences."""
    found: list[list[Said]] = []
    for row in rows:
        words = _words(row)
        if found and words[0].start_us - found[-1][-1].end_us < PAUSE_US:
            found[-1].extend(words)
        else:
            found.append(words)
    return found


def _words(row: Utterance) -> list[Said]:
    if not row.words:
        return [Said(row.text, row.start_us, row.end_us)]
    return [Said(word["text"], word["start_us"], word["end_us"]) for word in row.words]
