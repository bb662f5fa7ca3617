"""Images, and signed links to the files of images and audios."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.api.shapes import asset_shape, file_url
from app.api.videos import delete_stored
from app.domain.assets.service import get_asset, list_assets
from app.domain.collections.service import get_collection
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import Json, success
from app.wire.tickets import read_file

router = APIRouter(tags=["images"])


@router.get("/image")
async def list_images(caller: ServerCaller, session: Session, collection_id: str = "default") -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    rows = await list_assets(session, caller.account_id, "image", collection.id)
    return success({"images": [asset_shape(row) for row in rows]})


@router.get("/image/{image_id}")
async def show_image(image_id: str, caller: ServerCaller, session: Session) -> Json:
    image = await get_asset(session, caller.account_id, image_id, kind="image")
    return success(asset_shape(image))


@router.delete("/image/{image_id}")
async def delete_image(image_id: str, caller: ServerCaller, context: AppContext) -> Json:
    return await delete_stored(context, caller, image_id, "image")


@router.post("/image/{image_id}/generate_url")
async def link_image(image_id: str, caller: ServerCaller, session: Session) -> Json:
    image = await get_asset(session, caller.account_id, image_id, kind="image")
    return success({"signed_url": file_url(image)})


@router.post("/audio/{audio_id}/generate_url")
async def link_audio(audio_id: str, caller: ServerCaller, session: Session) -> Json:
    audio = await get_asset(session, caller.account_id, audio_id, kind="audio")
    return success({"signed_url": file_url(audio)})


@router.get("/file/{ticket}/{name}")
async def read_asset(ticket: str, name: str, context: AppContext) -> StreamingResponse:
    """The asset's file, for whoever holds its link."""
    granted = read_file(context.settings, ticket)
    async with context.db.transaction() as session:
        asset = await get_asset(session, granted.account_id, granted.asset_id)
    headers = {"Content-Length": str(asset.size_bytes), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(
        context.storage.read(asset.storage_key), media_type=asset.media_type, headers=headers
    )
