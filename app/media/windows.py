"""The mix in windows that are made apart and play as one: AAC frames on one grid for all of time.

Frame `n` holds the samples from `1024 n` on, counted from the Unix epoch, and window `w` the frames from
`1500 w` on. So a window can be made as soon as its sound is recorded, whatever the capture's second zero
turns out to be, and its frames follow on those of the window before it.

Two things make that inaudible. A window is mixed and encoded from `_PREROLL_FRAMES` before its first frame to
`_POSTROLL_FRAMES` after its last, of which nothing is kept: decoder, limiter and encoder have settled at its
edges, and a frame's overlap with its neighbour is that of the same sound. And each track goes on from where
the window before left it, to the sample.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av

from app.media.recorded import RecordedTrack
from app.media.sound import PlacedTrack, Placement, Sound, mixed
from app.media.writing import AUDIO_FRAGMENTS, add_aac_stream, encoded

FRAME_SAMPLES = 1024
WINDOW_FRAMES = 1500
WINDOW_US = 32_000_000
PREROLL_US, POSTROLL_US = 1_024_000, 128_000
_PREROLL_FRAMES, _POSTROLL_FRAMES = 48, 6
_MIXED_FRAMES = _PREROLL_FRAMES + WINDOW_FRAMES + _POSTROLL_FRAMES
_SETTLED = 8  # from this frame on, every frame of silence is the same


@dataclass(frozen=True, slots=True)
class MixedWindow:
    """An M4A file of a window's frames, and from where the next window takes each track on."""

    data: bytes
    placements: dict[str, Placement]


def window_at(at_us: int) -> int:
    """The window in which this Unix time lies."""
    return at_us // WINDOW_US


def frame_at(at_us: int) -> int:
    """The frame in which this Unix time lies."""
    return at_us * 3 // 64_000


def frame_starts_at_us(frame: int) -> int:
    """The first whole Unix microsecond of a frame."""
    return -(-frame * 64_000 // 3)


def mix_window(
    window: int, tracks: Mapping[str, RecordedTrack], placements: Mapping[str, Placement]
) -> MixedWindow:
    """Mix and encode a window of `tracks`, of which the segments from its pre-roll to its post-roll are
    enough. `placements` are those of the window before, where there is one."""
    zero_us = window * WINDOW_US - PREROLL_US
    mark_us = (window + 1) * WINDOW_US - PREROLL_US
    placed = {
        name: PlacedTrack(track, zero_us, resume=placements.get(name), mark_us=mark_us)
        for name, track in tracks.items()
    }
    frames = mixed([Sound(track.blocks()) for track in placed.values()], _MIXED_FRAMES * FRAME_SAMPLES)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options=AUDIO_FRAGMENTS) as output:
        for packet in encoded(frames, add_aac_stream(output)):
            frame = (packet.pts or 0) // FRAME_SAMPLES - _PREROLL_FRAMES
            if 0 <= frame < WINDOW_FRAMES:
                packet.pts = packet.dts = frame * FRAME_SAMPLES
                output.mux_one(packet)
    return MixedWindow(
        file.getvalue(),
        {name: track.placement for name, track in placed.items() if track.placement is not None},
    )


def mixed_frames(windows: Mapping[int, Path], first: int, end: int) -> Iterator[bytes]:
    """Yield the encoded frames `first` to `end`; where no window is, silence."""
    at = first
    while at < end:
        window, skip = divmod(at, WINDOW_FRAMES)
        count = min(WINDOW_FRAMES - skip, end - at)
        if window in windows:
            yield from _read(windows[window])[skip : skip + count]
        else:
            yield from [aac_silence()[1]] * count
        at += count


@cache
def aac_silence() -> tuple[av.AudioStream, bytes]:
    """The description of every AAC track that is made here, and a frame of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options=AUDIO_FRAGMENTS) as output:
        for packet in encoded(mixed([], 2 * _SETTLED * FRAME_SAMPLES), add_aac_stream(output)):
            output.mux_one(packet)
    container = av.open(io.BytesIO(file.getvalue()), "r")
    stream = container.streams.audio[0]
    frames = [bytes(packet) for packet in container.demux(stream) if packet.size]
    return stream, frames[_SETTLED]


def _read(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
