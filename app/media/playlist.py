"""Writes HLS playlists (RFC 8216) from entries that say what is played when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.base.errors import Unprocessable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
class Entry:
    """One media segment of a playlist. `header` is None for a gap, in which there is nothing to load."""

    uri: str
    duration_seconds: float
    header: MediaHeader | None
    range: ByteRange | None = None
    starts_at_us: int | None = None  # Unix microseconds
    after_discontinuity: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """An audio rendition of a multivariant playlist."""

    name: str
    uri: str


def media_playlist(
    entries: Sequence[Entry], *, is_event: bool = False, has_ended: bool = True, target_seconds: int = 1
) -> str:
    """A playlist of `entries`: VOD, or with `is_event` one that entries are appended to until it has ended.

    The target duration is `target_seconds`, or what the longest entry needs. Raises `Unprocessable` where
    there is no entry.
    """
    if not entries:
        raise Unprocessable("There is nothing to play in this stretch of time.")
    longest = max(entry.duration_seconds for entry in entries)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{8 if is_event else 7}",  # a gap may come, and needs 8
        f"#EXT-X-TARGETDURATION:{max(math.ceil(longest), target_seconds)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'EVENT' if is_event else 'VOD'}",
    ]
    header: MediaHeader | None = None
    for entry in entries:
        if entry.after_discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if entry.header and (not header or entry.header.identity != header.identity):
            header = entry.header
            byte_range = f',BYTERANGE="{header.range}"' if header.range else ""
            lines.append(f'#EXT-X-MAP:URI="{header.uri}"{byte_range}')
        lines += _segment(entry)
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if has_ended else []), ""])


def multivariant_playlist(
    picture_uri: str,
    sounds: Sequence[Sound],
    *,
    bits_per_second: int,
    codecs: str | None = None,
    size: tuple[int, int] | None = None,
) -> str:
    """One picture with the sounds that go with it, of which the first is heard (clause 4.3.4)."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
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


def _segment(entry: Entry) -> list[str]:
    lines = []
    if entry.starts_at_us is not None:
        at = _EPOCH + timedelta(microseconds=entry.starts_at_us)
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z")
    if entry.header is None:
        lines.append("#EXT-X-GAP")
    lines.append(f"#EXTINF:{entry.duration_seconds:.6f},")
    if entry.range:
        lines.append(f"#EXT-X-BYTERANGE:{entry.range}")
    return [*lines, entry.uri]
