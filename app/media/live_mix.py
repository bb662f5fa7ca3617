"""The sound of several streams as one, in pieces and their parts, made apart and playing without a seam.

Pieces lie on a grid of whole AAC frames. Each is encoded from some frames before its start, which are then
left out: the encoder and the limiter are where they would be, had they run from the beginning.
"""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from app.base.errors import Unprocessable
from app.media.export import RecordedSegment, RecordedTrack
from app.media.frames import Codec
from app.media.sound import RATE_HZ, PlacedTrack, Sound, mixed
from app.media.writing import add_aac_stream

_FRAME_SAMPLES = 1024
PIECE_PARTS = 4
_PART_FRAMES = 47  # 1.003 s
_LEAD_FRAMES = 24  # half a second
# The encoder looks ahead, so what follows a piece has to be there.
LOOKAHEAD_US = 100_000
_OPTIONS = {
    "movflags": "empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": "600000000",
}


StoredSegment = tuple[Codec, bytes, int, int]  # data, start in Unix microseconds, duration in microseconds


@dataclass(frozen=True, slots=True)
class MixStretch:
    """Some of the mix's parts: a whole piece of `PIECE_PARTS`, or one of them."""

    first_part: int
    part_count: int

    @classmethod
    def piece(cls, number: int) -> "MixStretch":
        return cls(number * PIECE_PARTS, PIECE_PARTS)

    @property
    def parts(self) -> list["MixStretch"]:
        """Each part alone."""
        return [MixStretch(self.first_part + one, 1) for one in range(self.part_count)]

    @property
    def frame_count(self) -> int:
        return self.part_count * _PART_FRAMES

    def times_us(self, start_us: int) -> tuple[int, int]:
        """When it starts and ends in a mix that starts at `start_us`, Unix microseconds."""
        samples = (
            self.first_part * _PART_FRAMES * _FRAME_SAMPLES,
            (self.first_part + self.part_count) * _PART_FRAMES * _FRAME_SAMPLES,
        )
        starts, ends = (start_us + round(at * 1_000_000 / RATE_HZ) for at in samples)
        return starts, ends

    def needed_us(self, start_us: int) -> tuple[int, int]:
        """Which stretch of the recorded sound it is made of."""
        starts, ends = self.times_us(start_us)
        return starts - _LEAD_FRAMES * _FRAME_SAMPLES * 1_000_000 // RATE_HZ, ends + LOOKAHEAD_US

    def is_recorded(self, until_us: int, start_us: int, *, has_ended: bool) -> bool:
        """Whether it can be made of what is recorded until `until_us`; the last may be partly silent."""
        if has_ended:
            return self.times_us(start_us)[0] < until_us
        return self.times_us(start_us)[1] + LOOKAHEAD_US <= until_us


def pieces_until(until_us: int, start_us: int, *, has_ended: bool, known: int = 0) -> int:
    """How many pieces there are of what is recorded until `until_us`, of which so many are `known`."""
    number = known
    while MixStretch.piece(number).is_recorded(until_us, start_us, has_ended=has_ended):
        number += 1
    return number


def make_mix(
    tracks: Sequence[Sequence[StoredSegment]], stretch: MixStretch, start_us: int, *, zero_us: int
) -> bytes:
    """The stretch as a fragmented MP4, its media time counted from `zero_us`.

    `tracks` are each stream's segments that the stretch needs; without any it is silence.
    """
    from_us, until_us = stretch.needed_us(start_us)
    with tempfile.TemporaryDirectory(prefix="capture-mix-") as folder:
        placed = [
            PlacedTrack(_track(segments, Path(folder), name), from_us) for name, segments in enumerate(tracks)
        ]
        samples = round((until_us - from_us) * RATE_HZ / 1_000_000)
        frames = mixed([Sound(one.blocks()) for one in placed], samples)
        file = io.BytesIO()
        shift = round((from_us - zero_us) * RATE_HZ / 1_000_000)
        first = _LEAD_FRAMES * _FRAME_SAMPLES
        with av.open(file, "w", format="mp4", options=_OPTIONS) as output:
            stream = add_aac_stream(output)
            for frame in [*frames, None]:
                for packet in stream.encode(frame):
                    at = packet.pts or 0
                    if first <= at < first + stretch.frame_count * _FRAME_SAMPLES:
                        packet.pts = packet.dts = at + shift
                        output.mux_one(packet)
    if not file.getvalue():
        raise Unprocessable("There is no sound in this stretch of time.")
    return file.getvalue()


def _track(segments: Sequence[StoredSegment], folder: Path, name: int) -> RecordedTrack:
    written = []
    for number, (codec, data, started_at_us, duration_us) in enumerate(segments):
        path = folder / f"{name}-{number}.mp4"
        path.write_bytes(data)
        written.append(RecordedSegment(codec, path, started_at_us, duration_us))
    return RecordedTrack(written)
