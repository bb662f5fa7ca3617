"""Reads the Range header of a request for a file (RFC 9110 clause 14)."""

import re

from app.base.errors import CaptureError

_ONE_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})", re.IGNORECASE)


class RangeNotSatisfiable(CaptureError):
    status = 416
    code = "range_not_satisfiable"


def read_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First and last byte of the range wanted, or None where the whole file is to be sent.

    Another unit, an invalid range and several ranges at once are ignored, as clause 14.2 has it.
    Raises `RangeNotSatisfiable` for a range that begins behind the end, or is the last zero bytes.
    """
    found = _ONE_RANGE.fullmatch((header or "").strip())
    if found is None:
        return None
    first, last = found["first"], found["last"]
    if not first and not last:
        return None
    if not first:
        low, high = max(0, size_bytes - int(last)), size_bytes - 1
    elif last and int(last) < int(first):
        return None
    else:
        low, high = int(first), min(int(last or size_bytes - 1), size_bytes - 1)
    if low >= size_bytes:
        raise RangeNotSatisfiable(f"the file has {size_bytes} bytes")
    return low, high
