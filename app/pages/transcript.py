"""The words of a playback on the playback's own timeline, without what it leaves out."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import list_utterances
from app.pages.playing import PlayedPart, Playing
from app.wire.envelope import Json


async def read_transcript(session: AsyncSession, playing: Playing) -> list[Json]:
    """Utterances in the order in which they are heard: `start`, `end` (seconds), `text` and `words`."""
    heard: list[Json] = []
    for part in playing.parts:
        utterances, _ = await list_utterances(
            session,
            asset_id=part.asset.id,
            start_us=round(part.asset_start_seconds * 1e6),
            end_us=round(part.asset_end_seconds * 1e6),
        )
        placed = (_place(utterance, part) for utterance in utterances)
        heard += [one for one in placed if one is not None]
    return heard


def _place(utterance: Utterance, part: PlayedPart) -> Json | None:
    """The utterance as heard in `part`; of one that is cut, the words of which the middle is played."""
    start, end = _seconds(utterance.start_us, part), _seconds(utterance.end_us, part)
    if not utterance.words:
        return {"start": start, "end": end, "text": utterance.text.strip(), "words": []}
    words = [_word(word, part) for word in utterance.words if _is_played(word, part)]
    if not words:
        return None
    is_whole = len(words) == len(utterance.words)
    text = utterance.text.strip() if is_whole else " ".join(word["text"] for word in words)
    return {"start": start, "end": end, "text": text, "words": words}


def _word(word: dict[str, Any], part: PlayedPart) -> Json:
    start, end = _seconds(word["start_us"], part), _seconds(word["end_us"], part)
    return {"start": start, "end": end, "text": word["text"].strip()}


def _is_played(word: dict[str, Any], part: PlayedPart) -> bool:
    middle_seconds: float = (word["start_us"] + word["end_us"]) / 2e6
    return part.asset_start_seconds <= middle_seconds < part.asset_end_seconds


def _seconds(asset_us: int, part: PlayedPart) -> float:
    """Asset time to seconds of the playback, within the part."""
    within = min(max(asset_us / 1e6 - part.asset_start_seconds, 0.0), part.duration_seconds)
    return round(part.starts_at_seconds + within, 3)
