"""Renders an editor timeline: layers over a background, with their sound, as one finished file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from app.base.errors import InvalidRequest, Unprocessable
from app.media.layers import Clip, Fit, Layer, Picture, Plane, VideoLayer, clamped, clip_sound, planes, probe
from app.media.sound import RATE_HZ, Sound, mixed
from app.media.writing import (
    KEYFRAME_SECONDS,
    VIDEO_FRAGMENTS,
    VIDEO_TIME_BASE,
    ExportedFile,
    add_aac_stream,
    add_h264_stream,
    encoded,
    write_interleaved,
)

__all__ = ["Clip", "Fit", "Timeline", "Track", "render_timeline"]

FRAMES_PER_SECOND = 30
_LONGEST_STILL_SECONDS = 1.0  # a picture that does not change is written this often, for seeking


@dataclass(frozen=True, slots=True)
class Track:
    """Clips on one level, in any order; where they overlap, the later one lies above."""

    clips: Sequence[Clip]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Tracks from the bottom to the top on a canvas of even sides; `background` is `#rrggbb`."""

    width: int
    height: int
    background: str
    tracks: Sequence[Track]


def render_timeline(
    timeline: Timeline, target: Path, on_progress: Callable[[float], None] | None = None
) -> ExportedFile:
    """Write the timeline to `target` as fragmented MP4; a clip ends where its file ends.

    Raises `InvalidRequest` for a canvas or colour that cannot be, `Unprocessable` for a file that cannot be
    read, has not the kind of media its clip needs, or leaves nothing to show. Nothing is left at `target`
    on failure.
    """
    if timeline.width <= 0 or timeline.height <= 0 or timeline.width % 2 or timeline.height % 2:
        raise InvalidRequest("A timeline's width and height must be even.", field="resolution")
    background = _background(timeline)
    layers, sounding = _opened(timeline)
    seconds = max((clip.end_seconds for clip in [*(layer.clip for layer in layers), *sounding]), default=0.0)
    if seconds < 1 / FRAMES_PER_SECOND:
        raise Unprocessable("The timeline's clips begin after the ends of their media.")
    try:
        with av.open(str(target), "w", format="mp4", options=VIDEO_FRAGMENTS) as output:
            video = add_h264_stream(output, timeline.width, timeline.height)
            parts = [encoded(_composed(layers, background, seconds), video)]
            if sounding:
                sounds = [
                    Sound(clip_sound(clip), begins=round(clip.start_seconds * RATE_HZ)) for clip in sounding
                ]
                parts.append(encoded(mixed(sounds, round(seconds * RATE_HZ)), add_aac_stream(output)))
            duration_seconds = write_interleaved(output, parts, seconds, on_progress)
    except av.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise Unprocessable("A clip's media file cannot be read.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        for layer in layers:
            layer.close()
    return ExportedFile(target, duration_seconds, True, bool(sounding), timeline.width, timeline.height)


def _opened(timeline: Timeline) -> tuple[list[Layer], list[Clip]]:
    """The layers from the bottom to the top, and the clips that sound."""
    layers: list[Layer] = []
    sounding: list[Clip] = []
    for track in timeline.tracks:
        for clip in track.clips:
            found = probe(clip.path)
            if not (found.has_video if clip.kind == "video" else found.has_audio):
                raise Unprocessable(f"A clip's media file has no {clip.kind}.")
            shortened = clamped(clip, found)
            if shortened.duration_seconds <= 0:
                continue
            if clip.kind == "video":
                layers.append(VideoLayer(shortened, timeline.width, timeline.height))
            if found.has_audio and clip.volume > 0:
                sounding.append(shortened)
    return layers, sounding


def _composed(
    layers: list[Layer], background: tuple[Plane, Plane, Plane], seconds: float
) -> Iterator[av.VideoFrame]:
    """Yield a frame at each instant of the frame rate where the picture changes."""
    shown: list[Picture] | None = None
    shown_at = key_at = 0.0
    count = max(round(seconds * FRAMES_PER_SECOND), 1)
    for number in range(count):
        at = number / FRAMES_PER_SECOND
        pictures = [picture for picture in (_picture(layer, at) for layer in layers) if picture]
        still = shown is not None and len(shown) == len(pictures)
        still = still and all(one is other for one, other in zip(shown or [], pictures, strict=False))
        if still and at - shown_at < _LONGEST_STILL_SECONDS and number < count - 1:
            continue
        frame = _painted(background, pictures)
        frame.pts, frame.time_base = round(at / VIDEO_TIME_BASE), VIDEO_TIME_BASE
        if number == 0 or at - key_at >= KEYFRAME_SECONDS:
            frame.pict_type, key_at = av.video.frame.PictureType.I, at
        shown, shown_at = pictures, at
        yield frame


def _picture(layer: Layer, at: float) -> Picture | None:
    if at >= layer.clip.end_seconds:
        layer.close()
        return None
    return layer.picture_at(at) if at >= layer.clip.start_seconds else None


def _painted(background: tuple[Plane, Plane, Plane], pictures: list[Picture]) -> av.VideoFrame:
    canvas = [plane.copy() for plane in background]
    for picture in pictures:
        for under, over in zip(canvas, picture.planes, strict=True):
            _lay(under, over, picture.opacity)
    packed = np.concatenate([plane.reshape(-1) for plane in canvas])
    return av.VideoFrame.from_ndarray(packed.reshape(-1, background[0].shape[1]), format="yuv420p")


def _lay(under: Plane, over: Plane, opacity: float) -> None:
    """Lay `over` on the middle of `under`, cutting off what juts out."""
    spots, cuts = [], []
    for room, size in zip(under.shape, over.shape, strict=True):
        begin = (room - size) // 2
        spots.append(slice(max(begin, 0), max(begin, 0) + min(room, size)))
        cuts.append(slice(max(-begin, 0), max(-begin, 0) + min(room, size)))
    spot, part = (spots[0], spots[1]), over[cuts[0], cuts[1]]
    if opacity >= 1:
        under[spot] = part
    elif opacity > 0:
        weight = round(opacity * 256)
        blended = under[spot].astype(np.uint16) * (256 - weight) + part.astype(np.uint16) * weight
        under[spot] = (blended >> 8).astype(np.uint8)


def _background(timeline: Timeline) -> tuple[Plane, Plane, Plane]:
    """The canvas in the background's colour."""
    colour = timeline.background.removeprefix("#")
    try:
        rgb = bytes.fromhex(colour)
    except ValueError:
        rgb = b""
    if len(rgb) != 3:
        raise InvalidRequest("A background is a colour like #1a2b3c.", field="background")
    pixels = np.broadcast_to(np.frombuffer(rgb, np.uint8), (timeline.height, timeline.width, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return planes(frame, timeline.width, timeline.height)
