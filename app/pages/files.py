"""Files of recorded media as players see them: a stored object, or its header and one stretch of it."""

from dataclasses import dataclass

from app.pages.broadcast import Broadcast
from app.pages.playing import Playing


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The object at `storage_key` from its start, without the `skipped_bytes` behind its header."""

    storage_key: str
    media_type: str
    size_bytes: int
    init_length_bytes: int
    skipped_bytes: int = 0

    def stored_ranges(self, first: int, last: int) -> list[tuple[int, int]]:
        """Where bytes `first` to `last` of the file lie in storage: offsets and lengths."""
        header = self.init_length_bytes
        ranges = []
        if first < header:
            ranges.append((first, min(last + 1, header) - first))
        if last >= header:
            start = max(first, header)
            ranges.append((start + self.skipped_bytes, last + 1 - start))
        return ranges


def stored_file(playing: Playing | Broadcast, name: str) -> StoredFile | None:
    """The file that a playlist of `playing` calls `name`."""
    if isinstance(playing, Broadcast):
        row = playing.segment(name.removesuffix(".mp4"))
        if row is None or row.hls_index is None:
            return None
        return StoredFile(row.storage_key, "video/mp4", row.size_bytes, row.hls_index["init_length_bytes"])
    part = next((part for part in playing.parts if part.file_name == name), None)
    if part is None:
        return None
    return StoredFile(
        part.asset.storage_key,
        part.asset.media_type,
        part.size_bytes,
        part.init_length_bytes,
        part.skipped_bytes,
    )
