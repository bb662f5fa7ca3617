"""What the engines need by themselves: that of speech for utterances, that of screen text for screens."""

import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from app.base.settings import Settings
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter
from bench.understanding_latency import part_of
from bench.understanding_streams import SCREENS, SPEECH, drawn
from tests.fixtures.media import read_speech
from workers.engines.registry import open_screen_text_engine, open_speech_engine

Given = TypeVar("Given")


@dataclass(frozen=True)
class BareEngines:
    """Seconds for each utterance and for each screen alone; `batch` is how many seconds of sound a second
    the speech engine recognises where all cores work on all utterances."""

    utterances: list[Utterance]
    speech: list[float]
    screens: list[float]
    batch: float

    def described(self) -> str:
        speech, screens = (
            f"p50 {part_of(0.5, values):.2f} s, p95 {part_of(0.95, values):.2f} s"
            for values in (self.speech, self.screens)
        )
        return f"bare engines: an utterance {speech}, batch {self.batch:.1f} x real time; a screen {screens}"


def measure_bare_engines() -> BareEngines:
    settings = Settings(worker_threads=os.cpu_count() or 1)
    speech, screen_text = open_speech_engine(settings), open_screen_text_engine(settings)
    speech.load()
    screen_text.load()
    utterances = _spoken()
    sounds = [one.samples for one in utterances]
    alone = [_timed(speech.transcribe, sound) for sound in sounds]
    screens = [_timed(screen_text.read, picture) for picture in _pictures()]
    return BareEngines(utterances, alone, screens, measure_batch(utterances))


def measure_batch(utterances: Sequence[Utterance]) -> float:
    """Seconds of sound a second, of all of them on all cores."""
    speech = open_speech_engine(Settings(worker_threads=os.cpu_count() or 1))
    speech.load()
    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda one: speech.transcribe(one.samples), utterances))
    return sum(len(one.samples) for one in utterances) / SAMPLE_RATE_HZ / (time.perf_counter() - begun)


def _spoken() -> list[Utterance]:
    """Every utterance of the speech that the streams play."""
    found = []
    for name in SPEECH:
        cutter = UtteranceCutter()
        found += cutter.feed(read_speech(name, rate_hz=SAMPLE_RATE_HZ), 0) + cutter.flush()
    return found


def _pictures() -> Sequence[bytes]:
    found = []
    for number in range(len(SCREENS)):
        file = io.BytesIO()
        Image.fromarray(drawn(number)).save(file, "JPEG", quality=92)
        found.append(file.getvalue())
    return found


def _timed(work: Callable[[Given], object], given: Given) -> float:
    begun = time.perf_counter()
    work(given)
    return time.perf_counter() - begun
