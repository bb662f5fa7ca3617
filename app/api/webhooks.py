"""An account's webhook endpoints: where its events go besides its sessions' callbacks, and the secrets."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from app.api.shapes import unix_seconds
from app.base.errors import InvalidRequest
from app.base.ids import utc_now
from app.base.outbound import refuse_literal
from app.domain.outbox.envelope import iso
from app.domain.outbox.events import UNASKED_NAMES
from app.domain.outbox.listing import check_names
from app.domain.webhooks import endpoints
from app.domain.webhooks.models import WebhookEndpoint
from app.domain.webhooks.secrets import (
    DEFAULT_OVERLAP_SECONDS,
    MAX_OVERLAP_SECONDS,
    Owner,
    SigningSecret,
    rotate,
    valid_secrets,
)
from app.domain.webhooks.service import check_callback_url
from app.process import Context
from app.wire.deps import AdminCaller, AppContext, ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
REPLAYED_AT_ONCE = 1000

EventNames = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)]


class NewEndpoint(BaseModel):
    url: str
    events: EventNames | None = None
    description: str | None = Field(None, max_length=1000)


class EndpointChange(BaseModel):
    url: str | None = None
    events: EventNames | None = None
    description: str | None = Field(None, max_length=1000)
    status: Literal["enabled", "disabled"] | None = None


class Rotation(BaseModel):
    overlap_seconds: float = Field(DEFAULT_OVERLAP_SECONDS, ge=0, le=MAX_OVERLAP_SECONDS)


class Replay(BaseModel):
    after: str | None = Field(None, max_length=100)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    capture_session_id: str | None = Field(None, max_length=100)
    undelivered_only: bool = False


@router.post("")
async def create(wanted: NewEndpoint, caller: ServerCaller, session: Session, context: AppContext) -> Json:
    """Make an endpoint; without `events` it gets the sessions' moves and notices about endpoints."""
    endpoint = await endpoints.create_endpoint(
        session,
        caller.account_id,
        url=_checked(context, wanted.url),
        events=check_names(wanted.events or [], "events"),
        description=wanted.description or "",
    )
    secrets = await _secrets(session, context, (caller.account_id, endpoint.id))
    return success(_shape(endpoint) | {"secret": secrets[0].text})


@router.get("")
async def list_all(caller: ServerCaller, session: Session) -> Json:
    rows = await endpoints.list_endpoints(session, caller.account_id)
    return success({"webhooks": [_shape(row) for row in rows]})


@router.get("/secret")
async def account_secret(caller: AdminCaller, session: Session, context: AppContext) -> Json:
    """What signs the webhooks to callback URLs: of sessions, and of all else that names one."""
    return success(_secret_shape(await _secrets(session, context, (caller.account_id, None))))


@router.post("/secret/rotate")
async def rotate_account_secret(
    wanted: Rotation, caller: AdminCaller, session: Session, context: AppContext
) -> Json:
    return success(await _rotated(session, context, (caller.account_id, None), wanted))


@router.get("/{webhook_id}")
async def show(webhook_id: str, caller: ServerCaller, session: Session) -> Json:
    return success(_shape(await endpoints.get_endpoint(session, caller.account_id, webhook_id)))


@router.patch("/{webhook_id}")
async def change(
    wanted: EndpointChange, webhook_id: str, caller: ServerCaller, session: Session, context: AppContext
) -> Json:
    """Change what is given. A callback's endpoint can be enabled and disabled, and nothing else."""
    endpoint = await endpoints.get_endpoint(session, caller.account_id, webhook_id)
    if endpoint.kind != "account" and wanted.model_fields_set - {"status"}:
        raise InvalidRequest("this is a callback's endpoint: only its status can be changed")
    if wanted.url is not None:
        endpoint.url = check_callback_url(_checked(context, wanted.url), "url")
    if "events" in wanted.model_fields_set:
        endpoint.events = list(check_names(wanted.events or [], "events")) or None
    if wanted.description is not None:
        endpoint.description = wanted.description
    await session.flush()
    if wanted.status == "enabled":
        await endpoints.enable(session, endpoint)
    elif wanted.status == "disabled":
        await endpoints.disable(session, endpoint.id, "by request", announce=False)
    return success(_shape(endpoint))


