"""The catalogue of events, whom each one reaches, and `emit()`."""

from dataclasses import asdict, dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.outbox.account_events import EndpointDisabled, OperationEnded, Ping
from app.domain.outbox.envelope import Json
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.session_events import ExportReady, SessionMoved
from app.domain.outbox.stream_events import RECORD_NAMES, AlertFired, SceneRecorded, TranscriptFinal

NOTIFY_CHANNEL = "outbox"


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


Event = (
    SessionMoved
    | ExportReady
    | TranscriptFinal
    | SceneRecorded
    | AlertFired
    | OperationEnded
    | EndpointDisabled
    | Ping
)

LIFECYCLE_NAMES = tuple(
    f"capture_session.{status}"
    for status in ("created", "starting", "active", "stopping", "stopped", "exported", "failed")
)
# What an account's endpoint gets unasked: speech, for one, only goes where it is asked for.
UNASKED_NAMES = (*LIFECYCLE_NAMES, EndpointDisabled.name)
EVENT_NAMES = (
    *UNASKED_NAMES,
    ExportReady.name,
    TranscriptFinal.name,
    *RECORD_NAMES,
    AlertFired.name,
    OperationEnded.name,
    Ping.name,
)


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
