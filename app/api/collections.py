"""Collections."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import exists, select

from app.api.shapes import collection_shape
from app.base.errors import InvalidRequest
from app.domain.accounts.credentials import Scope
from app.domain.assets.models import Asset
from app.domain.collections import service as collections
from app.domain.sessions.models import CaptureSession
from app.wire.deps import PathCollection, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/collection", tags=["collections"])
Json = dict[str, Any]


class CollectionFields(BaseModel):
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None
    retention_days: Annotated[int | None, Field(ge=0, le=36_500)] = None


@router.get("")
async def list_all(caller: ServerCaller, session: Session) -> Json:
    rows = [collection_shape(row) for row in await collections.list_collections(session, caller.account_id)]
    return success({"collections": rows, "default_collection": rows[0]["id"]})


@router.post("")
async def create(fields: CollectionFields, caller: ServerCaller, session: Session) -> Json:
    collection = await collections.create_collection(
        session,
        caller.account_id,
        name=fields.name or "",
        description=fields.description or "",
        is_public=bool(fields.is_public),
    )
    return success(collection_shape(collection))


@router.get("/{collection_id}")
async def show(collection: PathCollection) -> Json:
    return success(collection_shape(collection))


@router.patch("/{collection_id}")
async def change(fields: CollectionFields, collection: PathCollection, caller: ServerCaller) -> Json:
    """Change what is given. `retention_days`: null is as the server's setting says, 0 is for ever."""
    if fields.name is not None:
        if not fields.name.strip():
            raise InvalidRequest("name must not be empty", field="name")
        collection.name = fields.name
    if fields.description is not None:
        collection.description = fields.description
    if fields.is_public is not None:
        collection.is_public = fields.is_public
    if "retention_days" in fields.model_fields_set:
        caller.require_scope(Scope.ADMIN)  # it decides what is erased
        collection.retention_days = fields.retention_days
    return success(collection_shape(collection))


@router.delete("/{collection_id}")
async def remove(collection: PathCollection, session: Session) -> Json:
    used = select(
        exists().where(CaptureSession.collection_id == collection.id)
        | exists().where(Asset.collection_id == collection.id)
    )
    await collections.delete_collection(session, collection, is_empty=not await session.scalar(used))
    return success({"id": collection.id}, message="collection deleted")
