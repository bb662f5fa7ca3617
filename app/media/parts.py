"""Where the parts of a segment lie: fragments of MP4 (ISO/IEC 14496-12), clusters of WebM (RFC 9559)."""

from collections.abc import Iterator
from typing import BinaryIO, Literal

from app.base.errors import Unprocessable
from app.media.boxes import top_level_boxes

Container = Literal["mp4", "webm"]

# The number (`mfhd`) of a fragment that is written over by the next: its last frame is in that one too.
PROVISIONAL_FRAGMENT = 0x7FFF0000

_MP4_HEADER = (b"ftyp", b"moov")
_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_LONGEST_ELEMENT_HEADER_BYTES = 12  # RFC 9559 clause 5: ids of four bytes, sizes of eight


def part_ends(file: BinaryIO, container: Container) -> list[int]:
    """Offsets at which the header and then each whole part end; what follows the last was cut off.

    Empty where there is not one whole part.
    """
    ends: list[int] = []
    try:
        for start, end in _mp4_parts(file) if container == "mp4" else _webm_parts(file):
            ends += [end] if ends else [start, end]
    except Unprocessable:
        pass  # Rubbish after the last part: blocks that never reached the disk read as zeros.
    return ends


def _mp4_parts(file: BinaryIO) -> Iterator[tuple[int, int]]:
    fragment: int | None = None
    for box in top_level_boxes(file):
        if box.kind == b"moof":
            fragment = box.offset
        elif box.kind == b"mdat" and fragment is not None:
            yield fragment, box.end
            fragment = None
        elif box.kind not in _MP4_HEADER:
            return


def _webm_parts(file: BinaryIO) -> Iterator[tuple[int, int]]:
    file_bytes, offset = file.seek(0, 2), 0
    while offset < file_bytes:
        file.seek(offset)
        head = file.read(_LONGEST_ELEMENT_HEADER_BYTES)
        kind_bytes = _variable_bytes(head)
        size_bytes = _variable_bytes(head[kind_bytes:])
        header_bytes = kind_bytes + size_bytes
        if header_bytes > len(head):
            return
        if head[:kind_bytes] == _SEGMENT:  # of unknown size: its elements follow
            offset += header_bytes
            continue
        marked = int.from_bytes(head[kind_bytes:header_bytes], "big")
        end = offset + header_bytes + (marked & ~(1 << 7 * size_bytes))
        if end > file_bytes:
            return
        if head[:kind_bytes] == _CLUSTER:
            yield offset, end
        offset = end


def _variable_bytes(head: bytes) -> int:
    """Length of the EBML number at the start of `head`: its leading zero bits and one (RFC 8794 clause 4)."""
    if not head or not head[0]:
        raise Unprocessable("The file is not a WebM: a number has no length.")
    return 9 - head[0].bit_length()
