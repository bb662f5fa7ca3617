"""What the servers of `bench.ingest` recorded, counted in their files."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import av

_MJR_HEADER, _MJR_PACKET = b"MJR00002", b"MEET"


def recorded_frames(folder: Path) -> dict[str, int]:
    """How many `pictures` and `sounds` the folder's files hold."""
    counts = {"pictures": 0, "sounds": 0}
    for path in folder.rglob("*.mp4"):
        if not path.stat().st_size:
            continue
        with av.open(str(path)) as container:
            kind = "pictures" if container.streams.video else "sounds"
            counts[kind] += sum(1 for packet in container.demux() if packet.size)
    for path in folder.rglob("*.mjr"):
        kind, times = _read_mjr(path.read_bytes())
        counts[kind] += times
    return counts


def _read_mjr(data: bytes) -> tuple[str, int]:
    """The kind of a Janus recording and how many RTP timestamps it has: one for each frame."""
    at, kind, times = 0, "sounds", set[int]()
    for marker, content in _chunks(data, at):
        if marker == _MJR_HEADER:
            kind = "pictures" if json.loads(content)["t"] == "v" else "sounds"
        elif len(content) >= 12:
            times.add(struct.unpack_from("!L", content, 4)[0])
    return kind, len(times)


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    while at + 10 <= len(data):
        marker = data[at : at + 8]
        (size,) = struct.unpack_from("!H", data, at + 8)
        yield marker, data[at + 10 : at + 10 + size]
        at += 10 + size
