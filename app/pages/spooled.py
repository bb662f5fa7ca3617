"""Segments that the ingest process of this data folder still holds: growing, or on their way to storage.

The spool (`app/ingest/spool`) keeps `<stream id>/<segment id>.mp4` and a manifest beside it. They are only
read here: recording pays nothing for being watched, and pages of another machine play what is stored.
"""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection
from pydantic import ValidationError

from app.base.errors import Unprocessable
from app.domain.streams.models import Segment
from app.domain.streams.spooled import Manifest, Recorded
from app.media.hls import header_digest
from app.media.live_parts import GrownFile, read_grown
from app.process import Context

KEPT_SEGMENTS = 2048


@dataclass(frozen=True, slots=True)
class SpooledSegment:
    """A segment's file, and its row as it would be if it were registered now."""

    row: Segment
    path: Path
    grows: bool
    frames: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    size_bytes: int
    modified_ns: int
    segment: SpooledSegment


class Spooled:
    """What of the spool under `data_dir` has been read, with the frames of segments that have left it since.

    Methods block.
    """

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "spool"
        self._read: OrderedDict[str, _Read] = OrderedDict()
        self._lock = threading.Lock()

    def is_here(self, stream_id: str) -> bool:
        """Whether the stream is recorded into this spool."""
        return self._folder(stream_id).is_dir()

    def frames(self, segment_id: str) -> tuple[float, ...]:
        """When the frames of a segment are shown, in seconds from its first; empty where that is unknown."""
        kept = self._read.get(segment_id)
        return kept.segment.frames if kept else ()

    def signature(self, stream_ids: Sequence[str]) -> frozenset[tuple[str, int, int]]:
        """Changes whenever something is recorded of one of the streams."""
        seen = set()
        for stream_id in stream_ids:
            for path, status in self._files(stream_id):
                seen.add((path.name, status.st_size, status.st_mtime_ns))
        return frozenset(seen)

    def segments(self, stream_id: str) -> list[SpooledSegment]:
        """What can be played of what the spool holds of the stream, in no order."""
        with self._lock:
            return self._segments(stream_id)

    def _segments(self, stream_id: str) -> list[SpooledSegment]:
        found = []
        for path, status in self._files(stream_id):
            kept = self._read.get(path.stem)
            is_same = kept and (kept.size_bytes, kept.modified_ns) == (status.st_size, status.st_mtime_ns)
            # A segment is finished by its manifest alone.
            if kept and is_same and not kept.segment.grows:
                self._read.move_to_end(path.stem)
                found.append(kept.segment)
                continue
            segment = _open(path)
            if kept and (segment is None or segment.row.frame_count < kept.segment.row.frame_count):
                # Read while it was written to: what was seen of it is true. One that is gone is a row.
                segment = kept.segment if path.exists() else None
            if segment is None:
                continue
            self._read[path.stem] = _Read(status.st_size, status.st_mtime_ns, segment)
            self._read.move_to_end(path.stem)
            found.append(segment)
        while len(self._read) > KEPT_SEGMENTS:
            self._read.popitem(last=False)
        return found

    def _files(self, stream_id: str) -> list[tuple[Path, os.stat_result]]:
        found = []
        with suppress(FileNotFoundError), os.scandir(self._folder(stream_id)) as entries:
            for entry in entries:
                # One that is taken away meanwhile is registered: it may not take the others with it.
                with suppress(FileNotFoundError):
                    if entry.name.endswith(".mp4"):
                        found.append((Path(entry.path), entry.stat()))
        return found

    def _folder(self, stream_id: str) -> Path:
        return self._root / stream_id


def _open(path: Path) -> SpooledSegment | None:
    """The segment at `path`; None where it is gone, holds nothing yet or cannot be played."""
    try:
        # The manifest first: a file that grew on after it was finished there is not.
        manifest = Manifest.model_validate_json(path.with_suffix(".json").read_bytes())
        grows = manifest.recorded is None
        with path.open("rb") as file:
            grown = read_grown(file, grows=grows)
            digest = header_digest(file, grown.index)
    except (OSError, Unprocessable, ValidationError):
        return None
    recorded = manifest.recorded or _so_far(grown)
    known = {
        "recorded": recorded,
        "hls_index": manifest.hls_index or grown.index.to_json(),
        "header_digest": manifest.header_digest or digest,
    }
    return SpooledSegment(manifest.model_copy(update=known).row(), path, grows, grown.frames)


def _so_far(grown: GrownFile) -> Recorded:
    last = grown.index.fragments[-1]
    return Recorded(
        size_bytes=last.offset_bytes + last.length_bytes,
        duration_us=max(round(grown.index.duration_seconds * 1e6), 1),
        frame_count=len(grown.frames),
        starts_with_keyframe=grown.index.fragments[0].starts_with_keyframe,
        width=None,
        height=None,
    )


async def read_recorded(context: Context, row: Segment, held: SpooledSegment | None) -> bytes:
    """A recorded segment's bytes, as many as its row knows of; from storage once they have left the spool."""
    if held is not None:
        data = await asyncio.to_thread(_read_bytes, held.path, row.size_bytes)
        if data is not None:
            return data
    return b"".join([block async for block in context.storage.read(row.storage_key)])


def _read_bytes(path: Path, size_bytes: int) -> bytes | None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(size_bytes)
    return None


def _spooled(connection: HTTPConnection) -> Spooled:
    spooled: Spooled = connection.app.state.spooled
    return spooled


AppSpooled = Annotated[Spooled, Depends(_spooled)]
