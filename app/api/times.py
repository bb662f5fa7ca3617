"""Times as clients send them."""

from app.base.errors import InvalidRequest

MILLISECONDS_FROM = 1e11  # a time this large is meant in milliseconds (contract C8)


def read_unix_us(value: float) -> int:
    """Unix seconds, or milliseconds where the number is too large for them, as microseconds.

    Raises `InvalidRequest` for what is no time.
    """
    seconds = value / 1000 if value > MILLISECONDS_FROM else value
    if not -1e11 < seconds < 1e11:
        raise InvalidRequest("times must be Unix seconds")
    return round(seconds * 1e6)
