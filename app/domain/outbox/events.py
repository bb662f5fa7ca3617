"""The catalogue of events: each one's envelope, the frames it becomes on a socket, and `emit()`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.outbox.models import OutboxMessage

NOTIFY_CHANNEL = "outbox"
VERSION = "2"  # of the envelope (contract §2.5)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """Which sockets receive an event (contract §3).

    A named connection gets it alone. Without one, every open socket of the account's collection does,
    except those that some running pipeline has named, which asked for their own pipelines only, and those
    that a client token opened. Without a collection it is for the sockets of all collections.
    """

    collection_id: str | None
    connection_id: str | None = None
    except_connection_ids: tuple[str, ...] = ()


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
        return _envelope(self.name, message_id, at) | {
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
    capture_session_id: str | None = None

    name = "transcript.final"

    def envelope(self, message_id: str, at: datetime) -> Json:
        return _envelope(self.name, message_id, at) | {
            "capture_session_id": self.capture_session_id,
            "rtstream_id": self.rtstream_id,
            "rtstream_name": self.rtstream_name,
            "data": self._data(),
        }

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
                "data": self._data(),
            }
        ]

    def _data(self) -> Json:
        return {
            "text": self.text,
            "is_final": True,
            "start": self.start_ms,
            "end": self.end_ms,
            "utterance_id": self.utterance_id,
        }


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
        return _envelope(self.name, message_id, at) | {
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
        return _envelope(self.name, message_id, at) | {
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
        return _envelope(self.name, message_id, at) | {"data": {"endpoint_id": self.endpoint_id}}

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return []


Event = SessionMoved | TranscriptFinal | ExportReady | EndpointDisabled | Ping

LIFECYCLE_NAMES = tuple(
    f"capture_session.{status}"
    for status in ("created", "starting", "active", "stopping", "stopped", "exported", "failed")
)
# What an account's endpoint gets unasked: speech, for one, only goes where it is asked for.
UNASKED_NAMES = (*LIFECYCLE_NAMES, EndpointDisabled.name)
EVENT_NAMES = (*UNASKED_NAMES, ExportReady.name, TranscriptFinal.name, Ping.name)


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
    callback_url: str | None = None,
    endpoint_id: str | None = None,
) -> OutboxMessage:
    """Write `event` in the caller's transaction; the relay carries it once that commits.

    Beside its sockets and the endpoints that want its kind, it is delivered to `callback_url`, a URL of its
    own, signed and retried like any other webhook, or to the endpoint `endpoint_id` alone.
    """
    message_id, at = new_id("evt"), utc_now()
    payload: Json = {"frames": event.frames(message_id, at), "envelope": event.envelope(message_id, at)}
    if callback_url:
        payload["callback_url"] = callback_url
    if endpoint_id:
        payload["endpoint_id"] = endpoint_id
    message = OutboxMessage(
        kind="event",
        name=event.name,
        message_id=message_id,
        account_id=account_id,
        capture_session_id=event.capture_session_id,
        seq=seq,
        payload=payload,
        route=asdict(route),
    )
    session.add(message)
    await session.flush()
    await ring(session)
    return message


async def ring(session: AsyncSession, channel: str = NOTIFY_CHANNEL) -> None:
    """Wake whoever listens on `channel`, the relay by default, when the caller's transaction commits."""
    await session.execute(text("select pg_notify(:channel, '')"), {"channel": channel})


def _envelope(name: str, message_id: str, at: datetime) -> Json:
    return {
        "id": message_id,
        "event_id": message_id,
        "version": VERSION,
        "event": name,
        "timestamp": iso(at),
    }
