"""Matches that follow each other, as one."""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.search.service import Match

# Between sentences of one thought, and between the windows of an index.
LONGEST_GAP_US = 2_000_000


def stitched(matches: Sequence[Match], *, longest_us: int | None = None) -> list[Match]:
    """The matches with those joined that touch each other in one source, or nearly: as good as the best of
    them, and where that stood. None becomes longer than `longest_us`.
    """
    rows = sorted(enumerate(matches), key=lambda row: (*_source(row[1]), row[1].start_us))
    joined: list[tuple[int, Match]] = []
    for place, match in rows:
        if joined and _follows(joined[-1][1], match, longest_us):
            first, before = joined[-1]
            joined[-1] = min(first, place), _both(before, match)
        else:
            joined.append((place, match))
    return [match for _, match in sorted(joined, key=lambda row: row[0])]


def _source(match: Match) -> tuple[str, str, str]:
    return match.stream_id or match.asset_id or "", match.kind, match.index_id or ""


def _follows(before: Match, match: Match, longest_us: int | None) -> bool:
    if _source(before) != _source(match) or match.start_us - before.end_us > LONGEST_GAP_US:
        return False
    return longest_us is None or max(before.end_us, match.end_us) - before.start_us <= longest_us


def _both(before: Match, match: Match) -> Match:
    return replace(
        before,
        end_us=max(before.end_us, match.end_us),
        text=f"{before.text} {match.text}",
        score=max(before.score, match.score),
    )
