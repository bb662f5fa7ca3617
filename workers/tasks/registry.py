"""Which async function does which job. Every job of the catalogue must stand here."""

from collections.abc import Callable, Coroutine
from typing import Any

from app.domain.outbox.jobs import Job
from app.process import Context
from workers.tasks.convert_picture import convert_picture
from workers.tasks.embed_passages import embed_passages
from workers.tasks.index_window import index_window
from workers.tasks.keep_house import keep_house
from workers.tasks.match_record import match_record
from workers.tasks.mix_sound import mix_sound
from workers.tasks.read_screen import read_new_screen
from workers.tasks.request_export import request_session_export
from workers.tasks.run_operation import run_operation
from workers.tasks.tidy_export import tidy_export
from workers.tasks.tidy_operation import tidy_operation

TASKS: dict[Job, Callable[[Context, str], Coroutine[Any, Any, None]]] = {
    Job.READ_SCREEN: read_new_screen,
    Job.INDEX_WINDOW: index_window,
    Job.MATCH_RECORD: match_record,
    Job.EMBED_PASSAGES: embed_passages,
    Job.MIX_SOUND: mix_sound,
    Job.CONVERT_PICTURE: convert_picture,
    Job.REQUEST_EXPORT: request_session_export,
    Job.RUN_OPERATION: run_operation,
    Job.TIDY_EXPORT: tidy_export,
    Job.TIDY_OPERATION: tidy_operation,
    Job.KEEP_HOUSE: keep_house,
}
