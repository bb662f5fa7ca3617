"""Clips as layers: for every instant the picture that lies on the canvas, and how opaque it is."""

from typing import Protocol

import av

from app.base.errors import Unprocessable
from app.media.editor.captions import active_word, draw_cue
from app.media.editor.cues import Cue
from app.media.editor.filters import FrameGraph, upright_size
from app.media.editor.geometry import Box, corner, cropped, fitted_size, window
from app.media.editor.picture import Picture, picture_from
from app.media.editor.sources import Source, rgba_frame
from app.media.editor.text import text_place
from app.media.editor.timeline import ImageAsset, PlacedClip, TextAsset, VideoAsset

Canvas = tuple[int, int]


class Layer(Protocol):
    """What can be laid on the canvas. Implementers: `PictureLayer`, `CaptionLayer`."""

    placed: PlacedClip

    def pictures_at(self, seconds: float) -> list[Picture]:
        """What is seen at this instant of the timeline, the same objects while they do not change.

        Calls must go forward in time."""

    def close(self) -> None:
        """Let go of files. The layer is asked no more."""


class PictureLayer:
    """A video, an image or a text, each frame brought into its place once."""

    def __init__(self, placed: PlacedClip, source: Source, canvas: Canvas) -> None:
        self.placed = placed
        self._source = source
        self._canvas = canvas
        self._graph: FrameGraph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._at = (0, 0)
        self._frame: av.VideoFrame | None = None
        self._shown: list[Picture] = []

    def pictures_at(self, seconds: float) -> list[Picture]:
        """The source's picture at this instant, or none where it lies off the canvas."""
        since = seconds - self.placed.start_seconds
        frame = self._source.frame_at(self.placed.asset_start_seconds + since)
        if frame is not None and frame is not self._frame:
            self._frame = frame
            self._shown = self._made(frame)
        return self._shown

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _made(self, frame: av.VideoFrame) -> list[Picture]:
        shape = frame.width, frame.height, frame.format.name
        if shape != self._shape:
            self._shape = shape
            self._graph = self._fitted(frame)
        if self._graph is None:
            return []
        return [picture_from(self._graph.process(frame), *self._at)]

    def _fitted(self, frame: av.VideoFrame) -> FrameGraph | None:
        """The graph for frames like this one; None where nothing of them is seen."""
        placed, clip = self.placed, self.placed.clip
        source = Box(0, 0, *upright_size(frame))
        fit, position = clip.fit, clip.position
        match clip.asset:
            case VideoAsset(crop=crop) | ImageAsset(crop=crop):
                source = cropped(crop, source.width, source.height)
            case TextAsset() as text:
                fit, position = "none", text_place(text, clip.position)
        if not source.width or not source.height:
            raise Unprocessable(f"{placed.where}.clip.asset.crop leaves nothing of the picture.")
        size = placed.size or fitted_size(source.width, source.height, self._canvas, fit, clip.scale)
        at = corner(placed, position, size, self._canvas)
        seen = window(source, size, at, self._canvas)
        if seen is None:
            return None
        self._at = seen.left, seen.top
        return FrameGraph(frame, seen, kind=clip.filter, alpha=self._source.has_alpha)


class CaptionLayer:
    """Cues drawn when what they show changes."""

    def __init__(self, placed: PlacedClip, cues: list[Cue], canvas: Canvas) -> None:
        self.placed = placed
        self._cues = cues
        self._canvas = canvas
        self._next = 0
        self._current: list[Cue] = []
        self._state: list[tuple[int, int]] = []
        self._shown: list[Picture] = []

    def pictures_at(self, seconds: float) -> list[Picture]:
        """The cues of this instant, each with its word of this instant."""
        while self._next < len(self._cues) and self._cues[self._next].start_seconds <= seconds:
            self._current.append(self._cues[self._next])
            self._next += 1
        self._current = [cue for cue in self._current if cue.end_seconds > seconds]
        drawn = [(cue, active_word(cue, seconds) if cue.style.animation else 0) for cue in self._current]
        state = [(id(cue), active) for cue, active in drawn]
        if state != self._state:
            self._state = state
            self._shown = [picture for cue, active in drawn for picture in self._drawn(cue, active)]
        return self._shown

    def close(self) -> None:
        """Nothing is open."""

    def _drawn(self, cue: Cue, active: int) -> list[Picture]:
        image = draw_cue(cue, active, self._canvas)
        found = image.getbbox()  # of what is not clear
        if found is None:
            return []
        left, top = (edge // 2 * 2 for edge in found[:2])
        right, bottom = (-(-edge // 2) * 2 for edge in found[2:])
        frame = rgba_frame(image.crop((left, top, right, bottom)))
        return [picture_from(frame.reformat(format="yuva420p"), left, top)]
