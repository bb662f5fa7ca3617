"""The catalogue of events: each one's payload, the frames it becomes on a socket, and `emit()`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.outbox.models import OutboxMessage

NOTIFY_CHANNEL = "outbox"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """Which sockets receive an event (contract §3).

    A named connection gets it alone. Without one, every open socket of the account's collection does,
    except those that some running pipeline has named, which asked for their own pipelines only, and those
    that a client token opened.
    """

    collection_id: str
    connection_id: str | None = None
    except_connection_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """A capture session reached `status`. `data` is what the webhook of contract §2.5 carries."""

    capture_session_id: str
    end_user_id: str
    status: str
    data: Json

    goes_to_webhooks = True

    @property
    def name(self) -> str:
        return f"capture_session.{self.status}"

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The webhook body (contract §2.5)."""
        return {
            "id": message_id,
            "event_id": message_id,
            "version": "2",
            "event": self.name,
            "timestamp": iso(at),
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
class TranscriptFinal:
    """An utterance was transcribed. Times are wall-clock Unix milliseconds of when it was said."""

    rtstream_id: str
    rtstream_name: str
    utterance_id: str
    text: str
    start_ms: int
    end_ms: int

    goes_to_webhooks = False
    name = "transcript.final"

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": "transcript",
                "type": "transcript",
                "event_id": message_id,
                "timestamp": iso(at),
                "rtstream_id": self.rtstream_id,
                "rtstream_name": self.rtstream_name,
                "text": self.text,
                "is_final": True,
                "data": {
                    "text": self.text,
                    "is_final": True,
                    "start": self.start_ms,
                    "end": self.end_ms,
                    "utterance_id": self.utterance_id,
                },
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

    goes_to_webhooks = False
    name = "capture_session.export_ready"

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        named = {"video_channel_id": self.video_channel_id, "export_status": "exported", **self.data}
        return [
            {
                "channel": "capture_session",
                "type": "capture_session",
                "event": self.name,
                "event_id": message_id,
                "timestamp": iso(at),
                "capture_session_id": self.capture_session_id,
                "session_id": self.capture_session_id,
                **named,
                "data": {"event": self.name, **named},
            }
        ]


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """Long work that was asked for with a `callback_url` is done or has failed. `body` is what polling says.

    No socket hears of it. Webhooks find their endpoint by `capture_session_id`: the operation's id, here.
    """

    capture_session_id: str
    body: Json

    goes_to_webhooks = True
    name = "operation.ended"

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The callback's body (contract §2.5): the final envelope, with ids that retries do not change."""
        named = {"id": message_id, "event_id": message_id, "event": self.name, "timestamp": iso(at)}
        return {**self.body, **named, "operation_id": self.capture_session_id}

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return []


@dataclass(frozen=True, slots=True)
class SceneRecorded:
    """An index found something. Times are wall-clock Unix milliseconds of when it was shown or said.

    `channels` are the frames that tell of it, all with one event id: clients read a visual record under two
    names (contract C5).
    """

    rtstream_id: str
    rtstream_name: str
    index_id: str
    kind: str
    text: str
    start_ms: int
    end_ms: int
    channels: tuple[str, ...]

    goes_to_webhooks = False

    @property
    def name(self) -> str:
        return f"{self.kind}_index.record"

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": channel,
                "type": "index",
                "index_type": self.kind,
                "event_id": message_id,
                "timestamp": iso(at),
                "rtstream_id": self.rtstream_id,
                "rtstream_name": self.rtstream_name,
                "index_id": self.index_id,
                "text": self.text,
                "data": {"text": self.text, "start": self.start_ms, "end": self.end_ms},
            }
            for channel in self.channels
        ]


@dataclass(frozen=True, slots=True)
class AlertFired:
    """A rule matched a record. `links` lead to the stretch of the stream that the record is of."""

    alert_id: str
    rule_id: str
    label: str
    index_id: str
    rtstream_id: str
    rtstream_name: str
    confidence: float
    explanation: str
    text: str
    start_ms: int
    end_ms: int
    links: Json

    goes_to_webhooks = True
    name = "alert.fired"

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The callback's body (contract §2.5); `event_id` is the rule's, as its readers expect."""
        return {
            "id": message_id,
            "event": self.name,
            "event_id": self.rule_id,
            "label": self.label,
            "alert_id": self.alert_id,
            "index_id": self.index_id,
            "rtstream_id": self.rtstream_id,
            "rtstream_name": self.rtstream_name,
            "confidence": self.confidence,
            "explanation": self.explanation,
            "text": self.text,
            "timestamp": iso(at),
            "start_time": self.start_ms / 1000,
            "end_time": self.end_ms / 1000,
            **self.links,
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": "alert",
                "type": "alert",
                "event_id": message_id,
                "timestamp": iso(at),
                "rtstream_id": self.rtstream_id,
                "rtstream_name": self.rtstream_name,
                "index_id": self.index_id,
                "alert_id": self.alert_id,
                "data": {
                    "event_id": self.rule_id,
                    "label": self.label,
                    "event_label": self.label,
                    "triggered": True,
                    "confidence": self.confidence,
                    "start": self.start_ms,
                    "end": self.end_ms,
                    "text": self.text,
                    "explanation": self.explanation,
                    **self.links,
                },
            }
        ]


Event = SessionMoved | TranscriptFinal | ExportReady | OperationEnded | SceneRecorded | AlertFired


def iso(at: datetime) -> str:
    """`2026-01-20T12:34:56.789Z`: the timestamp form of webhooks and frames."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def emit(
    session: AsyncSession,
    event: Event,
    *,
    account_id: str,
    route: Route,
    seq: int | None = None,
) -> OutboxMessage:
    """Write `event` in the caller's transaction; the relay carries it once that commits."""
    message_id, at = new_id("evt"), utc_now()
    payload: Json = {"frames": event.frames(message_id, at)}
    if isinstance(event, SessionMoved | OperationEnded | AlertFired):
        payload["envelope"] = event.envelope(message_id, at)
    message = OutboxMessage(
        kind="event",
        name=event.name,
        message_id=message_id,
        account_id=account_id,
        capture_session_id=event.capture_session_id
        if isinstance(event, SessionMoved | OperationEnded)
        else None,
        seq=seq,
        payload=payload,
        route=asdict(route),
    )
    session.add(message)
    await session.flush()
    await ring(session)
    return message


async def ring(session: AsyncSession) -> None:
    """Wake the relay when the caller's transaction commits."""
    await session.execute(text(f"select pg_notify('{NOTIFY_CHANNEL}', '')"))
