"""What is named in one place and done in another: forgetting either is loud."""

import ast
import inspect
from pathlib import Path

import app
from app.base.settings import Settings
from app.domain.operations.service import OperationKind
from app.domain.outbox.jobs import Job
from workers.main import celery_app
from workers.tasks.registry import TASKS
from workers.tasks.run_operation import HANDLERS, ON_FAILURE

ROOT = Path(inspect.getfile(app)).parent.parent
CELERY_BROKER_DEFAULTS = {"max_retries", "interval_start"}


def test_every_job_has_a_task_that_the_worker_knows() -> None:
    assert set(TASKS) == set(Job)
    own = {name for name in celery_app.tasks if not name.startswith("celery.")}
    assert own == {job.value for job in Job}
    for task in TASKS.values():
        assert inspect.iscoroutinefunction(task)
        assert len(inspect.signature(task).parameters) == 2


def test_every_kind_of_operation_has_a_handler() -> None:
    assert set(HANDLERS) == set(OperationKind)
    assert set(ON_FAILURE) <= set(OperationKind)


def test_every_job_is_asked_for_somewhere() -> None:
    asked = " ".join(
        path.read_text() for folder in ("app", "workers") for path in ROOT.joinpath(folder).rglob("*.py")
    )
    for job in Job:
        assert f"Job.{job.name}" in asked.replace(inspect.getsource(Job), "")


def test_no_job_outlives_its_claim_on_the_broker() -> None:
    from workers.runtime import LONGEST_JOB_SECONDS

    assert celery_app.conf.broker_transport_options["visibility_timeout"] > LONGEST_JOB_SECONDS
    assert celery_app.conf.task_acks_late
    assert celery_app.conf.broker_transport_options["socket_timeout"]


def test_the_environment_is_read_in_one_place_and_each_setting_is_used() -> None:
    sources = {
        path: path.read_text()
        for folder in ("app", "workers")
        for path in ROOT.joinpath(folder).rglob("*.py")
    }
    used = {
        node.attr
        for text in sources.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
    }
    kept_by_name = {"api_key", "secret_key"}
    assert set(Settings.model_fields) - used - kept_by_name == set()


def test_package_files_stay_empty() -> None:
    for folder in ("app", "workers"):
        for path in ROOT.joinpath(folder).rglob("__init__.py"):
            assert path.read_text() == "", path
