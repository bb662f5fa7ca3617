"""Prefixed ids that sort by creation time, unguessable tokens, and the clock."""

import secrets
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def new_id(prefix: str) -> str:
    """Return `<prefix>-<26 characters>`: 48 bits of Unix milliseconds, then 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}-{''.join(reversed(digits))}"


def new_secret(prefix: str) -> str:
    """Return `<prefix>-<32 URL-safe characters>` holding 192 random bits."""
    return f"{prefix}-{secrets.token_urlsafe(24)}"


def utc_now() -> datetime:
    """The wall clock as an aware UTC datetime."""
    return datetime.now(UTC)
