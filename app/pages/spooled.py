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

from pydantic import ValidationError

from app.base.errors import Unprocessable
from app.domain.streams.models import Segment
from app.domain.streams.spooled import Recorded, read_manifest
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
class _File:
    """A segment in the folder; `state` changes with it."""

    path: Path
    state: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    state: tuple[int, ...]
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

    def signature(self, stream_ids: Sequence[str]) -> frozenset[tuple[str, tuple[int, ...]]]:
        """Changes whenever something is recorded of one of the streams."""
        return frozenset((one.path.name, one.state) for name in stream_ids for one in self._files(name))

    def segments(self, stream_id: str) -> list[SpooledSegment]:
        """What can be played of what is recorded of the stream and may not be registered yet, in no order."""
        with self._lock:
            return self._segments(stream_id)

    def _segments(self, stream_id: str) -> list[SpooledSegment]:
        found = []
        for file in self._files(stream_id):
            name = file.path.stem
            kept = self._read.get(name)
            if kept is None or kept.state != file.state or kept.segment.grows:
                segment = _open(file, kept.segment if kept else None)
                if segment is None:
                    continue
                kept = self._read[name] = _Read(file.state, segment)
            self._read.move_to_end(name)
            found.append(kept.segment)
        while len(self._read) > KEPT_SEGMENTS:
            self._read.popitem(last=False)
        return found

    def _files(self, stream_id: str) -> list[_File]:
        """By their manifests, which stay until a segment is registered; its media may leave before."""
        seen: dict[str, os.stat_result] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder(stream_id)) as entries:
            for entry in entries:
                # One that is taken away meanwhile may not take the others with it.
                with suppress(FileNotFoundError):
                    seen[entry.name] = entry.stat()
        files = []
        for name, manifest in seen.items():
            stem, dot, suffix = name.rpartition(".")
            if suffix != "json":
                continue
            media = seen.get(f"{stem}{dot}mp4")
            state = (manifest.st_mtime_ns, *((media.st_size, media.st_mtime_ns) if media else ()))
            files.append(_File(self._folder(stream_id) / f"{stem}.mp4", state))
        return files

    def _folder(self, stream_id: str) -> Path:
        return self._root / stream_id


def _open(file: _File, before: SpooledSegment | None) -> SpooledSegment | None:
    """The segment by now, `before` where it cannot be read; None where it holds nothing, or is registered."""
    try:
        # The manifest first: a file that grew on after it was finished there is not.
        manifest = read_manifest(file.path.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        return before
    if manifest.container != "mp4":
        return None
    grows = manifest.recorded is None
    try:
        with file.path.open("rb") as media:
            grown = read_grown(media, grows=grows)
            digest = header_digest(media, grown.index)
    except FileNotFoundError:
        if grows or manifest.hls_index is None:
            return before
        return SpooledSegment(manifest.row(), file.path, False, before.frames if before else ())
    except (OSError, Unprocessable):
        return before
    if before is not None and len(grown.frames) < len(before.frames):
        return before  # read while it was written to
    known = {
        "recorded": manifest.recorded or _so_far(grown),
        "hls_index": manifest.hls_index or grown.index.to_json(),
        "header_digest": manifest.header_digest or digest,
    }
    return SpooledSegment(manifest.model_copy(update=known).row(), file.path, grows, grown.frames)


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
