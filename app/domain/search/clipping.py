"""Turns what a search found in a recording into clips with borders that nobody is cut off at."""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.search.service import Match

SHORTEST_US = 3_000_000
LONGEST_US = 60_000_000
GAP_US = 2_000_000  # between two that are one clip
# What is far worse than the best match was only found because there was room for it.
LEAST_SHARE = 0.6


def cut_clips(
    matches: Sequence[Match], said: Sequence[tuple[int, int]], length_us: int, *, whole_sentences: bool
) -> list[Match]:
    """Clips of one asset of `length_us`, in the order of time, of which no two overlap.

    With `whole_sentences` none begins or ends within one of `said`; a clip that is too short grows by
    sentences beside it, and then by what is around it. One grows to `LONGEST_US` at most.
    """
    best = max((match.score for match in matches), default=0.0)
    close = sorted(
        (match for match in matches if match.score >= best * LEAST_SHARE), key=lambda match: match.start_us
    )
    clips: list[Match] = []
    for match in _joined(close):
        clip = _whole(match, said) if whole_sentences else match
        clip = _long_enough(clip, said if whole_sentences else (), length_us)
        if clips and clip.start_us < clips[-1].end_us:
            together = _together(clips[-1], clip)
            if together.end_us - together.start_us <= LONGEST_US:
                clips[-1] = together
                continue
            clip = replace(clip, start_us=clips[-1].end_us)
        if clip.end_us > clip.start_us:
            clips.append(clip)
    return clips


def _joined(matches: Sequence[Match]) -> list[Match]:
    joined: list[Match] = []
    for match in matches:
        if joined and match.start_us - joined[-1].end_us <= GAP_US:
            together = _together(joined[-1], match)
            if together.end_us - together.start_us <= LONGEST_US:
                joined[-1] = together
                continue
        joined.append(match)
    return joined


def _together(first: Match, second: Match) -> Match:
    """Both as one, with the index of the better."""
    better = first if first.score >= second.score else second
    return replace(
        better,
        start_us=min(first.start_us, second.start_us),
        end_us=max(first.end_us, second.end_us),
        text=" ".join(dict.fromkeys((first.text, second.text))),
    )


def _whole(clip: Match, said: Sequence[tuple[int, int]]) -> Match:
    """The clip with all of the sentences that it begins and ends in, where that is not too much."""
    start_us = min([start for start, end in said if start < clip.start_us < end], default=clip.start_us)
    end_us = max([end for start, end in said if start < clip.end_us < end], default=clip.end_us)
    return replace(clip, start_us=start_us, end_us=end_us) if end_us - start_us <= LONGEST_US else clip


def _long_enough(clip: Match, said: Sequence[tuple[int, int]], length_us: int) -> Match:
    start_us, end_us = max(clip.start_us, 0), min(clip.end_us, length_us)
    while end_us - start_us < SHORTEST_US:
        after = [end for start, end in said if 0 <= start - end_us <= GAP_US and end > end_us]
        before = [start for start, end in said if 0 <= start_us - end <= GAP_US and start < start_us]
        if after and min(after) - start_us <= LONGEST_US:
            end_us = min(min(after), length_us)
        elif before and end_us - max(before) <= LONGEST_US:
            start_us = max(max(before), 0)
        else:
            break
    missing_us = max(SHORTEST_US - (end_us - start_us), 0)
    start_us = max(min(start_us - missing_us // 2, length_us - SHORTEST_US), 0)
    return replace(clip, start_us=start_us, end_us=min(max(end_us, start_us + SHORTEST_US), length_us))
