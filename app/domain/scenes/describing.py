"""Descriptions of single scenes and frames, by a prompt of whoever asks."""

import hashlib
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.indexes.models import ScreenFrame
from app.domain.indexes.service import DEFAULT_PROMPT
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.domain.scenes.models import Scene

MOST_PROMPT_CHARACTERS = 4000


async def request_description(
    session: AsyncSession, asset: Asset, what: Scene | ScreenFrame, *, prompt: str | None
) -> Operation:
    """The operation that describes a scene or a frame of the recording; each time anew."""
    prompt = (prompt or "").strip() or DEFAULT_PROMPT["visual"]
    if len(prompt) > MOST_PROMPT_CHARACTERS:
        raise InvalidRequest(f"prompt may have {MOST_PROMPT_CHARACTERS} characters", field="prompt")
    of = "scene_id" if isinstance(what, Scene) else "frame_id"
    digest = hashlib.sha256(prompt.encode(errors="replace")).hexdigest()[:32]
    operation = await request_operation(
        session,
        asset.account_id,
        OperationKind.DESCRIBE_SCENE,
        f"describe:{what.id}:{digest}",
        {"asset_id": asset.id, of: what.id, "prompt": prompt},
    )
    if operation.status in ("done", "failed"):
        await restart_operation(session, operation)
    return operation


async def subject_frames(session: AsyncSession, request: dict[str, Any]) -> list[str]:
    """The frames that an operation's request is about; none of what was deleted."""
    if "frame_id" in request:
        return [request["frame_id"]]
    scene = await session.get(Scene, request["scene_id"])
    return list(dict.fromkeys(look["frame_id"] for look in scene.frames)) if scene else []


async def keep_description(session: AsyncSession, request: dict[str, Any], text: str) -> None:
    """Keep it with what it is of, where that is still there."""
    what: Scene | ScreenFrame | None
    if "frame_id" in request:
        what = await session.get(ScreenFrame, request["frame_id"])
    else:
        what = await session.get(Scene, request["scene_id"])
    if what is not None:
        what.description = text
