"""API keys: made, listed, rotated and revoked. Only a key with the scope `admin` may."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.shapes import unix_seconds
from app.base.redis import REVOKED_CHANNEL, publish
from app.domain.accounts import audit, keys
from app.domain.accounts.credentials import ALL_SCOPES, MAX_NAME_CHARACTERS, Scope, add_api_key
from app.domain.accounts.models import ApiKey
from app.wire.deps import Address, AdminCaller, AppContext, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/api_keys", tags=["API keys"])


class NewKey(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(ALL_SCOPES))] = list(ALL_SCOPES)


class Rotation(BaseModel):
    grace_seconds: Annotated[int | None, Field(ge=0, le=keys.MAX_GRACE_SECONDS)] = None


@router.get("")
async def list_all(caller: AdminCaller, session: Session) -> Json:
    rows = await keys.list_api_keys(session, caller.account_id)
    return success({"api_keys": [_shape(row) for row in rows]})


@router.post("")
async def create(wanted: NewKey, caller: AdminCaller, session: Session, address: Address) -> Json:
    """Make a key. Its secret is in this answer and nowhere else."""
    secret, key = await add_api_key(session, caller.account_id, name=wanted.name, scopes=wanted.scopes)
    await audit.record(session, caller.account_id, "api_key.created", key.id, caller=caller, address=address)
    await session.refresh(key)
    return success(_shape(key) | {"api_key": secret})


@router.post("/{key_id}/rotate")
async def rotate(
    key_id: str, wanted: Rotation, caller: AdminCaller, session: Session, address: Address
) -> Json:
    """Make a key that replaces this one, which lives on for `grace_seconds`: a day, if nothing is said."""
    secret, new, old = await keys.rotate_api_key(
        session, caller.account_id, key_id, grace_seconds=wanted.grace_seconds
    )
    await audit.record(session, caller.account_id, "api_key.rotated", old.id, caller=caller, address=address)
    await session.flush()
    await session.refresh(new)
    return success(_shape(new) | {"api_key": secret, "replaces": _shape(old)})


@router.delete("/{key_id}")
async def revoke(key_id: str, caller: AdminCaller, context: AppContext, address: Address) -> Json:
    """Refuse the key from now on, and close the sockets that were opened with it."""
    async with context.db.transaction() as session:
        key = await keys.revoke_api_key(session, caller.account_id, key_id)
        await audit.record(
            session, caller.account_id, "api_key.revoked", key.id, caller=caller, address=address
        )
    await publish(context.redis, REVOKED_CHANNEL, {"revoked": [key.id]})
    return success(_shape(key), message="API key revoked")


def _shape(key: ApiKey) -> Json:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "hint": key.hint,
        "created_at": unix_seconds(key.created_at),
        "expires_at": unix_seconds(key.expires_at) if key.expires_at else None,
        "revoked_at": unix_seconds(key.revoked_at) if key.revoked_at else None,
        "last_used_at": unix_seconds(key.last_used_at) if key.last_used_at else None,
    }
