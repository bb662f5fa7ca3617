"""Every job name, and `enqueue()`: a job is a row first, then a ring of Celery's doorbell."""

from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.outbox.events import ring
from app.domain.outbox.models import OutboxMessage

# Housekeeping rings again for work whose doorbell may be lost, but not again at every round: a busy
# worker's queue must not fill with rings for what already waits in it.
RING_AGAIN_SECONDS = 30.0


class Job(StrEnum):
    """Each takes one id and may run twice: what it must not do twice is guarded by a row."""

    READ_SCREEN = "read_screen"
    INDEX_WINDOW = "index_window"
    MATCH_RECORD = "match_record"
    EMBED_PASSAGES = "embed_passages"
    MIX_SOUND = "mix_sound"
    CONVERT_PICTURE = "convert_picture"
    REQUEST_EXPORT = "request_export"
    RUN_OPERATION = "run_operation"
    TIDY_EXPORT = "tidy_export"
    TIDY_OPERATION = "tidy_operation"
    KEEP_HOUSE = "keep_house"


async def enqueue(session: AsyncSession, job: Job, subject_id: str) -> None:
    """Ask for `job` on `subject_id` in the caller's transaction; it is sent after that commits."""
    session.add(OutboxMessage(kind="job", name=job.value, payload={"subject_id": subject_id}))
    await session.flush()
    await ring(session)
