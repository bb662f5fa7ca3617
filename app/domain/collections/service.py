"""Finds, makes and changes collections; `default` names the account's first one."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.base.ids import new_id
from app.domain.collections.models import Collection

DEFAULT = "default"


async def default_collection(session: AsyncSession, account_id: str) -> Collection:
    """Return the account's default collection, made on first use."""
    await session.execute(
        insert(Collection)
        .values(
            id=new_id("c"),
            account_id=account_id,
            name="Default Collection",
            description="",
            is_public=False,
            is_default=True,
        )
        .on_conflict_do_nothing()
    )
    return await session.get_one(
        Collection,
        await session.scalar(
            select(Collection.id).where(Collection.account_id == account_id, Collection.is_default)
        ),
    )


async def get_collection(session: AsyncSession, account_id: str, collection_id: str) -> Collection:
    """Find a collection by its id or by the alias `default`. Raises `NotFound`."""
    if collection_id == DEFAULT:
        return await default_collection(session, account_id)
    collection = await session.get(Collection, collection_id)
    if collection is None or collection.account_id != account_id:
        raise NotFound(f"no collection {collection_id}")
    return collection


async def list_collections(session: AsyncSession, account_id: str) -> list[Collection]:
    """All collections of the account, the default one first."""
    await default_collection(session, account_id)
    rows = await session.scalars(
        select(Collection)
        .where(Collection.account_id == account_id)
        .order_by(Collection.is_default.desc(), Collection.created_at)
    )
    return list(rows)


async def create_collection(
    session: AsyncSession, account_id: str, *, name: str, description: str, is_public: bool
) -> Collection:
    """Raises `InvalidRequest` for an empty name."""
    if not name.strip():
        raise InvalidRequest("name must not be empty", field="name")
    collection = Collection(
        id=new_id("c"), account_id=account_id, name=name, description=description, is_public=is_public
    )
    session.add(collection)
    await session.flush()
    return collection


async def delete_collection(session: AsyncSession, collection: Collection, *, is_empty: bool) -> None:
    """Raises `Conflict` for the default collection, and for one that still holds something."""
    if collection.is_default:
        raise Conflict("the default collection cannot be deleted")
    if not is_empty:
        raise Conflict("this collection still holds captures or media: delete those first")
    await session.delete(collection)