@router.delete("/{webhook_id}")
async def remove(webhook_id: str, caller: ServerCaller, session: Session) -> Json:
    """Delete an endpoint of the account with what waits for it."""
    endpoint = await endpoints.get_endpoint(session, caller.account_id, webhook_id)
    if endpoint.kind != "account":
        raise InvalidRequest("this is a callback's endpoint: disable it instead")
    await session.delete(endpoint)
    return success({"id": webhook_id}, message="webhook endpoint deleted")


@router.post("/{webhook_id}/test")
async def test(webhook_id: str, caller: ServerCaller, session: Session) -> Json:
    """Send the endpoint a `webhook.ping`; its delivery is listed under the event's id."""
    endpoint = await endpoints.get_endpoint(session, caller.account_id, webhook_id)
    return success({"event_id": (await endpoints.ping(session, endpoint)).message_id})


@router.get("/{webhook_id}/secret")
async def secret(webhook_id: str, caller: AdminCaller, session: Session, context: AppContext) -> Json:
    owner = await _owner(session, caller, webhook_id)
    return success(_secret_shape(await _secrets(session, context, owner)))


@router.post("/{webhook_id}/secret/rotate")
async def rotate_secret(
    wanted: Rotation, webhook_id: str, caller: AdminCaller, session: Session, context: AppContext
) -> Json:
    """Make a new secret; for `overlap_seconds` webhooks are signed with the old one as well."""
    return success(await _rotated(session, context, await _owner(session, caller, webhook_id), wanted))


@router.post("/{webhook_id}/replay")
async def replay(wanted: Replay, webhook_id: str, caller: ServerCaller, session: Session) -> Json:
    """Send a range of events once more; with `next_after` there is more of it after that event."""
    endpoint = await endpoints.get_endpoint(session, caller.account_id, webhook_id)
    replayed = await endpoints.replay(
        session, endpoint, endpoints.EventRange(**dict(wanted)), utc_now(), REPLAYED_AT_ONCE
    )
    return success({"count": replayed.count, "next_after": replayed.next_after})


def _checked(context: Context, url: str) -> str:
    check_callback_url(url, "url")
    refuse_literal(url, context.settings.allowed_networks, "url")
    return url


async def _owner(session: Session, caller: ServerCaller, webhook_id: str) -> Owner:
    endpoint = await endpoints.get_endpoint(session, caller.account_id, webhook_id)
    if endpoint.kind != "account":
        raise InvalidRequest("callbacks are signed with the account's secret: see /webhooks/secret")
    return caller.account_id, endpoint.id


async def _secrets(session: Session, context: Context, owner: Owner) -> list[SigningSecret]:
    found = await valid_secrets(session, context.settings.secret_key, [owner], utc_now())
    return found[owner]


async def _rotated(session: Session, context: Context, owner: Owner, wanted: Rotation) -> Json:
    secret_key = context.settings.secret_key
    return _secret_shape(await rotate(session, secret_key, owner, utc_now(), wanted.overlap_seconds))


def _secret_shape(secrets: list[SigningSecret]) -> Json:
    newest, *older = secrets
    return {
        "secret": newest.text,
        "created_at": unix_seconds(newest.created_at),
        "previous": [{"secret": one.text, "expires_at": _iso(one.expires_at)} for one in older],
    }


def _shape(endpoint: WebhookEndpoint) -> Json:
    return {
        "id": endpoint.id,
        "kind": endpoint.kind,
        "capture_session_id": endpoint.capture_session_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events or list(UNASKED_NAMES),
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": _iso(endpoint.failing_since),
        "created_at": unix_seconds(endpoint.created_at),
    }


def _iso(at: datetime | None) -> str | None:
    return iso(at) if at else None
