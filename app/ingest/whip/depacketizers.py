"""From RTP payloads to access units of pictures: H.264 (RFC 6184) and VP8 (RFC 7741)."""

from collections.abc import Sequence
from typing import Protocol

from app.ingest.whip.packets import MalformedPayload
from app.media.frames import Codec

_START_CODE = b"\x00\x00\x00\x01"
_NAL_IDR, _NAL_SEI, _NAL_SPS, _NAL_PPS, _NAL_DELIMITER, _STAP_A, _FU_A = 5, 6, 7, 8, 9, 24, 28
_SLICES = range(1, 6)
_MAX_PARAMETER_SETS = 32
MAX_FRAME_BYTES = 8 * 1024 * 1024  # a 4K screen's key frame has 2 MB at the most


class Depacketizer(Protocol):
    """Collects one frame's payloads, in sequence. Implementers: the two below."""

    def starts_frame(self, payload: bytes) -> bool:
        """Whether `payload` shows by itself that it is a frame's first. Never raises."""

    def add(self, payload: bytes) -> None:
        """Take the next payload of the frame. Raises `MalformedPayload`."""

    def finish(self) -> tuple[bytes, bool] | None:
        """Return the frame and whether it is a key frame; None where there is no picture yet.

        Raises `MalformedPayload` where the frame is incomplete."""

    def reset(self) -> None:
        """Forget the frame that was begun."""


class H264Depacketizer:
    """Single NAL units, STAP-A and FU-A to Annex B. Key frames always carry their parameter sets."""

    def __init__(self, parameter_sets: Sequence[bytes] = ()) -> None:
        self._known_sets = [nal for nal in parameter_sets if nal[0] & 0x1F in (_NAL_SPS, _NAL_PPS)]
        self._parts: list[bytes] = []
        self._frame_sets: list[bytes] = []
        self._fragments: list[bytes] = []
        self._bytes = 0
        self._has_slice = False
        self._is_idr = False

    def starts_frame(self, payload: bytes) -> bool:
        """True for a parameter set, SEI, delimiter or a slice whose first macroblock is number 0."""
        nal = payload
        if nal and nal[0] & 0x1F == _STAP_A:
            nal = payload[3:]
        elif nal and nal[0] & 0x1F == _FU_A:
            if len(payload) < 3 or not payload[1] & 0x80:
                return False
            nal = payload[1:]
        if len(nal) < 2:
            return False
        nal_type = nal[0] & 0x1F
        # `first_mb_in_slice` leads the slice header, and 0 is the single bit 1 (ITU-T H.264 7.3.3, 9.1).
        return nal_type in (_NAL_SPS, _NAL_PPS, _NAL_SEI, _NAL_DELIMITER) or (
            nal_type in _SLICES and bool(nal[1] & 0x80)
        )

    def add(self, payload: bytes) -> None:
        self._bytes += len(payload)
        if self._bytes > MAX_FRAME_BYTES:
            raise MalformedPayload(f"a frame of more than {MAX_FRAME_BYTES} bytes")
        nal_type = payload[0] & 0x1F if payload else 0
        if nal_type == _FU_A:
            self._add_fragment(payload)
        elif self._fragments:
            raise MalformedPayload("a fragmented NAL unit was not finished")
        elif nal_type == _STAP_A:
            self._add_aggregate(payload)
        elif 1 <= nal_type < _STAP_A:
            self._add_nal(payload)
        else:
            raise MalformedPayload(f"NAL unit type {nal_type} is not supported")

    def finish(self) -> tuple[bytes, bool] | None:
        if self._fragments:
            raise MalformedPayload("a fragmented NAL unit was not finished")
        if not self._has_slice:
            return None
        parts = self._parts
        has_sps = _NAL_SPS in _types(self._frame_sets)
        if self._frame_sets:
            self._remember_sets()
        is_keyframe = self._is_idr and _types(self._known_sets) == {_NAL_SPS, _NAL_PPS}
        if is_keyframe and not has_sps:
            parts = [part for nal in self._known_sets for part in (_START_CODE, nal)] + parts
        frame = b"".join(parts), is_keyframe
        self.reset()
        return frame

    def reset(self) -> None:
        self._parts, self._frame_sets, self._fragments = [], [], []
        self._bytes = 0
        self._has_slice = self._is_idr = False

    def _remember_sets(self) -> None:
        """A new SPS replaces all that was known, except a PPS that it comes without."""
        kept = self._known_sets
        if _NAL_SPS in (types := _types(self._frame_sets)):
            kept = [] if _NAL_PPS in types else [nal for nal in kept if nal[0] & 0x1F == _NAL_PPS]
        self._known_sets = [*kept, *(nal for nal in self._frame_sets if nal not in kept)]
        del self._known_sets[:-_MAX_PARAMETER_SETS]

    def _add_nal(self, nal: bytes) -> None:
        nal_type = nal[0] & 0x1F
        if nal_type in _SLICES:
            self._has_slice = True
            self._is_idr = self._is_idr or nal_type == _NAL_IDR
        elif nal_type in (_NAL_SPS, _NAL_PPS):
            self._frame_sets.append(nal)
        self._parts += (_START_CODE, nal)

    def _add_aggregate(self, payload: bytes) -> None:
        position = 1
        while position < len(payload):
            size = int.from_bytes(payload[position : position + 2], "big")
            nal = payload[position + 2 : position + 2 + size]
            if not size or len(nal) < size:
                raise MalformedPayload("a STAP-A packet is truncated")
            self._add_nal(nal)
            position += 2 + size

    def _add_fragment(self, payload: bytes) -> None:
        if len(payload) < 3:
            raise MalformedPayload("an FU-A packet is truncated")
        indicator, header = payload[0], payload[1]
        if bool(header & 0x80) == bool(self._fragments):
            raise MalformedPayload("an FU-A packet starts or continues out of place")
        if header & 0x80:
            self._fragments.append(bytes([indicator & 0xE0 | header & 0x1F]))
        self._fragments.append(payload[2:])
        if header & 0x40:
            self._add_nal(b"".join(self._fragments))
            self._fragments = []


