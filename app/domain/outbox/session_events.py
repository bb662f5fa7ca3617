"""What happens to capture sessions."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.outbox.envelope import Json, envelope, iso


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """A capture session reached `status`. `data` is what the webhook of contract §2.5 carries."""

    capture_session_id: str
    end_user_id: str
    status: str
    data: Json

    @property
    def name(self) -> str:
        return f"capture_session.{self.status}"

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The webhook body (contract §2.5)."""
        return envelope(self.name, message_id, at) | {
            "capture_session_id": self.capture_session_id,
            "end_user_id": self.end_user_id,
            "status": self.status,
            "data": self.data,
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        # No top-level `id`: Node's stream({id}) would compare it before the stream's id (contract §3).
        envelope = {key: value for key, value in self.envelope(message_id, at).items() if key != "id"}
        return [
            envelope
            | {
                "channel": "capture_session",
                "session_id": self.capture_session_id,
                "data": {"status": self.status, "event": self.name, **self.data},
            }
        ]


@dataclass(frozen=True, slots=True)
class ExportReady:
    """An export that a socket asked to be told of is there. `data` names its video and where it plays.

    Not a move of the session: `capture_session.exported` comes once, whatever else is exported later.
    """

    capture_session_id: str
    video_channel_id: str | None
    data: Json

    name = "capture_session.export_ready"

    def envelope(self, message_id: str, at: datetime) -> Json:
        return envelope(self.name, message_id, at) | {
            "capture_session_id": self.capture_session_id,
            "data": self._named(),
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": "capture_session",
                "type": "capture_session",
                "event": self.name,
                "event_id": message_id,
                "timestamp": iso(at),
                "capture_session_id": self.capture_session_id,
                "session_id": self.capture_session_id,
                **self._named(),
                "data": {"event": self.name, **self._named()},
            }
        ]

    def _named(self) -> Json:
        return {"video_channel_id": self.video_channel_id, "export_status": "exported", **self.data}
