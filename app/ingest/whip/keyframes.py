"""When to ask a publisher for a key frame."""

FIRST_WAIT_SECONDS = 0.3  # a retransmission has come by then, or will not come
_LONGEST_WAIT_SECONDS = 2.4


class KeyframeRequests:
    """Times picture loss indications: after 0.3 s, then at doubling distances until a key frame comes.

    The distances double because a large screen's key frame can take a second to arrive, and each request
    would make the publisher send another.
    """

    def __init__(self) -> None:
        self._due: float | None = None
        self._wait_seconds = FIRST_WAIT_SECONDS

    def ask(self, at: float) -> None:
        """Send a request at `at` at the latest, unless requests are already going out."""
        if self._due is None or (at < self._due and self._wait_seconds == FIRST_WAIT_SECONDS):
            self._due = at

    def settle(self) -> None:
        """A key frame came, or is no longer needed."""
        self._due = None
        self._wait_seconds = FIRST_WAIT_SECONDS

    @property
    def due(self) -> float | None:
        """When the next request goes out; None while none is wanted."""
        return self._due

    def take(self, now: float) -> bool:
        """Whether to send a request now; if so the next one is scheduled."""
        if self._due is None or self._due > now:
            return False
        self._due = now + self._wait_seconds
        self._wait_seconds = min(self._wait_seconds * 2, _LONGEST_WAIT_SECONDS)
        return True
