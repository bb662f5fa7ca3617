"""Renders an editor timeline: layers over a background, with their sound, as one finished file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
from PIL import Image

from app.base.errors import Unprocessable
from app.media.editor.captions import fits_canvas
from app.media.editor.cues import file_cues, read_subtitles, spoken_cues
from app.media.editor.geometry import Box
from app.media.editor.layers import CaptionLayer, Layer, PictureLayer
from app.media.editor.motion import moved, opacity_at
from app.media.editor.picture import Picture, painted, plain_canvas
from app.media.editor.probe import probe
from app.media.editor.sounds import clip_sound
from app.media.editor.sources import StillSource, VideoSource, read_image
from app.media.editor.text import draw_text
from app.media.editor.timeline import (
    AudioAsset,
    CaptionAsset,
    ImageAsset,
    PlacedClip,
    TextAsset,
    Timeline,
    VideoAsset,
)
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

FRAMES_PER_SECOND = 30
_LONGEST_STILL_SECONDS = 1.0  # a picture that does not change is written this often, for seeking
_Shown = list[tuple[Picture, float]]


def render_timeline(
    timeline: Timeline,
    files: Mapping[str, Path],
    target: Path,
    on_progress: Callable[[float], None] | None = None,
) -> ExportedFile:
    """Write the timeline to `target` as fragmented MP4; a clip ends where its file ends.

    `files` holds the file of each asset that is used, by its id. Raises `Unprocessable`, naming the clip, for
    a file that cannot be read or has not what its clip needs, and where nothing is left to show. Nothing is
    left at `target` on failure.
    """
    placed = [shortened for shortened in (_shortened(clip, files) for clip in timeline.clips) if shortened]
    seconds = max((clip.end_seconds for clip in placed), default=0.0)
    if seconds < 1 / FRAMES_PER_SECOND:
        raise Unprocessable("The timeline's clips begin after the ends of their media.")
    sounding = [clip for clip in placed if _sounds(clip, files)]
    try:
        with ExitStack() as stack, av.open(str(target), "w", format="mp4", options=VIDEO_FRAGMENTS) as output:
            composed = _composed(_layers(placed, timeline, files, stack), timeline, seconds)
            parts = [encoded(composed, add_h264_stream(output, timeline.width, timeline.height))]
            if sounding:
                sounds = [
                    Sound(clip_sound(clip, _file(clip, files)), begins=round(clip.start_seconds * RATE_HZ))
                    for clip in sounding
                ]
                parts.append(encoded(mixed(sounds, round(seconds * RATE_HZ)), add_aac_stream(output)))
            duration_seconds = write_interleaved(output, parts, seconds, on_progress)
    except av.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise Unprocessable("A clip's media file cannot be read.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return ExportedFile(target, duration_seconds, True, bool(sounding), timeline.width, timeline.height)


def _shortened(placed: PlacedClip, files: Mapping[str, Path]) -> PlacedClip | None:
    """The clip no longer than its file lasts; None where it begins behind the file's end."""
    asset = placed.clip.asset
    if not isinstance(asset, VideoAsset | AudioAsset):
        return placed
    with _named(placed):
        found = probe(_file(placed, files))
    if not (found.has_video if asset.type == "video" else found.has_audio):
        raise Unprocessable(f"{placed.where}.clip.asset.id: its file has no {asset.type}.")
    left_seconds = found.duration_seconds - asset.start
    if left_seconds <= 0:
        return None
    return replace(placed, duration_seconds=min(placed.duration_seconds, left_seconds))


def _sounds(placed: PlacedClip, files: Mapping[str, Path]) -> bool:
    asset = placed.clip.asset
    if not isinstance(asset, VideoAsset | AudioAsset) or asset.volume <= 0:
        return False
    return probe(_file(placed, files)).has_audio


