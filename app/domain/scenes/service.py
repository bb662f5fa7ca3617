"""Cuts recordings into scenes once for each way of cutting, and finds what was cut."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound, Unprocessable
from app.base.ids import new_id
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.indexes.extraction import Extraction
from app.domain.indexes.models import ScreenFrame
from app.domain.operations.callbacks import CALLBACK_FIELD
from app.domain.operations.models import Operation
from app.domain.operations.service import (
    OperationKind,
    find_operation,
    request_operation,
    restart_operation,
)
from app.domain.scenes.facts import scene_collection_facts
from app.domain.scenes.models import Scene, SceneCollection


@dataclass(frozen=True, slots=True)
class Look:
    """A frame, and when it was seen: it may have been shown since long before."""

    frame_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class CutScene:
    """A scene with what was seen in it; times in microseconds from the recording's start."""

    start_us: int
    end_us: int
    looks: tuple[Look, ...]


async def request_extraction(
    session: AsyncSession,
    asset: Asset,
    extraction: Extraction,
    *,
    force: bool = False,
    callback_url: str | None = None,
) -> tuple[SceneCollection, Operation]:
    """The asset's scenes cut in this way, and the operation that cuts them: the same ones each time.

    One that failed is tried again; with `force` so is one that is ready. Raises `Unprocessable` for what has
    no pictures.
    """
    require_pictures(asset)
    cut = asdict(extraction)
    digest = hashlib.sha256(json.dumps(cut, sort_keys=True).encode()).hexdigest()
    await session.execute(
        insert(SceneCollection)
        .values(
            id=new_id("sc"),
            account_id=asset.account_id,
            asset_id=asset.id,
            extraction=cut,
            digest=digest,
            status="building",
        )
        .on_conflict_do_nothing(index_elements=["asset_id", "digest"])
    )
    collection = await session.scalar(
        select(SceneCollection)
        .where(SceneCollection.asset_id == asset.id, SceneCollection.digest == digest)
        .with_for_update()
    )
    assert collection is not None
    request = {
        "asset_id": asset.id,
        "scene_collection_id": collection.id,
        "collection_id": asset.collection_id,
        CALLBACK_FIELD: callback_url,
    }
    operation = await request_operation(
        session, asset.account_id, OperationKind.EXTRACT_SCENES, extraction_subject(collection.id), request
    )
    operation.request = request  # its callback is that of whoever asked last
    if operation.status == "failed" or (operation.status == "done" and force):
        await session.execute(delete(Scene).where(Scene.scene_collection_id == collection.id))
        collection.status = "building"
        await restart_operation(session, operation)
    return collection, operation


def extraction_subject(scene_collection_id: str) -> str:
    """What the operation that cuts a recording is about."""
    return f"extract_scenes:{scene_collection_id}"


def require_pictures(asset: Asset) -> None:
    """Raises `Unprocessable` for a recording of sound alone."""
    if asset.width is None:
        raise Unprocessable(f"{asset.id} has no pictures, sound alone", field="video_id")


def recorded_frame_id(asset_id: str, at_us: int) -> str:
    """The one id of what a recording shows at an instant, however often it is looked at."""
    return f"frm-{asset_id.partition('-')[2]}-{at_us:x}"


async def add_recorded_screen(
    session: AsyncSession, asset_id: str, *, storage_key: str, at_us: int, width: int, height: int
) -> None:
    """Keep a picture that is in storage, once."""
    await session.execute(
        insert(ScreenFrame)
        .values(
            id=recorded_frame_id(asset_id, at_us),
            asset_id=asset_id,
            storage_key=storage_key,
            at_us=at_us,
            width=width,
            height=height,
        )
        .on_conflict_do_nothing(index_elements=["id"])
    )


async def add_scenes(session: AsyncSession, collection_id: str, scenes: Sequence[CutScene]) -> None:
    """Keep these, each once. Raises `NotFound` where the collection was deleted meanwhile."""
    if await session.get(SceneCollection, collection_id, with_for_update=True) is None:
        raise NotFound("the scene collection has been deleted")
    for scene in scenes:
        await session.execute(
            insert(Scene)
            .values(
                id=new_id("scn"),
                scene_collection_id=collection_id,
                start_us=scene.start_us,
                end_us=scene.end_us,
                frames=[asdict(look) for look in scene.looks],
            )
            .on_conflict_do_nothing(index_elements=["scene_collection_id", "start_us"])
        )


async def get_collection(session: AsyncSession, asset: Asset, collection_id: str) -> SceneCollection:
    """The recording's scene collection of this id. Raises `NotFound`."""
    collection = await session.get(SceneCollection, collection_id)
    if collection is None or collection.asset_id != asset.id:
        raise NotFound(f"{asset.id} has no scene collection {collection_id}")
    return collection


async def list_collections(session: AsyncSession, asset: Asset) -> list[SceneCollection]:
    """The recording's scene collections, oldest first."""
    rows = await session.scalars(
        select(SceneCollection)
        .where(SceneCollection.asset_id == asset.id)
        .order_by(SceneCollection.created_at)
    )
    return list(rows)


async def delete_collection(session: AsyncSession, collection: SceneCollection) -> None:
    """Forget how the recording was cut; its frames may be of other scenes too, and stay with it."""
    operation = await find_operation(session, collection.account_id, extraction_subject(collection.id))
    if operation is not None:
        await session.delete(operation)
    await session.delete(collection)
    await session.flush()


async def list_scenes(
    session: AsyncSession, collection_id: str, *, offset: int = 0, limit: int | None = None
) -> list[Scene]:
    """A collection's scenes by time."""
    rows = await session.scalars(
        select(Scene)
        .where(Scene.scene_collection_id == collection_id)
        .order_by(Scene.start_us)
        .offset(offset)
        .limit(limit)
    )
    return list(rows)


async def shown_last(session: AsyncSession, scenes: Sequence[Scene]) -> int | None:
    """Since when the picture has been shown with which these scenes end; None where there is none."""
    looks = [look for scene in scenes[-1:] for look in scene.frames]
    frame = await session.get(ScreenFrame, looks[-1]["frame_id"]) if looks else None
    return frame.at_us if frame else None


async def collection_facts(
    session: AsyncSession, collection: SceneCollection, asset: Asset, links: Links, scenes: Sequence[Scene]
) -> dict[str, Any]:
    """A collection with these of its scenes, as clients read it; times in seconds."""
    frame_ids = {look["frame_id"] for scene in scenes for look in scene.frames}
    rows = await session.execute(
        select(ScreenFrame.id, ScreenFrame.description).where(
            ScreenFrame.asset_id == asset.id, ScreenFrame.description.is_not(None)
        )
    )
    told = {row.id: row.description for row in rows if row.id in frame_ids}
    return scene_collection_facts(collection, scenes, asset, links, told)


async def get_scene(session: AsyncSession, asset: Asset, scene_id: str) -> Scene:
    """The recording's scene of this id. Raises `NotFound`."""
    scene = await session.scalar(
        select(Scene)
        .join(SceneCollection, SceneCollection.id == Scene.scene_collection_id)
        .where(Scene.id == scene_id, SceneCollection.asset_id == asset.id)
    )
    if scene is None:
        raise NotFound(f"{asset.id} has no scene {scene_id}")
    return scene


async def get_frame(session: AsyncSession, asset: Asset, frame_id: str) -> ScreenFrame:
    """The recording's frame of this id. Raises `NotFound`."""
    frame = await session.get(ScreenFrame, frame_id)
    if frame is None or frame.asset_id != asset.id:
        raise NotFound(f"{asset.id} has no frame {frame_id}")
    return frame
