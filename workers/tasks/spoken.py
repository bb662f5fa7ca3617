"""Puts an engine's words on its speech's clock, and cuts them into sentences."""

from itertools import pairwise
from typing import Any

from app.domain.transcripts.service import Spoken
from workers.engines.contract import Transcript

SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")
# "Mr." and "3.5" are inside a sentence; a sentence of one or two short words is joined to the next.
SHORTEST_SENTENCE_WORDS = 3


def spoken_from(transcript: Transcript, started_at_us: int) -> Spoken | None:
    """The transcript of speech that began at `started_at_us`; None when there are no words in it."""
    if not transcript.text:
        return None
    words: list[dict[str, Any]] = [
        {
            "text": word.text,
            "start_us": started_at_us + round(word.start_seconds * 1e6),
            "end_us": started_at_us + round(word.end_seconds * 1e6),
        }
        for word in transcript.words
    ]
    return Spoken(
        text=transcript.text,
        start_us=words[0]["start_us"] if words else started_at_us,
        end_us=words[-1]["end_us"] if words else started_at_us,
        language=transcript.language,
        words=words,
    )


def sentences(spoken: Spoken) -> list[Spoken]:
    """Cut at sentence ends, so that a search result begins within a breath of the words that it found."""
    groups: list[list[dict[str, Any]]] = [[]]
    for word, following in pairwise([*spoken.words, None]):
        assert word is not None
        groups[-1].append(word)
        ends = word["text"].endswith(SENTENCE_ENDS) and len(groups[-1]) >= SHORTEST_SENTENCE_WORDS
        if ends and following is not None:
            groups.append([])
    if len(groups) == 1:
        return [spoken]
    return [
        Spoken(
            text=" ".join(word["text"] for word in group),
            start_us=group[0]["start_us"],
            end_us=group[-1]["end_us"],
            language=spoken.language,
            words=group,
        )
        for group in groups
    ]