def _layers(
    placed: list[PlacedClip], timeline: Timeline, files: Mapping[str, Path], stack: ExitStack
) -> list[Layer]:
    """The layers from the bottom to the top, closed with `stack`."""
    layers: list[Layer] = []
    for clip in placed:
        layer = _layer(clip, timeline, files)
        if layer is not None:
            stack.callback(layer.close)
            layers.append(layer)
    return layers


def _layer(placed: PlacedClip, timeline: Timeline, files: Mapping[str, Path]) -> Layer | None:
    canvas = timeline.width, timeline.height
    match placed.clip.asset:
        case AudioAsset():
            return None
        case VideoAsset(start=start):
            return PictureLayer(placed, VideoSource(_file(placed, files), start), canvas)
        case ImageAsset():
            return PictureLayer(placed, StillSource(partial(_image, placed, files)), canvas)
        case TextAsset() as text:
            return PictureLayer(placed, StillSource(partial(draw_text, text, canvas)), canvas)
        case CaptionAsset(src="auto") as style:
            cues = spoken_cues(timeline.sentences, style, lambda words: fits_canvas(words, style, canvas))
            return CaptionLayer(placed, cues, canvas)
        case CaptionAsset(src=source) as style:
            cues = file_cues(read_subtitles(source), style, canvas, placed.start_seconds)
            return CaptionLayer(placed, cues, canvas)
    raise AssertionError(placed.clip.asset)


def _composed(layers: list[Layer], timeline: Timeline, seconds: float) -> Iterator[av.VideoFrame]:
    """Yield a frame at each instant of the frame rate where the picture changes."""
    canvas = timeline.width, timeline.height
    background = plain_canvas(*canvas, timeline.background)
    shown: _Shown | None = None
    shown_at = key_at = 0.0
    count = max(round(seconds * FRAMES_PER_SECOND), 1)
    for number in range(count):
        at = number / FRAMES_PER_SECOND
        now, layers = _seen(layers, at, canvas)
        if _same(shown, now) and at - shown_at < _LONGEST_STILL_SECONDS and number < count - 1:
            continue
        frame = painted(background, now)
        frame.pts, frame.time_base = round(at / VIDEO_TIME_BASE), VIDEO_TIME_BASE
        if number == 0 or at - key_at >= KEYFRAME_SECONDS:
            frame.pict_type, key_at = av.video.frame.PictureType.I, at
        shown, shown_at = now, at
        yield frame


def _seen(layers: list[Layer], at: float, canvas: tuple[int, int]) -> tuple[_Shown, list[Layer]]:
    """What is seen at this instant, with its opacity, and the layers that have not ended."""
    seen: _Shown = []
    left = []
    for layer in layers:
        placed = layer.placed
        if at >= placed.end_seconds:
            layer.close()
            continue
        left.append(layer)
        if at >= placed.start_seconds:
            # Captions move as one, whatever of them is shown.
            extent = Box(0, 0, *canvas) if isinstance(placed.clip.asset, CaptionAsset) else None
            pictures = moved(layer.pictures_at(at), placed, at, canvas, extent)
            opacity = opacity_at(placed, at)
            seen += [(picture, opacity) for picture in pictures]
    return seen, left


def _same(before: _Shown | None, now: _Shown) -> bool:
    if before is None or len(before) != len(now):
        return False
    return all(one[0] is other[0] and one[1] == other[1] for one, other in zip(before, now, strict=True))


def _image(placed: PlacedClip, files: Mapping[str, Path]) -> Image.Image:
    with _named(placed):
        return read_image(_file(placed, files))


@contextmanager
def _named(placed: PlacedClip) -> Iterator[None]:
    """Say of which clip it is that something cannot be read."""
    try:
        yield
    except Unprocessable as error:
        raise Unprocessable(f"{placed.where}: {error.message}") from error


def _file(placed: PlacedClip, files: Mapping[str, Path]) -> Path:
    asset = placed.clip.asset
    assert isinstance(asset, VideoAsset | AudioAsset | ImageAsset)
    return files[asset.id]
