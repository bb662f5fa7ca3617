"""The pictures of a finished file, decoded only where they are wanted."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from app.base.errors import Unprocessable

# Packets that are held: a file with fewer key frames is decoded on the way.
LONGEST_GROUP = 900


@dataclass(frozen=True, slots=True)
class PictureGroup:
    """A key frame and what builds on it; where it is not whole, what follows goes on from it."""

    packets: "list[av.Packet[Any]]"
    times_us: list[int]
    starts_with_key: bool
    is_whole: bool


class StoredPictures:
    """An open file's pictures. Not safe for use from several threads at once."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self._stream = container.streams.video[0]
        self._decoder = self._new_decoder()
        self._per_us = (self._stream.time_base or Fraction(1, 1_000_000)) * 1_000_000

    def groups(self) -> Iterator[PictureGroup]:
        """All of them, in the file's order; nothing is decoded."""
        packets: list[av.Packet[Any]] = []
        starts_with_key = True
        for packet in self._container.demux(self._stream):
            if packet.pts is None or not packet.size:
                continue
            if packets and (packet.is_keyframe or len(packets) >= LONGEST_GROUP):
                yield self._group(packets, starts_with_key, is_whole=packet.is_keyframe)
                packets, starts_with_key = [], packet.is_keyframe
            packets.append(packet)
        if packets:
            yield self._group(packets, starts_with_key, is_whole=True)

    def _group(
        self, packets: "list[av.Packet[Any]]", starts_with_key: bool, *, is_whole: bool
    ) -> PictureGroup:
        times = sorted(self._us(packet.pts or 0) for packet in packets)
        return PictureGroup(packets, times, starts_with_key, is_whole)

    def decoded(self, group: PictureGroup) -> Iterator[tuple[int, av.VideoFrame]]:
        """The group's frames with their times, in the order in which they are shown, but damaged ones.

        One that does not start with a key frame goes on from the one before, which was decoded to its end.
        """
        if group.starts_with_key:
            self._decoder = self._new_decoder()
        decoder = self._decoder
        for packet in [*group.packets, None] if group.is_whole else group.packets:
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is not None:
                    yield self._us(frame.pts), frame

    def _new_decoder(self) -> av.VideoCodecContext:
        described = self._stream.codec_context
        decoder = av.CodecContext.create(described.codec, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.extradata = described.extradata
        decoder.thread_count = 1  # frame threads would hold pictures back
        return decoder

    def shown_at(self, instants_us: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame, int]]:
        """The frames that are shown at these rising instants, each with its time and at how many of them.

        Raises `Unprocessable` where no picture can be decoded.
        """
        waiting = list(reversed(instants_us))
        if waiting:
            self._go_to(waiting[-1])
        shown: tuple[int, av.VideoFrame] | None = None
        for group, until_us in _with_ends(self.groups()):
            wanted = []
            while waiting and (until_us is None or waiting[-1] < until_us):
                wanted.append(group.times_us[max(bisect_right(group.times_us, waiting.pop()) - 1, 0)])
            if not wanted and group.is_whole:
                if not waiting:
                    return
                continue
            done = 0
            for at_us, frame in self.decoded(group):
                shown = at_us, frame
                reached = bisect_right(wanted, at_us)
                if reached > done:
                    yield at_us, frame, reached - done
                    done = reached
                if done == len(wanted) and group.is_whole:
                    break
            if done < len(wanted):
                if shown is None:
                    waiting.extend(reversed(wanted[done:]))
                else:
                    yield *shown, len(wanted) - done
        if waiting or (shown is None and instants_us):
            raise Unprocessable("The media file holds no readable picture.")

    def _go_to(self, at_us: int) -> None:
        """Go on from the last key frame before; from the beginning where the container cannot tell."""
        with suppress(av.FFmpegError):
            self._container.seek(int(at_us / self._per_us), stream=self._stream, backward=True)

    def _us(self, pts: int) -> int:
        return round(pts * self._per_us)


def _with_ends(groups: Iterator[PictureGroup]) -> Iterator[tuple[PictureGroup, int | None]]:
    """Each group with the time at which the next begins; None for the last."""
    held: PictureGroup | None = None
    for group in groups:
        if held is not None:
            yield held, group.times_us[0]
        held = group
    if held is not None:
        yield held, None


@contextmanager
def opened_pictures(path: Path) -> Iterator[StoredPictures]:
    """Raises `Unprocessable` for a file without pictures, or one that breaks off where it is read."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Unprocessable("The media file holds no readable picture.")
            yield StoredPictures(container)
    except av.FFmpegError as error:
        raise Unprocessable("The media file holds no readable picture.") from error
