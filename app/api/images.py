"""Images, and signed links to the files of images and audios."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, StreamingResponse

from app.api.erasing import erase_asset
from app.api.shapes import asset_shape, file_url
from app.domain.assets.service import get_asset, list_assets
from app.domain.collections.service import get_collection
from app.wire.deps import AppContext, AppLinks, ReadingCaller, ServerCaller, Session
from app.wire.envelope import Json, answers, success
from app.wire.tickets import read_file

router = APIRouter(tags=["images"])


@router.get("/image")
async def list_images(
    caller: ServerCaller, session: Session, links: AppLinks, collection_id: str = "default"
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    rows = await list_assets(session, caller.account_id, "image", collection.id)
    return success({"images": [asset_shape(row, links) for row in rows]})


@router.get("/image/{image_id}")
async def show_image(image_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    image = await get_asset(session, caller.account_id, image_id, kind="image")
    return success(asset_shape(image, links))


@router.delete("/image/{image_id}", response_model=None)
async def delete_image(image_id: str, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    return await erase_asset(context, caller, image_id, "image")


@router.post("/image/{image_id}/generate_url")
async def link_image(image_id: str, caller: ReadingCaller, session: Session, context: AppContext) -> Json:
    image = await get_asset(session, caller.account_id, image_id, kind="image")
    return success({"signed_url": file_url(image, context.settings)})


@router.post("/audio/{audio_id}/generate_url")
async def link_audio(audio_id: str, caller: ReadingCaller, session: Session, context: AppContext) -> Json:
    audio = await get_asset(session, caller.account_id, audio_id, kind="audio")
    return success({"signed_url": file_url(audio, context.settings)})


@router.get("/file/{ticket}/{name}", **answers("*/*"))
async def read_asset(ticket: str, name: str, context: AppContext) -> StreamingResponse:
    """The asset's file, for whoever holds its link."""
    granted = read_file(context.settings, ticket)
    async with context.db.transaction() as session:
        asset = await get_asset(session, granted.account_id, granted.asset_id)
    headers = {"Content-Length": str(asset.size_bytes), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(
        context.storage.read(asset.storage_key), media_type=asset.media_type, headers=headers
    )
