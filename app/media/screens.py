"""Pictures out of a live video track, decoded only when one is asked for, and whether they differ."""

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from app.media.frames import Codec, EncodedFrame
from app.media.thumbnail import encode_jpeg

# Frames since the last key frame that wait to be decoded; a track that sends none for longer is decoded on
# the way, and the pictures thrown away.
WAITING_FRAMES = 600
FULL_WIDTH = 4096

# A scene in which something changes, though never much at once, is told of after a minute.
LONGEST_SCENE_US = 60_000_000

# A cell is 4 x 4 pixels. A caret that blinks, 2 x 16 pixels, changes five; a word changes dozens. Encoders
# leave still cells within a few of 255 steps.
_CELL_PIXELS = 4
_CELL_STEP = 16
_LEAST_CELLS = 8
# Encoders begin coarsely and refine a picture that stays: its sharpness grows 1.2 to 1.9 times, while blocks
# of 16 x 16 pixels stay within 14 steps. A short word more changes one by 39.
_SHARPER = 1.1
_BLOCK_CELLS = 4

Cells = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Screen:
    """A picture as shown at `at_us` (Unix microseconds), with the brightness of its cells."""

    at_us: int
    frame: av.VideoFrame
    cells: Cells
    sharpness: float

    @property
    def width(self) -> int:
        return self.frame.width

    @property
    def height(self) -> int:
        return self.frame.height

    def jpeg(self) -> bytes:
        """The picture in full size."""
        return encode_jpeg(self.frame, FULL_WIDTH, quality=2)


class ScreenDecoder:
    """Takes every frame of a track and decodes, when asked, what the present picture needs: the frames since
    the last key frame. Not safe for use from several threads at once."""

    def __init__(self, codec: Codec) -> None:
        self.damaged_frames = 0
        self._codec = codec
        self._decoder: av.VideoCodecContext | None = None
        self._waiting: list[EncodedFrame] = []
        self._shown: tuple[av.VideoFrame, int] | None = None

    def feed(self, frame: EncodedFrame) -> None:
        """Take the next frame. What comes before a key frame, or after a loss, shows nothing."""
        if frame.is_keyframe:
            self._waiting, self._decoder = [], None
        elif frame.after_gap or (self._decoder is None and not self._waiting):
            # Without what was lost, it and all that follow it show nothing.
            self._decode_waiting()
            self._decoder = None
            return
        self._waiting.append(frame)
        if len(self._waiting) >= WAITING_FRAMES:
            self._decode_waiting()

    def screen(self) -> Screen | None:
        """What the track shows now; None before its first key frame."""
        self._decode_waiting()
        if self._shown is None:
            return None
        frame, at_us = self._shown
        return Screen(at_us, frame, cells_of(frame), sharpness_of(frame))

    def _decode_waiting(self) -> None:
        for waiting in self._waiting:
            if self._decoder is None:
                decoder = av.CodecContext.create(self._codec.value, "r")
                assert isinstance(decoder, av.VideoCodecContext)
                decoder.thread_count = 1  # frame threads would hold pictures back
                self._decoder = decoder
            try:
                for picture in self._decoder.decode(av.Packet(waiting.data)):
                    self._shown = picture, waiting.captured_at_us
            except av.FFmpegError:
                self.damaged_frames += 1  # the picture stands until the next good one
        self._waiting = []


def cells_of(frame: av.VideoFrame) -> Cells:
    """The mean brightness of each 4 x 4 pixels, (rows, columns)."""
    luma = frame.reformat(format="gray").to_ndarray()
    rows, columns = luma.shape[0] // _CELL_PIXELS, luma.shape[1] // _CELL_PIXELS
    whole = luma[: rows * _CELL_PIXELS, : columns * _CELL_PIXELS]
    cells: Cells = whole.reshape(rows, _CELL_PIXELS, columns, _CELL_PIXELS).mean((1, 3)).astype(np.uint8)
    return cells


def sharpness_of(frame: av.VideoFrame) -> float:
    """The mean square of the steps of brightness from pixel to pixel: less where letters are smeared."""
    steps = np.diff(frame.reformat(format="gray").to_ndarray().astype(np.int16), axis=1)
    return float(np.square(steps, dtype=np.float32).mean())


def changed_cells(before: Cells, after: Cells) -> int:
    """How many cells differ visibly; all of them where the sizes do."""
    if before.shape != after.shape:
        return int(after.size)
    return int((np.abs(before.astype(np.int16) - after) >= _CELL_STEP).sum())


def is_another_screen(before: Cells, after: Cells) -> bool:
    """True where more than a caret has changed."""
    return changed_cells(before, after) >= _LEAST_CELLS


def is_sharper(before: Screen, after: Screen) -> bool:
    """True where the same screen has become clearly better to read, as after a coarse first picture."""
    if after.sharpness <= before.sharpness * _SHARPER or before.cells.shape != after.cells.shape:
        return False
    return bool((np.abs(_blocks_of(before.cells) - _blocks_of(after.cells)) < _CELL_STEP).all())


def _blocks_of(cells: Cells) -> NDArray[np.float64]:
    rows, columns = cells.shape[0] // _BLOCK_CELLS, cells.shape[1] // _BLOCK_CELLS
    whole = cells[: rows * _BLOCK_CELLS, : columns * _BLOCK_CELLS]
    blocks: NDArray[np.float64] = whole.reshape(rows, _BLOCK_CELLS, columns, _BLOCK_CELLS).mean((1, 3))
    return blocks


def changed_share(before: Cells, after: Cells) -> float:
    """The share of the screen that differs, 0 to 1."""
    return changed_cells(before, after) / after.size
