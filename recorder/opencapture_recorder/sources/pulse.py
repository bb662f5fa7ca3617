"""PulseAudio and PipeWire sound: the default microphone, and what the default speaker plays."""

import importlib
import logging
import threading
import time
from typing import Any

import numpy as np

from opencapture_recorder.errors import SourceError
from opencapture_recorder.sources.contract import SAMPLE_RATE_HZ, Samples, silence

logger = logging.getLogger(__name__)

_BLOCK_SAMPLES = 960
_RING_SAMPLES = 2 * SAMPLE_RATE_HZ
_OPEN_TIMEOUT_SECONDS = 5.0
# A virtual sink's monitor keeps its first block for up to a second (measured: 0.88 s); starting before
# it would lose that much. A source that has nothing to give yet is no reason to wait longer.
_FIRST_BLOCK_TIMEOUT_SECONDS = 2.0
_DRIFT_WINDOW_SECONDS = 2.0
_MAX_GAP_SAMPLES = SAMPLE_RATE_HZ
# Below this a correction would be heard more often than the error would be seen.
_MAX_DRIFT_SAMPLES = SAMPLE_RATE_HZ // 100


def _soundcard() -> Any:
    # Importing soundcard connects to the sound server: it raises AssertionError when there is none and
    # OSError when the client library is missing.
    try:
        return importlib.import_module("soundcard")
    except (AssertionError, OSError, ImportError) as error:
        reason = str(error) or "no PulseAudio or PipeWire server answers"
        raise SourceError(f"sound cannot be captured: {reason}") from None


def find_microphone() -> str:
    """Name of the default source. Raises SourceError if there is none that is a real input."""
    soundcard = _soundcard()
    try:
        microphone = soundcard.default_microphone()
        if not microphone.isloopback:
            return str(microphone.id)
        others = soundcard.all_microphones(include_loopback=False)
    except (IndexError, RuntimeError, AssertionError) as error:
        raise SourceError(f"there is no microphone: {error}") from None
    if not others:
        raise SourceError("there is no microphone: the sound server only has monitors of speakers")
    return str(others[0].id)


def find_speaker_monitor() -> str:
    """Name of the source that carries what the default speaker plays. Raises SourceError without one."""
    soundcard = _soundcard()
    try:
        speaker = soundcard.default_speaker()
        sources = soundcard.all_microphones(include_loopback=True)
    except (IndexError, RuntimeError, AssertionError) as error:
        raise SourceError(f"there is no speaker: {error}") from None
    name = f"{speaker.id}.monitor"
    if name not in {source.id for source in sources}:
        raise SourceError("the default speaker has no monitor to listen to")
    return name


class SampleRing:
    """The last two seconds of a live source, placed on the clock by when its blocks arrive.

    A sound card's clock is not ours: the earliest arrival in a window says where the data really
    belongs, since a late block only tells of a busy machine.
    """

    def __init__(self, channels: int) -> None:
        self.resync_count = 0
        self._channels = channels
        self._ring = silence(_RING_SAMPLES, channels)
        self._lock = threading.Lock()
        self._end: int | None = None  # position after the newest sample
        self._drift = 0
        self._window_end = 0

    def write(self, block: Samples, arrived_at: int) -> None:
        """Add a block whose last sample arrived at this position of the clock."""
        with self._lock:
            if self._end is None:
                self._end = arrived_at - len(block)
                self._open_window(arrived_at)
            late_by = arrived_at - len(block) - self._end
            if late_by > _MAX_GAP_SAMPLES:
                # The source was suspended: waiting for the window's end would lose what it gives now.
                self._move(self._end + late_by)
                self._open_window(arrived_at)
                late_by = 0
            self._drift = min(self._drift, late_by)
            if arrived_at >= self._window_end:
                if abs(self._drift) > _MAX_DRIFT_SAMPLES:
                    self._move(self._end + self._drift)
                self._open_window(arrived_at)
            block = block[-_RING_SAMPLES:]
            self._ring[np.arange(self._end, self._end + len(block)) % _RING_SAMPLES] = block
            self._end += len(block)

    def read(self, position: int, count: int) -> Samples:
        """Samples from this position; silence where there are none, or none any more."""
        samples = silence(count, self._channels)
        with self._lock:
            if self._end is not None:
                first = max(position, self._end - _RING_SAMPLES)
                last = min(position + count, self._end)
                if first < last:
                    found = self._ring[np.arange(first, last) % _RING_SAMPLES]
                    samples[first - position : last - position] = found
        return samples

    def _open_window(self, position: int) -> None:
        self._drift = _RING_SAMPLES
        self._window_end = position + round(_DRIFT_WINDOW_SECONDS * SAMPLE_RATE_HZ)

    def _move(self, end: int) -> None:
        assert self._end is not None
        if end > self._end:
            gap = np.arange(self._end, min(end, self._end + _RING_SAMPLES))
            self._ring[gap % _RING_SAMPLES] = 0
        self.resync_count += 1
        self._end = end


class PulseSource:
    """One source of the sound server, recorded in a thread."""

    is_ended = False

    def __init__(self, name: str, channels: int) -> None:
        self.channels = channels
        self._name = name
        self._ring = SampleRing(channels)
        self._origin: float | None = None
        self._stopping = threading.Event()
        self._is_open = threading.Event()
        self._has_block = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"sound {name}", daemon=True)
        self._thread.start()
        if not self._is_open.wait(_OPEN_TIMEOUT_SECONDS) or self._failure:
            self._stopping.set()
            raise SourceError(f"{name} cannot be recorded: {self._failure or 'it does not answer'}")
        self._has_block.wait(_FIRST_BLOCK_TIMEOUT_SECONDS)

    def start(self, origin_monotonic: float) -> None:
        self._origin = origin_monotonic

    def read(self, position: int, count: int) -> Samples:
        return self._ring.read(position, count)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        soundcard = _soundcard()
        try:
            microphone = soundcard.get_microphone(self._name, include_loopback=True)
            with microphone.recorder(SAMPLE_RATE_HZ, self.channels, _BLOCK_SAMPLES) as recorder:
                self._is_open.set()
                while not self._stopping.is_set():
                    block = recorder.record(None)
                    self._has_block.set()
                    if self._origin is not None:
                        arrived_at = round((time.monotonic() - self._origin) * SAMPLE_RATE_HZ)
                        self._ring.write(_to_int16(block), arrived_at)
        except (RuntimeError, IndexError, AssertionError, TypeError) as error:
            # soundcard raises whatever its C calls led to when the device goes away.
            self._failure = str(error) or type(error).__name__
            self._is_open.set()
            logger.warning("lost the sound source %s: %s", self._name, self._failure)


def _to_int16(block: Any) -> Samples:
    scaled: Samples = (np.clip(block, -1.0, 1.0) * 32767).astype(np.int16)
    return scaled
