"""Runs an operation by the handler of its kind."""

from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind
from app.process import Context
from workers.tasks.answer_question import answer_question
from workers.tasks.describe_scene import describe_scene
from workers.tasks.erase import erase
from workers.tasks.export_display import export_display
from workers.tasks.export_session import export_session, export_session_failed
from workers.tasks.export_stream import export_stream
from workers.tasks.extract_scenes import extract_scenes, extracting_failed
from workers.tasks.import_upload import import_upload
from workers.tasks.index_recording import index_recording, indexing_failed
from workers.tasks.index_spoken_words import index_spoken_words
from workers.tasks.lease import Lease
from workers.tasks.leased import FailureHandler, Handler, run_leased
from workers.tasks.make_download import make_download
from workers.tasks.render_timeline import render_timeline

HANDLERS: dict[OperationKind, Handler] = {
    OperationKind.EXPORT_SESSION: export_session,
    OperationKind.EXPORT_DISPLAY: export_display,
    OperationKind.EXPORT_STREAM: export_stream,
    OperationKind.IMPORT_UPLOAD: import_upload,
    OperationKind.INDEX_SPOKEN_WORDS: index_spoken_words,
    OperationKind.EXTRACT_SCENES: extract_scenes,
    OperationKind.INDEX_RECORDING: index_recording,
    OperationKind.DESCRIBE_SCENE: describe_scene,
    OperationKind.ANSWER_QUESTION: answer_question,
    OperationKind.MAKE_DOWNLOAD: make_download,
    OperationKind.RENDER_TIMELINE: render_timeline,
    OperationKind.ERASE: erase,
}
ON_FAILURE: dict[OperationKind, FailureHandler] = {
    OperationKind.EXPORT_SESSION: export_session_failed,
    OperationKind.EXTRACT_SCENES: extracting_failed,
    OperationKind.INDEX_RECORDING: indexing_failed,
}


async def run_operation(context: Context, operation_id: str) -> None:
    """Run the operation unless it is finished or leased; its handler saves the result itself."""
    await run_leased(context, operation_id, _handle, _failed)


async def _handle(context: Context, operation: Operation, lease: Lease) -> None:
    await HANDLERS[OperationKind(operation.kind)](context, operation, lease)


async def _failed(context: Context, operation: Operation) -> None:
    on_failure = ON_FAILURE.get(OperationKind(operation.kind))
    if on_failure is not None:
        await on_failure(context, operation)
