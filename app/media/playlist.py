"""Writes HLS playlists (RFC 8216, low latency by draft-pantos-hls-rfc8216bis) from entries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.base.errors import Unprocessable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROUNDING_SECONDS = 0.000001
# Parts come in lumps, those of the mix when the slowest sound has them. The draft asks for three at least.
PART_HOLD_BACK = 5
# hls.js 1.7 takes a segment on the last line for the one that grows, and fails over the next.
_MORE = "# more follows"
SKIP_TARGETS = 6  # the least that the draft allows (clause 4.4.3.8)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A stretch of a file."""

    offset_bytes: int
    length_bytes: int

    def __str__(self) -> str:
        return f"{self.length_bytes}@{self.offset_bytes}"


@dataclass(frozen=True, slots=True)
class MediaHeader:
    """Where the header (`ftyp` and `moov`) of an entry lies; None as `range` is the whole file.

    Two entries with headers of the same `identity` are decoded alike, wherever the headers lie.
    """

    uri: str
    range: ByteRange | None
    identity: str


@dataclass(frozen=True, slots=True)
class PartEntry:
    """A partial segment: a file of its own with a stretch of an entry."""

    uri: str
    duration_seconds: float
    is_independent: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One media segment of a playlist. `header` is None for a gap, in which there is nothing to load.

    The last of a playlist may be open: only its parts are there yet. `next_part_uri` is the one to come.
    """

    uri: str
    duration_seconds: float
    header: MediaHeader | None
    range: ByteRange | None = None
    starts_at_us: int | None = None  # Unix microseconds
    after_discontinuity: bool = False
    parts: tuple[PartEntry, ...] = ()
    is_open: bool = False
    next_part_uri: str | None = None


@dataclass(frozen=True, slots=True)
class LowLatency:
    """What a playlist promises beside its parts. `skips` leaves out what a client has said to know."""

    part_target_seconds: float
    skips: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """An audio rendition of a multivariant playlist."""

    name: str
    uri: str


def media_playlist(
    entries: Sequence[Entry],
    *,
    is_event: bool = False,
    has_ended: bool = True,
    target_seconds: int = 1,
    low_latency: LowLatency | None = None,
) -> str:
    """A playlist of `entries`: VOD, or with `is_event` one that entries are appended to until it has ended.

    The target duration is `target_seconds`, or what the longest entry needs. With `low_latency` the newest
    entries are given in parts too, and clients may wait for the next. Raises `Unprocessable` where there is
    no entry.
    """
    if not entries:
        raise Unprocessable("There is nothing to play in this stretch of time.")
    closed = [entry.duration_seconds for entry in entries if not entry.is_open]
    target = max(math.ceil(max(closed, default=0.0) - _ROUNDING_SECONDS), target_seconds)
    skipped = _skipped(entries, target) if low_latency and low_latency.skips else 0
    version = 9 if low_latency else 8 if is_event else 7  # a gap may come, and needs 8; a skip needs 9
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{version}", f"#EXT-X-TARGETDURATION:{target}"]
    if low_latency:
        lines += _promises(low_latency, target)
    lines += ["#EXT-X-MEDIA-SEQUENCE:0", f"#EXT-X-PLAYLIST-TYPE:{'EVENT' if is_event else 'VOD'}"]
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    header: MediaHeader | None = None
    for entry in entries[:skipped]:
        header = entry.header or header
    in_parts = _first_with_parts(entries, target) if low_latency else len(entries)
    for number, entry in enumerate(entries[skipped:], skipped):
        if entry.after_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if entry.header and (not header or entry.header.identity != header.identity):
            header = entry.header
            byte_range = f',BYTERANGE="{header.range}"' if header.range else ""
            lines.append(f'#EXT-X-MAP:URI="{header.uri}"{byte_range}')
        lines += _segment(entry, with_parts=number >= in_parts)
    if has_ended:
        lines.append("#EXT-X-ENDLIST")
    elif low_latency and lines[-1] == entries[-1].uri:
        lines.append(_MORE)
    return "\n".join([*lines, ""])


def hold_back_seconds(target_seconds: int) -> int:
    """How far from the end players without parts stay, as the draft's clause 4.4.3.8 asks for."""
    return 3 * target_seconds


def closed_count(entries: Sequence[Entry]) -> int:
    """How many entries are whole."""
    return len(entries) - (1 if entries and entries[-1].is_open else 0)


def multivariant_playlist(
    picture_uri: str,
    sounds: Sequence[Sound],
    *,
    bits_per_second: int,
    codecs: str | None = None,
    size: tuple[int, int] | None = None,
) -> str:
    """One picture with the sounds that go with it, of which the first is heard (clause 4.3.4)."""
    # Nothing is said of independent segments: one that had to wait for its key frame is several entries.
    lines = ["#EXTM3U", "#EXT-X-VERSION:7"]
    for number, sound in enumerate(sounds):
        default = "NO" if number else "YES"
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="{sound.name}",DEFAULT={default},AUTOSELECT={default}'
            f',CHANNELS="2",URI="{sound.uri}"'
        )
    attributes = [f"BANDWIDTH={bits_per_second}"]
    attributes += [f'CODECS="{codecs}"'] if codecs else []
    attributes += [f"RESOLUTION={size[0]}x{size[1]}"] if size else []
    attributes += ['AUDIO="sound"'] if sounds else []
    return "\n".join([*lines, f"#EXT-X-STREAM-INF:{','.join(attributes)}", picture_uri, ""])


def _promises(low_latency: LowLatency, target: int) -> list[str]:
    part = low_latency.part_target_seconds
    return [
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={SKIP_TARGETS * target}.0"
        f",HOLD-BACK={hold_back_seconds(target)}.0,PART-HOLD-BACK={PART_HOLD_BACK * part:.3f}",
        f"#EXT-X-PART-INF:PART-TARGET={part:.3f}",
    ]


def _first_with_parts(entries: Sequence[Entry], target: int) -> int:
    """Parts are of use only within three target durations of the end (clause 6.2.2)."""
    return _first_within(entries, hold_back_seconds(target))


def _skipped(entries: Sequence[Entry], target: int) -> int:
    """How many entries lie further from the end than the skip boundary (clause 4.4.5.2)."""
    return _first_within(entries, SKIP_TARGETS * target)


def _first_within(entries: Sequence[Entry], seconds: float) -> int:
    left, number = seconds, len(entries)
    while number and left > 0:
        number -= 1
        left -= entries[number].duration_seconds
    return number


def _segment(entry: Entry, *, with_parts: bool) -> list[str]:
    lines = []
    if entry.starts_at_us is not None and (entry.parts or not entry.is_open):
        at = _EPOCH + timedelta(microseconds=entry.starts_at_us)
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z")
    if with_parts:
        for part in entry.parts:
            independent = ",INDEPENDENT=YES" if part.is_independent else ""
            lines.append(f'#EXT-X-PART:DURATION={part.duration_seconds:.6f},URI="{part.uri}"{independent}')
    if entry.is_open:
        hint = entry.next_part_uri
        return [*lines, *([f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint}"'] if hint else [])]
    if entry.header is None:
        lines.append("#EXT-X-GAP")
    lines.append(f"#EXTINF:{entry.duration_seconds:.6f},")
    if entry.range:
        lines.append(f"#EXT-X-BYTERANGE:{entry.range}")
    return [*lines, entry.uri]
