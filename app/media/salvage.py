"""What a crash left of a segment that was being written: its whole parts, measured."""

import os
from dataclasses import dataclass
from pathlib import Path

import av

from app.media.parts import Container, part_ends


@dataclass(frozen=True, slots=True)
class Salvaged:
    """`duration_us` counts from the first frame."""

    size_bytes: int
    duration_us: int
    frame_count: int
    starts_with_keyframe: bool
    width: int | None
    height: int | None


def salvage(path: Path, container: Container) -> Salvaged | None:
    """Cut the file at `path` after its last whole part and measure it; None where nothing of it plays.

    Raises `OSError`.
    """
    with path.open("r+b") as file:
        ends = part_ends(file, container)
        if not ends:
            return None
        file.truncate(ends[-1])
        os.fsync(file.fileno())
    try:
        return _measured(path, ends[-1])
    except (av.FFmpegError, IndexError):
        return None


def _measured(path: Path, size_bytes: int) -> Salvaged | None:
    with av.open(str(path)) as input_:
        stream = input_.streams[0]
        packets = [packet for packet in input_.demux(stream) if packet.pts is not None and packet.size]
        if not packets or stream.time_base is None:
            return None
        times = [packet.pts or 0 for packet in packets]
        # WebM says no duration: a picture is taken to last as long as the one before.
        last = packets[-1].duration or (times[-1] - times[-2] if len(times) > 1 else 0)
        video = stream if isinstance(stream, av.VideoStream) else None
        return Salvaged(
            size_bytes=size_bytes,
            duration_us=max(round(float((times[-1] + last - times[0]) * stream.time_base) * 1e6), 1),
            frame_count=len(packets),
            starts_with_keyframe=packets[0].is_keyframe,
            width=video.width if video else None,
            height=video.height if video else None,
        )
