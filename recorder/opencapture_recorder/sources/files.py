"""Media files played in real time: at the end silence or the last picture, or from the beginning again."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from opencapture_recorder.errors import SourceError
from opencapture_recorder.sources.contract import SAMPLE_RATE_HZ, Samples, silence


def _open(path: Path, kind: str) -> InputContainer:
    try:
        container = av.open(str(path))
    except (OSError, av.FFmpegError) as error:
        raise SourceError(f"{path.name} cannot be opened: {error}") from None
    if not (container.streams.video if kind == "video" else container.streams.audio):
        container.close()
        raise SourceError(f"{path.name} has no {kind}")
    return container


def _start_seconds(container: InputContainer) -> float:
    return (container.start_time or 0) / av.time_base


def _length_seconds(container: InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration else None


def _samples(frame: av.AudioFrame, channels: int) -> Samples:
    return frame.to_ndarray().astype(np.int16, copy=False).reshape(-1, channels)


class FileAudio:
    """The first sound track of a file, decoded as it is read."""

    def __init__(self, path: Path, *, loop: bool) -> None:
        self.is_ended = False
        self._path = path
        self._loop = loop
        self._container = _open(path, "audio")
        self.channels = min(2, self._container.streams.audio[0].codec_context.channels)
        length = _length_seconds(self._container)
        self._loop_samples = round(length * SAMPLE_RATE_HZ) if loop and length else None
        self._rewind()

    def start(self, origin_monotonic: float) -> None:
        pass

    def read(self, position: int, count: int) -> Samples:
        if self._loop_samples is None:
            return self._read_once(position, count)
        parts = []
        while count > 0:
            local = position % self._loop_samples
            part = min(count, self._loop_samples - local)
            if local < self._position:
                self._container.seek(0)
                self._rewind()
            parts.append(self._read_once(local, part))
            position, count = position + part, count - part
        return np.concatenate(parts)

    def close(self) -> None:
        self._container.close()

    def _rewind(self) -> None:
        self._blocks = self._decode()
        self._pending = silence(0, self.channels)
        self._position = 0  # of the first pending sample
        self._is_drained = False

    def _read_once(self, position: int, count: int) -> Samples:
        end = position + count
        while self._position + len(self._pending) < end and not self._is_drained:
            block = next(self._blocks, None)
            if block is None:
                self._is_drained = True
                break
            self._pending = np.concatenate([self._pending, block])
            self._drop_before(min(position, self._position + len(self._pending)))
        self._drop_before(min(position, self._position + len(self._pending)))
        samples = silence(count, self.channels)
        # A reader that went back gets silence for what is gone; only a replaced connection does so.
        offset = max(0, self._position - position)
        found = self._pending[: max(0, count - offset)]
        samples[offset : offset + len(found)] = found
        self._drop_before(min(end, self._position + len(self._pending)))
        if self._is_drained and not len(self._pending) and self._loop_samples is None:
            self.is_ended = True
        return samples

    def _drop_before(self, position: int) -> None:
        gone = max(0, position - self._position)
        self._pending = self._pending[gone:]
        self._position += gone

    def _decode(self) -> Iterator[Samples]:
        layout = "mono" if self.channels == 1 else "stereo"
        resampler = AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE_HZ)
        start_seconds = _start_seconds(self._container)
        is_first = True
        for frame in self._container.decode(audio=0):
            if is_first and frame.time is not None and frame.time > start_seconds:
                yield silence(round((frame.time - start_seconds) * SAMPLE_RATE_HZ), self.channels)
            is_first = False
            for converted in resampler.resample(frame):
                yield _samples(converted, self.channels)
        for converted in resampler.resample(None):
            yield _samples(converted, self.channels)


class FileVideo:
    """The first video track of a file, decoded as it is asked for."""

    def __init__(self, path: Path, *, loop: bool) -> None:
        self.is_ended = False
        self._container = _open(path, "video")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self.width, self.height = stream.codec_context.width, stream.codec_context.height
        self._loop_seconds = _length_seconds(self._container) if loop else None
        self._current: av.VideoFrame | None = None
        self._asked_seconds = 0.0
        self._frames = self._decode()
        self._next = next(self._frames, None)

    def start(self, origin_monotonic: float) -> None:
        pass

    def frame_at(self, media_seconds: float) -> av.VideoFrame | None:
        if self._loop_seconds is not None:
            media_seconds %= self._loop_seconds
            if media_seconds < self._asked_seconds:
                self._container.seek(0)
                self._frames = self._decode()
                self._next = next(self._frames, None)
        self._asked_seconds = media_seconds
        while self._next is not None and self._next[0] <= media_seconds:
            self._current = self._next[1]
            self._next = next(self._frames, None)
        if self._next is None and self._loop_seconds is None:
            self.is_ended = True
        return self._current

    def close(self) -> None:
        self._container.close()

    def _decode(self) -> Iterator[tuple[float, av.VideoFrame]]:
        start_seconds = _start_seconds(self._container)
        for frame in self._container.decode(video=0):
            if frame.time is not None:
                yield frame.time - start_seconds, frame
