"""The words of a playback on the playback's own timeline, without what it leaves out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import list_utterances
from app.pages.broadcast import Broadcast
from app.pages.playing import PlayedPart, Playing
from app.wire.envelope import Json

# What began to be written down before a question may become visible so much after it.
OVERTAKING = timedelta(seconds=10)


class _Timeline(Protocol):
    """Where what was said is played; `at_us` counts as the utterances' times do."""

    def playback_seconds(self, at_us: int) -> float: ...

    def is_played(self, at_us: float) -> bool: ...


def cursor_at(now: datetime) -> int:
    """From where to ask again for what is written down after `now`: a number that only this room reads."""
    return round((now - OVERTAKING).timestamp() * 1000)


async def read_transcript(
    session: AsyncSession, playing: Playing | Broadcast, *, cursor: int | None = None
) -> list[Json]:
    """Utterances in the order in which they are heard: `start`, `end` (seconds), `text` and `words`.

    With a `cursor` only those that have been written down since, and some of before.
    """
    if isinstance(playing, Broadcast):
        return await _of_streams(session, playing, cursor)
    heard: list[Json] = []
    for part in playing.parts:
        heard += _placed(await _of_part(session, part), part)
    return heard


async def _of_part(session: AsyncSession, part: PlayedPart) -> list[Utterance]:
    utterances, _ = await list_utterances(
        session,
        asset_id=part.asset.id,
        start_us=round(part.asset_start_seconds * 1e6),
        end_us=round(part.asset_end_seconds * 1e6),
    )
    return utterances


async def _of_streams(session: AsyncSession, broadcast: Broadcast, cursor: int | None) -> list[Json]:
    heard: list[Json] = []
    for stream_id in {stretch.stream.id for stretch in broadcast.stretches}:
        utterances, _ = await list_utterances(
            session,
            stream_id=stream_id,
            start_us=broadcast.starts_us,
            end_us=broadcast.plays_until_us,
            written_since=None if cursor is None else datetime.fromtimestamp(cursor / 1000, UTC),
        )
        heard += _placed(utterances, broadcast)
    return sorted(heard, key=lambda utterance: float(utterance["start"]))


def _placed(utterances: Sequence[Utterance], timeline: _Timeline) -> list[Json]:
    placed = (_place(utterance, timeline) for utterance in utterances)
    return [one for one in placed if one is not None]


def _place(utterance: Utterance, timeline: _Timeline) -> Json | None:
    """The utterance as it is heard; of one that is cut, the words of which the middle is played."""
    start, end = timeline.playback_seconds(utterance.start_us), timeline.playback_seconds(utterance.end_us)
    if not utterance.words:
        return {"start": start, "end": end, "text": utterance.text.strip(), "words": []}
    words = [_word(word, timeline) for word in utterance.words if _is_played(word, timeline)]
    if not words:
        return None
    is_whole = len(words) == len(utterance.words)
    text = utterance.text.strip() if is_whole else " ".join(word["text"] for word in words)
    return {"start": start, "end": end, "text": text, "words": words}


def _word(word: dict[str, Any], timeline: _Timeline) -> Json:
    start, end = timeline.playback_seconds(word["start_us"]), timeline.playback_seconds(word["end_us"])
    return {"start": start, "end": end, "text": word["text"].strip()}


def _is_played(word: dict[str, Any], timeline: _Timeline) -> bool:
    return timeline.is_played((word["start_us"] + word["end_us"]) / 2)
