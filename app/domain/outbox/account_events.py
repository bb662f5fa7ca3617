"""What happens to an account's webhook endpoints and long work."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.outbox.envelope import Json, envelope, iso


@dataclass(frozen=True, slots=True)
class EndpointDisabled:
    """A webhook endpoint gets nothing any more: it said 410, or has failed for days."""

    endpoint_id: str
    reason: str
    of_session_id: str | None  # whose callback it was; none of that session's own events

    name = "webhook.endpoint_disabled"
    capture_session_id = None

    def envelope(self, message_id: str, at: datetime) -> Json:
        data = {"endpoint_id": self.endpoint_id, "reason": self.reason}
        return envelope(self.name, message_id, at) | {
            "data": data | {"capture_session_id": self.of_session_id}
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        envelope = {key: value for key, value in self.envelope(message_id, at).items() if key != "id"}
        return [envelope | {"channel": "webhook", "type": "webhook"}]


@dataclass(frozen=True, slots=True)
class Ping:
    """A test of one endpoint, which alone receives it."""

    endpoint_id: str

    name = "webhook.ping"
    capture_session_id = None

    def envelope(self, message_id: str, at: datetime) -> Json:
        return envelope(self.name, message_id, at) | {"data": {"endpoint_id": self.endpoint_id}}

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return []


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """Long work that was asked for with a `callback_url` is done or has failed. `body` is what polling says.

    It goes to that URL alone: no socket hears of it.
    """

    operation_id: str
    body: Json

    name = "operation.ended"
    capture_session_id = None

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The callback's body (contract §2.5): the final envelope, with ids that retries do not change."""
        named = {"id": message_id, "event_id": message_id, "event": self.name, "timestamp": iso(at)}
        return {**self.body, **named, "operation_id": self.operation_id}

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return []
