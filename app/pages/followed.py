"""What has been said of a live playback: nothing of it is taken back, and nothing is worked out twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from app.domain.streams.playback import KnownSegments
from app.media.live import LiveSegment
from app.media.playlist import Entry

# A player that has some parts of the last segment when it is told of the end takes it for whole. Until then
# it has loaded the others.
LAST_PARTS_SECONDS = 3.0


@dataclass(slots=True)
class Followed:
    """Grows with every look at one playback.

    `finished` and `entries` are of segments that grow no more, by their names. `here` are the streams that
    have been recorded into this spool, whether or not it still has anything of them. `mix` are the pieces of
    the mix that are whole, which is recorded until `mix_until_us` (Unix microseconds). `frames`, in seconds
    from the first, are of segments that grew when they were last seen in the spool.
    """

    known: KnownSegments = field(default_factory=KnownSegments)
    finished: dict[str, LiveSegment] = field(default_factory=dict)
    entries: dict[str, Sequence[Entry]] = field(default_factory=dict)
    frames: dict[str, tuple[float, ...]] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    mix: list[Entry] = field(default_factory=list)
    mix_until_us: int = 0
    lived_at: float | None = None

    def says_ended(self, *, is_live: bool) -> bool:
        """Whether players are told that nothing more comes."""
        if is_live:
            self.lived_at = monotonic()
        return not is_live and (self.lived_at is None or monotonic() - self.lived_at >= LAST_PARTS_SECONDS)
