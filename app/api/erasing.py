"""Deletion on the wire: an operation, answered with what was removed."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from app.api.operations import answer_operation
from app.domain.accounts.credentials import Caller
from app.domain.assets.service import AssetKind, get_asset
from app.domain.erasure import service as erasure
from app.domain.sessions.service import get_session
from app.process import Context
from app.wire.deps import AdminCaller, AppContext, ServerCaller
from app.wire.envelope import Json

router = APIRouter(tags=["deletion"])


@router.delete("/collection/{collection_id}/capture/session/{session_id}", response_model=None)
async def delete_session(session_id: str, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    """Remove a capture session that has ended, with its recordings, exports, words and events."""
    async with context.db.transaction() as session:
        capture = await get_session(session, caller.account_id, session_id)
        operation = await erasure.erase_session(session, capture)
    return await answer_operation(context, caller.account_id, operation.id)


@router.delete("/end_user/{end_user_id:path}", response_model=None)
async def delete_end_user(
    end_user_id: Annotated[str, Path(max_length=1000)], caller: AdminCaller, context: AppContext
) -> Json | JSONResponse:
    """Remove every capture session of an end user as above, and the client tokens that were made for them."""
    async with context.db.transaction() as session:
        operation = await erasure.erase_end_user(session, caller.account_id, end_user_id)
    return await answer_operation(context, caller.account_id, operation.id)


async def erase_asset(
    context: Context, caller: Caller, asset_id: str, kind: AssetKind
) -> Json | JSONResponse:
    """Remove a video, audio or image of the caller's."""
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, asset_id, kind=kind)
        operation = await erasure.erase_asset(session, asset)
    return await answer_operation(context, caller.account_id, operation.id)
