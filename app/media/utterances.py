"""Cuts a track's sound into utterances at its pauses."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from app.media.samples import NO_SAMPLES, SAMPLE_RATE_HZ, Samples
from app.media.speech import WINDOW_SAMPLES, Detector, SpeechDetector

_BEGINS, _ENDS = 0.5, 0.35  # Silero's own thresholds, with its hysteresis
_WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE_HZ
# Gaps up to here are filled with silence: lost packets, and Opus DTX, which sends every 400 ms.
_LONGEST_GAP_US = 500_000
_JITTER_US = 60_000  # three packets
_SHORTEST_PAUSE_WINDOWS = 3  # 96 ms, between words


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Speech between two pauses: float32 mono 16 kHz, with the wall clock of its ends."""

    samples: Samples
    started_at_us: int
    ended_at_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Speaking:
    """The sound so far of an utterance that is still going on, which it will keep.

    `has_paused` says that there is a pause after it: should that end the utterance, this is all of it.
    """

    samples: Samples
    started_at_us: int
    has_paused: bool


class _Run:
    """Sound on one clock without holes; window `n` of it has the probability `probabilities[n]`."""

    def __init__(self, started_at_us: int) -> None:
        self.started_at_us = started_at_us
        self.probabilities: list[float] = []
        self.length = 0
        self._parts: deque[Samples] = deque()

    @property
    def ends_at_us(self) -> int:
        return self.at_us(self.length)

    def at_us(self, sample: int) -> int:
        return self.started_at_us + round(sample * 1_000_000 / SAMPLE_RATE_HZ)

    def add(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.length += len(samples)

    def all_samples(self) -> Samples:
        joined = np.concatenate(self._parts) if self._parts else NO_SAMPLES
        self._parts = deque([joined])
        return joined

    def drop(self, windows: int) -> None:
        """Forget the first `windows`."""
        left = min(windows * WINDOW_SAMPLES, self.length)
        self.started_at_us = self.at_us(left)
        self.length -= left
        del self.probabilities[:windows]
        while left:
            part = self._parts.popleft()
            if len(part) > left:
                self._parts.appendleft(part[left:])
            left = max(left - len(part), 0)


class UtteranceCutter:
    """Collects speech until a pause of `pause_seconds`, or for `max_seconds`; `padding_seconds` of what is
    around it stay with it. Speech of less than `min_speech_seconds` is taken for noise.

    It acts only when fed: whoever stops feeding it should `flush` it after a pause. Not for use from two
    threads at once. Raises `Unavailable` when there is no voice activity model.
    """

    def __init__(
        self,
        *,
        max_seconds: float = 15.0,
        pause_seconds: float = 0.65,
        padding_seconds: float = 0.2,
        min_speech_seconds: float = 0.16,
        detector: Detector | None = None,
    ) -> None:
        self._detector = detector or SpeechDetector()
        self._max_windows = max(round(max_seconds / _WINDOW_SECONDS), 4)
        self._pause_windows = max(round(pause_seconds / _WINDOW_SECONDS), 1)
        self._padding_windows = round(padding_seconds / _WINDOW_SECONDS)
        self._min_windows = max(round(min_speech_seconds / _WINDOW_SECONDS), 1)
        self._run: _Run | None = None
        self._ended_at_us: int | None = None  # of the last utterance
        self._start_over()

    def feed(self, samples: Samples, captured_at_us: int) -> list[Utterance]:
        """Take float32 mono 16 kHz samples, the first of which was captured at `captured_at_us`.

        A jump of more than 0.5 s in the clock, either way, ends the utterance. Returns those that ended.
        """
        if not len(samples):
            return []
        ended: list[Utterance] = []
        if self._run and abs(captured_at_us - self._run.ends_at_us) > _LONGEST_GAP_US:
            went_back = captured_at_us < self._run.ends_at_us
            ended = self.flush()
            if went_back:
                self._ended_at_us = None
        run = self._run = self._run or _Run(captured_at_us)
        gap_us = captured_at_us - run.ends_at_us
        if gap_us > _JITTER_US:
            silence = np.zeros(round(gap_us * SAMPLE_RATE_HZ / 1_000_000), np.float32)
            samples = np.concatenate([silence, samples])
        elif self._first is None:
            run.started_at_us += gap_us  # between utterances the drift of the sample clock is taken back
        run.add(samples)
        run.probabilities += self._detector.process(samples)
        return ended + self._look(run)

    def speaking(self) -> Speaking | None:
        """What is being said; None in a pause between utterances, and while it may still be noise."""
        run = self._run
        if run is None or self._first is None or self._spoken < self._min_windows:
            return None
        end = self._seen if self._quiet is None else min(self._quiet + self._padding_windows, self._seen)
        has_paused = self._quiet is not None and self._seen >= self._quiet + self._padding_windows
        samples = run.all_samples()[self._first * WINDOW_SAMPLES : end * WINDOW_SAMPLES].copy()
        return Speaking(samples, self._start_of(run), has_paused)

    def flush(self) -> list[Utterance]:
        """End the utterance that is going on, and forget everything that was fed."""
        ended: list[Utterance] = []
        if self._run is not None and self._first is not None:
            if self._quiet is None:
                ended = self._cut(self._run, None)
            else:
                ended = self._cut(self._run, self._quiet + self._padding_windows)
        self._run = None
        self._detector.reset()
        self._start_over()
        return ended

    def _start_over(self) -> None:
        self._seen = 0  # windows of the run that were looked at
        self._first: int | None = None  # where the utterance begins, padding included
        self._spoken = 0  # its windows with speech in them
        self._quiet: int | None = None  # where the pause at its end began

    def _look(self, run: _Run) -> list[Utterance]:
        ended: list[Utterance] = []
        while self._seen < len(run.probabilities):
            probability = run.probabilities[self._seen]
            if probability >= _BEGINS:
                if self._first is None:
                    self._first = max(self._seen - self._padding_windows, 0)
                self._spoken += 1
                self._quiet = None
            elif probability < _ENDS and self._quiet is None:
                self._quiet = self._seen
            self._seen += 1
            if self._first is None:
                continue
            if self._quiet is not None and self._seen - self._quiet >= self._pause_windows:
                ended += self._cut(run, min(self._quiet + self._padding_windows, self._seen))
            elif self._seen - self._first >= self._max_windows:
                ended += self._cut(run, self._best_cut(run, self._first))
        if self._first is None and self._seen > self._padding_windows:
            run.drop(self._seen - self._padding_windows)
            self._seen = self._padding_windows
        return ended

    def _cut(self, run: _Run, end: int | None) -> list[Utterance]:
        """End the utterance before window `end` (None: with the last sample); look at the rest anew."""
        assert self._first is not None
        first = self._first * WINDOW_SAMPLES
        last = run.length if end is None else min(end * WINDOW_SAMPLES, run.length)
        utterances = []
        if self._spoken >= self._min_windows:
            started_at_us = self._start_of(run)
            self._ended_at_us = run.at_us(last)
            utterances = [Utterance(run.all_samples()[first:last].copy(), started_at_us, self._ended_at_us)]
        if end is not None:
            run.drop(end)
        self._start_over()
        return utterances

    def _start_of(self, run: _Run) -> int:
        assert self._first is not None
        return max(run.at_us(self._first * WINDOW_SAMPLES), self._ended_at_us or 0)

    def _best_cut(self, run: _Run, first: int) -> int:
        """The middle of the longest pause in the last two thirds, or else the quietest window there."""
        earliest = first + max((self._seen - first) // 3, 1)
        best, length, begun = 0, 0, earliest
        for window in range(earliest, self._seen):
            if run.probabilities[window] >= _ENDS:
                begun = window + 1
            elif window + 1 - begun >= max(length, _SHORTEST_PAUSE_WINDOWS):
                best, length = (begun + window + 1) // 2, window + 1 - begun
        if length:
            return best
        sound = run.all_samples()[earliest * WINDOW_SAMPLES : self._seen * WINDOW_SAMPLES]
        energies = np.square(sound.reshape(-1, WINDOW_SAMPLES)).mean(axis=1)
        return earliest + int(np.argmin(np.convolve(energies, np.ones(3), "same")))
