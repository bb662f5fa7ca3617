"""What a media file holds."""

from dataclasses import dataclass
from pathlib import Path

import av

from app.base.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class Probe:
    """How long it lasts, and whether it has a picture and sound."""

    duration_seconds: float
    has_video: bool
    has_audio: bool


def probe(path: Path) -> Probe:
    """Look into the file at `path`. Raises `Unprocessable` when it cannot be read."""
    try:
        with av.open(str(path)) as container:
            return Probe(
                (container.duration or 0) / 1_000_000,
                bool(container.streams.video),
                bool(container.streams.audio),
            )
    except av.FFmpegError as error:
        raise Unprocessable("A clip's media file cannot be read.") from error
