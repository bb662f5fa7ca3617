"""Describes one scene or one frame of a recording as a prompt asks."""

from app.base.errors import NotFound
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.scenes.describing import keep_description, subject_frames
from app.process import Context
from workers.tasks.index_screens import word_frames
from workers.tasks.lease import Lease
from workers.tasks.recorded_parts import require_reader


async def describe_scene(context: Context, operation: Operation, lease: Lease) -> None:
    """Keep the description with what it is of. Raises `NotFound` where that was deleted meanwhile."""
    await require_reader(context)
    request = operation.request
    async with context.db.transaction() as session:
        frame_ids = await subject_frames(session, request)
    worded = await word_frames(context, request["prompt"], frame_ids)
    if worded is None:
        raise NotFound("what was to be described has been deleted")
    text = worded.description.text
    async with context.db.transaction() as session:
        await keep_description(session, request, text)
        result = {"description": text, "notice": worded.notice}
        await operations.finish(session, operation.id, worker=lease.worker, result=result)
