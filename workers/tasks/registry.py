"""Which async function does which job. Every job of the catalogue must stand here."""

from collections.abc import Callable, Coroutine
from typing import Any

from app.base.settings import Settings
from app.domain.outbox.jobs import Job
from app.process import Context
from workers.engines.registry import open_speech_engine
from workers.tasks.keep_house import keep_house
from workers.tasks.mix_sound import mix_sound
from workers.tasks.request_export import request_session_export
from workers.tasks.run_operation import run_operation
from workers.tasks.tidy_export import tidy_export
from workers.tasks.transcribe_chunk import transcribe_chunk

TASKS: dict[Job, Callable[[Context, str], Coroutine[Any, Any, None]]] = {
    Job.TRANSCRIBE_CHUNK: transcribe_chunk,
    Job.MIX_SOUND: mix_sound,
    Job.REQUEST_EXPORT: request_session_export,
    Job.RUN_OPERATION: run_operation,
    Job.TIDY_EXPORT: tidy_export,
    Job.KEEP_HOUSE: keep_house,
}


def warm_engines(settings: Settings) -> None:
    """Load every engine once, so that the first utterance does not wait for it."""
    open_speech_engine(settings).load()
