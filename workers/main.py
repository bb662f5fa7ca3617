"""The Celery app: one task for each job of the catalogue, and the worker's heartbeat."""

import asyncio
import json
import logging
import warnings
from dataclasses import asdict
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready
from redis.exceptions import RedisError

from app.base.logs import bind, configure_logs
from app.base.redis import WORKER_HEARTBEAT_KEY, WORKER_HEARTBEAT_SECONDS
from app.base.settings import get_settings
from app.domain.outbox.jobs import Job
from app.process import Context
from workers.engines.registry import engine_records, warm_engines
from workers.runtime import LONGEST_JOB_SECONDS, Runtime, get_runtime
from workers.tasks.recogniser import Recogniser
from workers.tasks.registry import TASKS
from workers.transcriber import Transcriber

logger = logging.getLogger(__name__)

# In a container root is all there is; embedded, the user's own account runs everything anyway.
warnings.filterwarnings("ignore", message=".*superuser privileges.*")

celery_app = Celery("capture", broker=get_settings().redis_url)
celery_app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="capture",
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # Past this, Redis hands an unfinished job to another worker: so it must exceed the longest one.
    broker_transport_options={
        "visibility_timeout": LONGEST_JOB_SECONDS + 600,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        # The relay waits for an answer inside a transaction: a broker that is away must say so soon.
        "max_retries": 1,
        "interval_start": 0,
    },
)

# What is said of live streams goes first, then their pictures; the lowest number is taken first.
_PRIORITIES = {Job.INDEX_WINDOW: 0, Job.MATCH_RECORD: 0, Job.KEEP_HOUSE: 0, Job.READ_SCREEN: 3}
_USUAL_PRIORITY = 6


def _register(job: Job) -> None:
    def execute(subject_id: str) -> None:
        with bind(job=job.value, subject=subject_id):
            runtime = get_runtime()
            runtime.run(TASKS[job](runtime.context, subject_id))

    celery_app.task(name=job.value)(execute)


for _job in Job:
    _register(_job)


def ring(job: Job, subject_id: str, *, expires_seconds: float | None = None) -> None:
    """Send a job to Celery. Raises kombu's `OperationalError` when the broker is away."""
    celery_app.send_task(
        job.value,
        args=[subject_id],
        expires=expires_seconds,
        retry=False,
        priority=_PRIORITIES.get(job, _USUAL_PRIORITY),
    )


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    configure_logs("worker", get_settings().log_level)


@worker_ready.connect
def _announce(**_: Any) -> None:
    # Apart from the jobs: none of them, nor its threads, stands in the way of what is being said.
    live = Runtime(get_settings(), gives_way=False)
    live.start(_work(live.context))


async def _work(context: Context) -> None:
    """Load the engines, then say that this worker answers, and turn live speech into words."""
    # Here, since threads inherit niceness, those of a speech model too.
    await asyncio.to_thread(warm_engines, context.settings)
    for name, record in engine_records(context.settings).items():
        if record.missing:
            logger.warning("no %s engine: %s", name, record.missing)
    async with asyncio.TaskGroup() as group:
        group.create_task(_beat(context))
        group.create_task(Transcriber(context, Recogniser(context.settings)).run())


async def _beat(context: Context) -> None:
    """Say every few seconds that this worker answers, and what its engines are (`/readyz` looks for it)."""
    while True:
        engines = {name: asdict(record) for name, record in engine_records(context.settings).items()}
        try:
            await context.redis.set(WORKER_HEARTBEAT_KEY, json.dumps(engines), ex=WORKER_HEARTBEAT_SECONDS)
        except RedisError as error:
            logger.warning("heartbeat not written: %s", type(error).__name__)
        await asyncio.sleep(WORKER_HEARTBEAT_SECONDS / 4)
