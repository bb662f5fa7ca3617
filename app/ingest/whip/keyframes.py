"""When to ask a publisher for a key frame."""

FIRST_WAIT_SECONDS = 0.3  # a retransmission has come by then, or will not come
_LONGEST_WAIT_SECONDS = 2.4


class KeyframeRequests:
    """Times picture loss indications: after 0.3 s, then at doubling distances until a key frame comes.

    The distances double because a large screen's key frame can take a second to arrive, and each request
    would make the publisher send another.
    """

    def __init__(self) -> None:
        self.due: float | None = None  # when the next request goes out; None while none is wanted
        self._wait_seconds = FIRST_WAIT_SECONDS

    def ask(self, at: float) -> None:
        """Send a request at `at` at the latest, unless requests are already going out."""
        if self.due is None or (at < self.due and self._wait_seconds == FIRST_WAIT_SECONDS):
            self.due = at

    def settle(self) -> None:
        """A key frame came, or is no longer needed."""
        self.due = None
        self._wait_seconds = FIRST_WAIT_SECONDS

    def take(self, now: float) -> bool:
        """Whether to send a request now; if so the next one is scheduled."""
        if self.due is None or self.due > now:
            return False
        self.due = now + self._wait_seconds
        self._wait_seconds = min(self._wait_seconds * 2, _LONGEST_WAIT_SECONDS)
        return True
