"""Reads one connection to a source by FFmpeg, in a thread of its own: FFmpeg waits for the network."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import av

from app.ingest.pull.arrival_clock import SETTLE_SECONDS, ArrivalClock, PacedClock
from app.ingest.pull.entrance import Entrance
from app.media.frames import Codec, EncodedFrame
from app.media.passage import AudioPassage, Passed, VideoPassage, media_us

logger = logging.getLogger(__name__)

OPEN_SECONDS = 20.0
READ_SECONDS = 10.0
_LATE = "the source did not answer in time"


@dataclass(slots=True)
class Outcome:
    """How a connection ended: with an `error`, or `finished`, as a recording does, or neither."""

    error: str | None = None
    finished: bool = False
    media_seconds: float = 0.0


class SourceReader:
    """`run` reads until the source ends or `stop`, and calls `deliver` with each frame, in decoding order.

    `media_types` are those wanted; `has_begun` says that this source brought media before, so that one
    which turns out to have an end is not played again.
    """

    def __init__(
        self,
        entrance: Entrance,
        media_types: tuple[str, ...],
        deliver: Callable[[EncodedFrame], None],
        *,
        has_begun: bool,
    ) -> None:
        self._entrance = entrance
        self._media_types = media_types
        self._deliver = deliver
        self._has_begun = has_begun
        self._stopping = threading.Event()
        self._last_us: dict[Codec, int] = {}

    def stop(self) -> None:
        """Read no more; may be called from any thread."""
        self._stopping.set()

    def run(self) -> Outcome:
        """Returns how it ended; what went wrong is told without the URL, which may hold a password."""
        outcome, asked, began = Outcome(), time.monotonic(), None
        try:
            with av.open(
                self._entrance.url,
                format=self._entrance.format,
                options=self._entrance.options,
                timeout=(OPEN_SECONDS, READ_SECONDS),
            ) as container:
                is_finite = self._entrance.is_paced and (container.duration or 0) > 0
                if is_finite and self._has_begun:
                    return Outcome(finished=True)
                for frame in self._frames(container):
                    began = began or time.monotonic()
                    self._deliver(frame)
                outcome.finished = is_finite and not self._stopping.is_set()
        except av.FFmpegError as error:
            # Interrupted while it opens a source, FFmpeg calls that whatever the source's protocol does.
            is_late = began is None and time.monotonic() - asked >= OPEN_SECONDS
            outcome.error = _LATE if is_late else _told(error)
        except _NothingWanted as error:
            outcome.error = str(error)
        except Exception:
            logger.exception("reading a source broke")
            outcome.error = "the source could not be read"
        outcome.media_seconds = time.monotonic() - began if began else 0.0
        if not outcome.finished and outcome.error is None and not self._stopping.is_set():
            outcome.error = "the source ended the connection"
        return outcome

    def _frames(self, container: "av.container.InputContainer") -> Iterator[EncodedFrame]:
        passages = self._passages(container)
        chosen = [container.streams[index] for index in passages]
        packets = container.demux(chosen)
        timed = _paced(packets, self._stopping) if self._entrance.is_paced else _arriving(packets)
        for packet, offset_us in timed:
            if self._stopping.is_set():
                return
            for passed in passages[packet.stream.index].take(packet):
                yield self._frame(passed, offset_us)

    def _passages(self, container: "av.container.InputContainer") -> dict[int, VideoPassage | AudioPassage]:
        passages: dict[int, VideoPassage | AudioPassage] = {}
        video = container.streams.best("video") if "video" in self._media_types else None
        audio = container.streams.best("audio") if "audio" in self._media_types else None
        if isinstance(video, av.VideoStream):
            passages[video.index] = VideoPassage(video)
        if isinstance(audio, av.AudioStream):
            passages[audio.index] = AudioPassage(audio)
        if not passages:
            raise _NothingWanted(f"the source has no {' and no '.join(self._media_types)}")
        return passages

    def _frame(self, passed: Passed, offset_us: int) -> EncodedFrame:
        captured_us = max(passed.at_us + offset_us, self._last_us.get(passed.codec, 0) + 1)
        self._last_us[passed.codec] = captured_us
        return EncodedFrame(
            codec=passed.codec,
            data=passed.data,
            timestamp=passed.at_us * passed.codec.clock_rate_hz // 1_000_000,
            captured_at_us=captured_us,
            is_keyframe=passed.is_keyframe,
            description=passed.description,
        )


class _NothingWanted(Exception):
    pass


Packets: TypeAlias = "Iterator[av.Packet[Any]]"


def _arriving(packets: Packets) -> Iterator[tuple["av.Packet[Any]", int]]:
    """Packets as they come, each with what makes Unix microseconds of its media time."""
    clock = ArrivalClock()
    held: list[av.Packet[Any]] | None = []
    settled_at = time.monotonic() + SETTLE_SECONDS
    for packet in packets:
        at_us, now_us = media_us(packet), time.time_ns() // 1000
        if at_us is None:
            continue
        if held is not None:
            clock.settle(at_us, now_us)
            held.append(packet)
            if time.monotonic() < settled_at and len(held) < 2000:
                continue
            ready, held = held, None
        else:
            ready = [packet]
        offset_us = clock.to_unix_us(at_us, now_us) - at_us
        for one in ready:
            yield one, offset_us


def _paced(packets: Packets, stopping: threading.Event) -> Iterator[tuple["av.Packet[Any]", int]]:
    """Packets when they are to be played."""
    clock = PacedClock()
    for packet in packets:
        at_us = media_us(packet)
        if at_us is None:
            continue
        due_us = clock.due_us(at_us, time.time_ns() // 1000)
        if stopping.wait(max(due_us / 1e6 - time.time(), 0)):
            return
        yield packet, due_us - at_us


def _told(error: av.FFmpegError) -> str:
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError | PermissionError):
        return "the source wants other credentials"
    if isinstance(error, av.HTTPNotFoundError):
        return "there is nothing at the source's URL"
    if isinstance(error, TimeoutError | av.ExitError):
        return _LATE
    if isinstance(error, OSError) and not isinstance(error, av.InvalidDataError):
        return "the connection to the source failed"
    return "what the source sends cannot be read"