class Vp8Depacketizer:
    """Strips the payload descriptor; a frame is its partitions, one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def starts_frame(self, payload: bytes) -> bool:
        """True for the start of partition 0."""
        return bool(payload) and payload[0] & 0x17 == 0x10

    def add(self, payload: bytes) -> None:
        if not self._parts and not self.starts_frame(payload):
            raise MalformedPayload("a VP8 frame without its start")
        part = payload[_vp8_descriptor_bytes(payload) :]
        self._bytes += len(part)
        if not part or self._bytes > MAX_FRAME_BYTES:
            raise MalformedPayload("a VP8 packet without payload, or a frame that never ends")
        self._parts.append(part)

    def finish(self) -> tuple[bytes, bool] | None:
        if not self._parts:
            return None
        data = b"".join(self._parts)
        self.reset()
        return data, not data[0] & 0x01  # the inverse key frame flag of RFC 7741 section 4.3

    def reset(self) -> None:
        self._parts = []
        self._bytes = 0


def make_depacketizer(codec: Codec, parameter_sets: Sequence[bytes] = ()) -> Depacketizer:
    """Return the depacketiser of a picture's `codec`; `parameter_sets` are H.264 SPS and PPS known from the
    SDP."""
    return H264Depacketizer(parameter_sets) if codec is Codec.H264 else Vp8Depacketizer()


def _types(nals: Sequence[bytes]) -> set[int]:
    return {nal[0] & 0x1F for nal in nals}


def _vp8_descriptor_bytes(payload: bytes) -> int:
    """The length of the payload descriptor (RFC 7741 section 4.2)."""
    if not payload or not payload[0] & 0x80:
        return 1
    length = 2
    extensions = payload[1] if len(payload) > 1 else 0
    if extensions & 0x80:  # PictureID, in 7 or 15 bits
        length += 2 if len(payload) > 2 and payload[2] & 0x80 else 1
    if extensions & 0x40:  # TL0PICIDX
        length += 1
    if extensions & 0x30:  # TID and KEYIDX share a byte
        length += 1
    return length
