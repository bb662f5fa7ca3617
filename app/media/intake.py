"""Uploaded files to the form that everything else here works with: fragmented MP4, or an image."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from PIL import Image, ImageOps, UnidentifiedImageError

from app.base.errors import Unprocessable, UnsupportedMedia
from app.media.editor.colours import Colour
from app.media.editor.filters import upright_size
from app.media.editor.parts import MAX_SIDE_PIXELS
from app.media.editor.render import render_timeline
from app.media.editor.sounds import clip_sound
from app.media.editor.sources import MAX_IMAGE_PIXELS
from app.media.editor.timeline import AudioAsset, Clip, PlacedClip, Timeline, VideoAsset
from app.media.sound import RATE_HZ, Sound, mixed
from app.media.writing import (
    AUDIO_FRAGMENTS,
    VIDEO_FRAGMENTS,
    ExportedFile,
    add_aac_stream,
    encoded,
    write_interleaved,
)

# Containers that hold their media themselves: a playlist would have FFmpeg open whatever it names.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,ogg,wav,w64,flac,mp3,aac,aiff,amr,caf,asf"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_IMAGES = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg"), "WEBP": ("image/webp", "webp")}
_COPIED_FROM = "mov"  # Matroska keeps no decoding times, so packets with B frames cannot be taken over
MAX_IMAGE_BYTES = 64 * 1024 * 1024
_WHOLE = "upload"


@dataclass(frozen=True, slots=True)
class SniffedImage:
    """An image that can be read; sides as a viewer sees it."""

    media_type: str
    extension: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SniffedMedia:
    """A sound or video file; `can_copy` where its packets can be taken as they are."""

    kind: Literal["video", "audio"]
    has_audio: bool
    duration_seconds: float
    width: int | None = None
    height: int | None = None
    can_copy: bool = False


def sniff(path: Path) -> SniffedImage | SniffedMedia:
    """What the file at `path` is, by its content alone. Raises `UnsupportedMedia`."""
    return _sniffed_image(path) or _sniffed_media(path)


def take_in(
    path: Path, media: SniffedMedia, target: Path, on_progress: Callable[[float], None] | None = None
) -> ExportedFile:
    """Write the file as fragmented MP4 (`.mp4`, sound alone `.m4a`): H.264 with AAC is copied, all else
    transcoded. Raises `Unprocessable`; nothing is left at `target` on failure."""
    try:
        if media.kind == "audio":
            return _sound_alone(path, media, target, on_progress)
        if media.can_copy:
            return _copied(path, media, target, on_progress)
        assert media.width is not None
        assert media.height is not None
        sides = [min(side, MAX_SIDE_PIXELS) // 2 * 2 for side in (media.width, media.height)]
        placed = _whole(VideoAsset(id=_WHOLE), media)
        timeline = Timeline(sides[0], sides[1], Colour(0, 0, 0), [placed])
        return render_timeline(timeline, {_WHOLE: path}, target, on_progress)
    except av.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise Unprocessable("The file cannot be read to its end.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _sniffed_image(path: Path) -> SniffedImage | None:
    try:
        with Image.open(path, formats=tuple(_IMAGES)) as opened:
            if opened.width * opened.height > MAX_IMAGE_PIXELS or path.stat().st_size > MAX_IMAGE_BYTES:
                limits = f"{MAX_IMAGE_PIXELS} pixels and {MAX_IMAGE_BYTES} bytes"
                raise UnsupportedMedia(f"an image may have {limits}")
            media_type, extension = _IMAGES[opened.format or "PNG"]
            upright = ImageOps.exif_transpose(opened)
            return SniffedImage(media_type, extension, upright.width, upright.height)
    except UnidentifiedImageError:
        return None
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UnsupportedMedia("the image cannot be read") from error


def _sniffed_media(path: Path) -> SniffedMedia:
    try:
        with av.open(str(path), options=_OPTIONS) as container:
            # A song's cover is a picture, but no video.
            videos = [
                s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
            ]
            sounds = container.streams.audio
            seconds = (container.duration or 0) / 1_000_000
            if not videos and not sounds:
                raise UnsupportedMedia("the file holds neither sound nor pictures")
            if not videos:
                return SniffedMedia("audio", True, seconds or _heard_seconds(container))
            frame = next(container.decode(videos[0]), None)
            if frame is None:
                raise UnsupportedMedia("the file holds no picture that can be decoded")
            width, height = upright_size(frame)
            can_copy = (
                container.format.name.startswith(_COPIED_FROM)
                and videos[0].codec.name == "h264"
                and frame.format.name in ("yuv420p", "yuvj420p")
                and frame.rotation == 0
                and frame.width % 2 == frame.height % 2 == 0
                and all(sound.codec.name == "aac" for sound in sounds)
            )
            return SniffedMedia("video", bool(sounds), seconds, width, height, can_copy)
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedMedia("the file is no video, audio or image that can be read") from error


def _heard_seconds(container: av.container.InputContainer) -> float:
    """The length of a sound whose container does not say it."""
    return max(
        (float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.pts), default=0
    )


def _whole(asset: VideoAsset | AudioAsset, media: SniffedMedia) -> PlacedClip:
    """All of the file. It may last longer than a clip may ask for, so the clip's own length says nothing."""
    return PlacedClip("upload", 0.0, media.duration_seconds, Clip(asset=asset, duration=1, fit="cover"))


def _sound_alone(
    path: Path, media: SniffedMedia, target: Path, on_progress: Callable[[float], None] | None
) -> ExportedFile:
    seconds = media.duration_seconds
    placed = _whole(AudioAsset(id=_WHOLE), media)
    with av.open(str(target), "w", format="mp4", options=AUDIO_FRAGMENTS) as output:
        frames = mixed([Sound(clip_sound(placed, path))], round(seconds * RATE_HZ))
        written = write_interleaved(output, [encoded(frames, add_aac_stream(output))], seconds, on_progress)
    return ExportedFile(target, written, False, True, None, None)


def _copied(
    path: Path, media: SniffedMedia, target: Path, on_progress: Callable[[float], None] | None
) -> ExportedFile:
    ended = told = 0.0
    with (
        av.open(str(path), options=_OPTIONS) as source,
        av.open(str(target), "w", format="mp4", options=VIDEO_FRAGMENTS) as output,
    ):
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        copies = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        for packet in source.demux(streams):
            if packet.dts is None or packet.pts is None:
                continue
            at = float((packet.pts + (packet.duration or 0)) * (packet.time_base or Fraction(1)))
            ended = max(ended, at)
            packet.stream = copies[packet.stream.index]
            output.mux(packet)
            if on_progress and media.duration_seconds and at - told > media.duration_seconds / 100:
                told = at
                on_progress(min(at / media.duration_seconds, 1.0))
    if not ended:
        raise Unprocessable("The file holds nothing that can be played.")
    return ExportedFile(target, ended, True, media.has_audio, media.width, media.height)
