"""Recorded audio tracks as sound on a common sample clock, mixed in blocks of bounded size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np

from app.media.blocks import CHANNELS, NOTHING, RATE_HZ, Block, TrackBlocks
from app.media.frames import Codec
from app.media.recorded import RecordedTrack, TrackReader

__all__ = ["CHANNELS", "RATE_HZ", "Block", "PlacedTrack", "Sound", "mixed"]

# Sound may be this far from its wall clock before it is moved at once: 40 ms is where a listener starts to
# see lips and sound apart. Anything less is drift between the sender's sample clock and the wall clock, or
# jitter in its reports, and is taken back slowly.
_JUMP = RATE_HZ * 40 // 1000
_DRIFT_BEGINS, _DRIFT_ENDS = RATE_HZ * 5 // 1000, RATE_HZ // 1000
_SMOOTHING = 0.05  # over about 20 packets, 0.4 s
_STRETCH = 0.005  # at most 0.5 % faster or slower: 5 ms in a second, and a pitch no one hears

_TIME_BASE = Fraction(1, RATE_HZ)


class Sound:
    """Blocks of samples, each with the sample it starts at, read forward into a mix.

    `blocks` must not overlap and must not go back; the first is asked for when the mix reaches `begins`.
    """

    def __init__(self, blocks: Iterator[tuple[int, Block]], *, begins: int = 0) -> None:
        self._blocks = blocks
        self._next: tuple[int, Block] | None = (begins, NOTHING)

    def add_to(self, mix: Block, start: int) -> None:
        """Add the samples `start` to `start + len(mix)` to `mix`. Calls must go forward in time."""
        end = start + len(mix)
        while self._next is not None:
            at, samples = self._next
            if at >= end:
                return
            skip = max(start - at, 0)
            part = samples[skip : end - at]
            mix[at + skip - start : at + skip - start + len(part)] += part
            if at + len(samples) > end:
                self._next = end, samples[end - at :]
                return
            self._next = next(self._blocks, None)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a track's sound lay at one of its packets: what another reading of it needs to go on from there
    to the sample. `offset` is by how many samples it lay after its wall clock, `drift` how far that is from
    where it should be, smoothed."""

    at_us: int
    offset: int
    drift: float
    correcting: bool


class PlacedTrack:
    """A recorded audio track, each packet's samples where its wall clock puts them.

    With `resume` it goes on from there and leaves out what came before. `placement` is where it lay at its
    first packet from `mark_us` on; None until that is read, and where it begins anew there.
    """

    def __init__(
        self,
        track: RecordedTrack,
        zero_us: int,
        *,
        resume: Placement | None = None,
        mark_us: int | None = None,
    ) -> None:
        self._reader = TrackReader(track)
        self._decoder = TrackBlocks()
        self._zero_us = zero_us
        self._resume = resume
        self._mark_us = mark_us
        self.placement: Placement | None = None

    @property
    def damaged_packets(self) -> int:
        return self._decoder.damaged_packets

    @property
    def skipped_segments(self) -> int:
        return self._reader.skipped_segments

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Yield the samples as `Sound` takes them: from sample zero on, gaps left out, overlaps cut off."""
        position: int | None = None
        drift = 0.0
        correcting = False
        resume = self._resume
        codec: Codec | None = None
        for packet in self._reader.packets():
            if resume and packet.at_us < resume.at_us:
                continue
            samples = self._decoder.decode(packet)
            target = round((packet.at_us - self._zero_us) * RATE_HZ / 1_000_000)
            # Another codec is another publisher: nothing of the one before tells where its sound lies.
            jump = _JUMP if packet.codec is codec or codec is None else 0
            codec = packet.codec
            if resume and packet.at_us == resume.at_us:
                position, drift, correcting = target + resume.offset, resume.drift, resume.correcting
            resume = None
            if self._mark_us is not None and packet.at_us >= self._mark_us:
                self._mark_us = None
                if position is not None and abs(target - position) <= jump:
                    self.placement = Placement(packet.at_us, position - target, drift, correcting)
            if position is None or target - position > jump:
                position, drift, correcting = target, 0.0, False
            elif target - position < -jump:
                samples = samples[position - target :]
                drift, correcting = 0.0, False
            else:
                drift += _SMOOTHING * (target - position - drift)
                correcting = abs(drift) > (_DRIFT_ENDS if correcting else _DRIFT_BEGINS)
                if correcting and len(samples):
                    limit = max(round(len(samples) * _STRETCH), 1)
                    change = int(np.clip(round(drift), -limit, limit))
                    samples = _stretched(samples, len(samples) + change)
                    drift -= change
            if position < 0:
                samples, position = samples[-position:], min(position + len(samples), 0)
            if len(samples):
                yield position, samples
                position += len(samples)


def mixed(sounds: Sequence[Sound], until: int, *, block: int = RATE_HZ) -> Iterator[av.AudioFrame]:
    """Yield the sum of `sounds` from sample zero to `until` as planar float frames; `pts` counts samples.

    They are added at full level; a limiter holds the sum below full scale instead of letting it clip.
    """
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=RATE_HZ, format="flt", layout="stereo", time_base=_TIME_BASE, name="mix"
    )
    # Attenuation begins 5 ms ahead of the peak (the filter's own delay, taken out by latency=1).
    limiter = graph.add("alimiter", "limit=0.95:attack=5:release=80:level=false:latency=true")
    shape = graph.add("aformat", f"sample_fmts=fltp:sample_rates={RATE_HZ}:channel_layouts=stereo")
    sink = graph.add("abuffersink")
    graph.link_nodes(source, limiter, shape, sink).configure()
    for start in range(0, until, block):
        mix = np.zeros((min(block, until - start), CHANNELS), np.float32)
        for sound in sounds:
            sound.add_to(mix, start)
        frame = av.AudioFrame.from_ndarray(mix.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, _TIME_BASE
        source.push(frame)
        yield from _pulled(sink)
    source.push(None)
    yield from _pulled(sink)


def _pulled(sink: av.filter.context.FilterContext) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = sink.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame


def _stretched(samples: Block, length: int) -> Block:
    """`samples` over `length` samples, by linear interpolation: fine for the fraction of a percent asked."""
    at = np.linspace(0, len(samples) - 1, length)
    before = np.arange(len(samples))
    channels = [np.interp(at, before, samples[:, channel]) for channel in range(CHANNELS)]
    return np.stack(channels, axis=1).astype(np.float32)
