"""How many words of rendered desktops are read, straight from the picture and after the product's own way.

Six desktops, light and dark, in text of 10 to 18 px. `straight`, the reference: the PNG to the engine.
`captured`: as a capture goes: the recorder's own H.264, the picture decoded at a key frame, the JPEG that is
stored, the engine, and the text of the record. `starved` at 12 px: VP8 over a line of 100 kbit/s, the first
picture of it, and the one that the product holds in its place four seconds later.

    python -m bench.quality_screens [--misses] [--goal]

Needs Chromium.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from opencapture_recorder.encoders import VideoEncoder
from opencapture_recorder.settings import RecorderSettings

from app.base.settings import Settings
from app.ingest.sinks.screens import shows_more
from app.media.frames import Codec, EncodedFrame
from app.media.screens import Screen, ScreenDecoder
from app.media.stills import decode_still
from bench.rendered_desktops import Desktop, rendered
from tests.fixtures.media import video_frames
from workers.describing.screens import Shown, describe_screens
from workers.engines.contract import ScreenTextEngine
from workers.engines.registry import open_screen_text_engine

GOAL_RECALL = 0.95
GOAL_FROM_PIXELS = 12
SIZES = (10, 12, 14, 18)
STARVED_BITS_PER_SECOND = 100_000
STARVED_SECONDS = 4
_WORD = re.compile(r"\w+")
Picture = NDArray[np.uint8]


def words(text: str) -> Counter[str]:
    """The words of a text with how often each stands in it, without regard to case."""
    return Counter(_WORD.findall(text.casefold()))


@dataclass
class Recall:
    """Words read and words there, over several pictures."""

    read: int = 0
    there: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, wanted: str, found: str) -> None:
        there, seen = words(wanted), words(found)
        self.read += (there & seen).total()
        self.there += there.total()
        self.missed += sorted((there - seen).elements())

    @property
    def share(self) -> float:
        return self.read / self.there if self.there else 0.0


def captured(picture: Picture) -> Screen:
    """The screen as it is seen two seconds after the recorder began to send it."""
    settings = RecorderSettings()
    height, width = picture.shape[:2]
    encoder = VideoEncoder(width, height, settings.frame_rate, settings.video_bits_per_second)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    decoder = ScreenDecoder(Codec.H264)
    slots = 2 * settings.frame_rate
    for slot in range(slots):
        asked = slot in (0, slots - settings.frame_rate // 2)  # the first, and the one that a look asks for
        packet = encoder.encode(frame, slot, key_frame=asked)
        if packet is not None:
            at_us = round(slot * 1e6 / settings.frame_rate)
            decoder.feed(EncodedFrame(Codec.H264, bytes(packet), slot, at_us, bool(packet.is_keyframe)))
    screen = decoder.screen()
    assert screen is not None
    return screen


def starved(picture: Picture) -> tuple[Screen, Screen]:
    """The first picture of a track that has too few bits, and the one that stands for it in the end."""
    height, width = picture.shape[:2]
    frames = video_frames(
        Codec.VP8,
        seconds=STARVED_SECONDS,
        width=width,
        height=height,
        keyframe_seconds=1e6,
        bit_rate=STARVED_BITS_PER_SECOND,
        draw=lambda *_: picture,
    )
    decoder, first, kept = ScreenDecoder(Codec.VP8), None, None
    for number, frame in enumerate(frames):
        decoder.feed(frame)
        if number % 15 == 0:  # a look a second
            screen = decoder.screen()
            assert screen is not None
            first = first or screen
            if kept is None or shows_more(kept, screen):
                kept = screen
    assert first is not None
    assert kept is not None
    return first, kept


def as_recorded(engine: ScreenTextEngine, jpeg: bytes, height: int) -> str:
    """The text that the record of a window keeps of this picture."""
    shown = Shown("frm-1", 0, engine.read(jpeg), height)
    return str(describe_screens([shown], None, None).details["screen_text"])


async def measure(*, misses: bool) -> bool:
    """Print the word recall by text size; whether the goal is met in both ways."""
    engine = open_screen_text_engine(Settings())
    found: dict[tuple[str, int], Recall] = {}

    def add(way: str, size: int, desktop: Desktop, text: str) -> None:
        found.setdefault((way, size), Recall()).add(desktop.text, text)

    with tempfile.TemporaryDirectory() as folder:
        async for desktop, size, shot in rendered(Path(folder), SIZES):
            png = shot.read_bytes()
            picture = decode_still(png)
            add("straight", size, desktop, "\n".join(line.text for line in engine.read(png)))
            screen = captured(picture)
            add("captured", size, desktop, as_recorded(engine, screen.jpeg(), screen.height))
            if size == GOAL_FROM_PIXELS:
                first, kept = starved(picture)
                add("starved, first", size, desktop, as_recorded(engine, first.jpeg(), first.height))
                add("starved, kept", size, desktop, as_recorded(engine, kept.jpeg(), kept.height))
    return _report(found, misses=misses)


def _report(found: dict[tuple[str, int], Recall], *, misses: bool) -> bool:
    ways = dict.fromkeys(way for way, _ in found)
    print(f"{'word recall':16}" + "".join(f"{size:>5} px" for size in SIZES))
    for way in ways:
        cells = [found.get((way, size)) for size in SIZES]
        print(f"{way:16}" + "".join(f"{cell.share:8.3f}" if cell else f"{'-':>8}" for cell in cells))
    if misses:
        for (way, size), recall in found.items():
            print(f"    {way}, {size} px, missed: {' '.join(recall.missed)}")
    good = all(_is_met(found, way) for way in ("straight", "captured"))
    goal = f"word recall >= {GOAL_RECALL} from {GOAL_FROM_PIXELS} px on, straight and captured"
    print(f"{goal}: {'met' if good else 'missed'}")
    return good


def _is_met(found: dict[tuple[str, int], Recall], way: str) -> bool:
    mine: Iterable[Recall] = (
        recall for (named, size), recall in found.items() if named == way and size >= GOAL_FROM_PIXELS
    )
    return all(recall.share >= GOAL_RECALL for recall in mine)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--misses", action="store_true", help="name the words that were not read")
    parser.add_argument("--goal", action="store_true", help="exit with 1 where the goal is missed")
    given = parser.parse_args()
    good = asyncio.run(measure(misses=given.misses))
    return 1 if given.goal and not good else 0


if __name__ == "__main__":
    sys.exit(main())
