"""What has been said of a live playback: nothing of it is taken back, and nothing is worked out twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.streams.playback import KnownSegments
from app.media.live import LiveSegment
from app.media.playlist import Entry


@dataclass(slots=True)
class Followed:
    """Grows with every look at one playback.

    `finished` and `entries` are of segments that grow no more, by their names. `here` are the streams that
    have been recorded into this spool, whether or not it still has anything of them. `mix` are the pieces of
    the mix that are whole, which is recorded until `mix_until_us` (Unix microseconds).
    """

    known: KnownSegments = field(default_factory=KnownSegments)
    finished: dict[str, LiveSegment] = field(default_factory=dict)
    entries: dict[str, Sequence[Entry]] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    mix: list[Entry] = field(default_factory=list)
    mix_until_us: int = 0
