"""Tracks that hand aiortc one encoded packet at a time, each at its moment of the recording's clock."""

from __future__ import annotations  # av.Packet is generic in its stubs only.

import asyncio
import threading
from abc import abstractmethod
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from opencapture_recorder.clock import SEND_DELAY_SECONDS, MediaClock
from opencapture_recorder.encoders import SAMPLES_PER_PACKET, AudioEncoder, VideoEncoder, fit_size
from opencapture_recorder.settings import RecorderSettings
from opencapture_recorder.sources.contract import SAMPLE_RATE_HZ, AudioSource, Source, VideoSource, silence

# A machine that slept or stalled leaves out what it missed instead of sending it all at once.
_MAX_LATE_SECONDS = 1.0


class Feed:
    """One channel's source as its tracks share it: a new track after a reconnect reads on."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.is_paused = False
        self.skipped_slots = 0
        self.lock = threading.Lock()  # The last read of a replaced track may still be under way.


class PacedTrack(MediaStreamTrack):
    """Time is cut into slots of equal length; a slot's packet leaves a fixed delay after the slot begins."""

    def __init__(self, feed: Feed, clock: MediaClock, slot_seconds: Fraction) -> None:
        super().__init__()
        self._feed = feed
        self._clock = clock
        self._slot_seconds = slot_seconds
        self._next_slot: int | None = None

    async def recv(self) -> av.Packet[Any]:
        await self._clock.wait_started()
        while self.readyState == "live":
            slot = self._take_slot()
            await self._clock.sleep_until(float((slot + 1) * self._slot_seconds))
            packet = await asyncio.to_thread(self._locked_encode, slot)
            if packet is not None and packet.pts is not None and packet.time_base is not None:
                await self._clock.sleep_until(float(packet.pts * packet.time_base) + SEND_DELAY_SECONDS)
                return packet
        raise MediaStreamError

    def _take_slot(self) -> int:
        now = self._clock.now()
        current = int(now / self._slot_seconds)
        slot = current if self._next_slot is None else self._next_slot
        if now - slot * self._slot_seconds > SEND_DELAY_SECONDS + _MAX_LATE_SECONDS:
            self._feed.skipped_slots += current - slot
            slot = current
        self._next_slot = slot + 1
        return slot

    def _locked_encode(self, slot: int) -> av.Packet[Any] | None:
        with self._feed.lock:
            return self._encode(slot)

    @abstractmethod
    def _encode(self, slot: int) -> av.Packet[Any] | None:
        """Read the source and encode one slot, in a worker thread."""


class AudioTrack(PacedTrack):
    kind = "audio"

    def __init__(self, feed: Feed, source: AudioSource, clock: MediaClock) -> None:
        super().__init__(feed, clock, Fraction(SAMPLES_PER_PACKET, SAMPLE_RATE_HZ))
        self._source = source
        self._encoder = AudioEncoder(source.channels)

    def _encode(self, slot: int) -> av.Packet[Any] | None:
        position = slot * SAMPLES_PER_PACKET
        samples = self._source.read(position, SAMPLES_PER_PACKET)
        if self._feed.is_paused:
            samples = silence(SAMPLES_PER_PACKET, self._source.channels)
        return self._encoder.encode(samples, position)


class VideoTrack(PacedTrack):
    kind = "video"

    def __init__(
        self, feed: Feed, source: VideoSource, clock: MediaClock, settings: RecorderSettings
    ) -> None:
        super().__init__(feed, clock, Fraction(1, settings.frame_rate))
        self._source = source
        size = fit_size(source.width, source.height, settings.max_width, settings.max_height)
        self._encoder = VideoEncoder(*size, settings.frame_rate, settings.video_bits_per_second)
        self._wants_key_frame = False
        self._black = self._encoder.black()

    def request_key_frame(self) -> None:
        """Make the next picture one that can be decoded alone."""
        self._wants_key_frame = True

    def _encode(self, slot: int) -> av.Packet[Any] | None:
        frame = self._source.frame_at(float(slot * self._slot_seconds))
        if frame is None or self._feed.is_paused:
            frame = self._black
        key_frame, self._wants_key_frame = self._wants_key_frame, False
        return self._encoder.encode(frame, slot, key_frame=key_frame)


def make_track(feed: Feed, clock: MediaClock, settings: RecorderSettings) -> AudioTrack | VideoTrack:
    """A fresh track, with its own encoder, for a new connection of this feed."""
    source = feed.source
    if isinstance(source, VideoSource):
        return VideoTrack(feed, source, clock, settings)
    return AudioTrack(feed, source, clock)
