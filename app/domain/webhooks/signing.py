"""Headers of a webhook by Standard Webhooks 1.0: who sent it, which event it is, and when."""

from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook


def signed_headers(message_id: str, at: datetime, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """Headers for exactly this `body`; with several secrets a receiver that knows one of them verifies it.

    `at` is the time of the attempt: an aware UTC datetime.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets),
    }
