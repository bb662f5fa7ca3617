"""What of an utterance is still to be listened to, where some of what was recorded is understood already."""

from collections.abc import Sequence

from app.media.samples import SAMPLE_RATE_HZ
from app.media.utterances import Utterance

# Words begin a little after the sound of their utterance, and end before it: what is left at its ends is no
# speech. Nobody says much in less.
_SHORTEST_LEFT_US = 1_000_000


def left_unheard(utterance: Utterance, heard: Sequence[tuple[int, int]]) -> list[Utterance]:
    """The parts of it that lie outside of all of `heard`, stretches of its clock in microseconds.

    One that overlaps none of them is left whole, however short it is.
    """
    begun_us, ended_us = utterance.started_at_us, utterance.ended_at_us
    within = sorted((start, end) for start, end in heard if start < ended_us and end > begun_us)
    if not within:
        return [utterance]
    left, at_us = [], begun_us
    for start, end in [*within, (ended_us, ended_us)]:
        if start - at_us >= _SHORTEST_LEFT_US:
            left.append(_part(utterance, at_us, start))
        at_us = max(at_us, end)
    return left


def _part(utterance: Utterance, start_us: int, end_us: int) -> Utterance:
    first, last = (
        round((at_us - utterance.started_at_us) * SAMPLE_RATE_HZ / 1_000_000) for at_us in (start_us, end_us)
    )
    return Utterance(utterance.samples[first:last].copy(), start_us, end_us)
