"""Which sentences belong together, so that search finds them as one."""

from collections.abc import Sequence

from app.domain.transcripts.service import Spoken

PAUSE_US = 1_500_000  # who pauses so long has often finished a thought
LONGEST_US = 60_000_000
MOST_CHARACTERS = 800  # about what a sentence engine reads of a text
BY_PAUSES = "What belongs together was told by pauses, without a language model."


def stretches(spoken: Sequence[Spoken], segmentation: str | None) -> tuple[list[slice], str | None]:
    """The parts of `spoken` that are to be found together, in order and without holes; and what was done
    without.

    Each sentence is its own part, but for the segmentation `llm`.
    """
    if segmentation != "llm":
        return [slice(at, at + 1) for at in range(len(spoken))], None
    return by_pauses(spoken), BY_PAUSES


def by_pauses(spoken: Sequence[Spoken]) -> list[slice]:
    """Sentences up to a pause, or up to so many that they would say too much at once."""
    parts: list[slice] = []
    first, characters = 0, 0
    for at, one in enumerate(spoken):
        began = spoken[first]
        is_full = characters + len(one.text) > MOST_CHARACTERS or one.end_us - began.start_us > LONGEST_US
        if at > first and (is_full or one.start_us - spoken[at - 1].end_us >= PAUSE_US):
            parts.append(slice(first, at))
            first, characters = at, 0
        characters += len(one.text)
    return [*parts, slice(first, len(spoken))] if spoken else []
