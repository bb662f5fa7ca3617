"""When a failed delivery is tried again, and when an endpoint is given up. Pure."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# The schedule that Standard Webhooks suggests: ten attempts in 75 h 35 min 5 s.
RETRY_SECONDS = (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
MAX_ATTEMPTS = len(RETRY_SECONDS) + 1
JITTER = 0.1  # of each wait, so that what failed together does not come back together
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
DISABLE_AFTER = timedelta(days=5)

GONE = 410


def retry_at(
    attempts: int, now: datetime, chance: float, retry_after_seconds: float | None
) -> datetime | None:
    """When to try again after `attempts` failed ones, None after the last; `chance` is from 0 to 1.

    Never sooner than the schedule says, and never sooner than the receiver asks, up to a day.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    wait = RETRY_SECONDS[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    asked = min(retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
    return now + timedelta(seconds=max(wait, asked))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110 section 10.2.3) in seconds from `now`; None where it says nothing of use."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds > 0 else None
