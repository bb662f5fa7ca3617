"""Everything that our OpenAPI document offers, asked by schemathesis: no 5xx, and no undocumented answer."""

import asyncio
import threading
import time
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
import uvicorn
from hypothesis import strategies as st
from schemathesis import SerializationContext
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.base.settings import Settings
from app.domain.accounts.credentials import create_api_key
from app.domain.operations.service import OperationKind, request_operation
from app.main import create_app
from app.process import Context, open_context
from tests.fixtures.factories import make_active, make_asset, make_tenant

EXAMPLES = 12
START_SECONDS = 20
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(context: SerializationContext, value: object) -> bytes:
    """What is no JSON is sent as it is."""
    return str(value).encode("utf-8", "replace")


@pytest.fixture
def account(settings: Settings) -> tuple[str, dict[str, str]]:
    """A key, and one of everything that paths name."""

    async def make() -> tuple[str, dict[str, str]]:
        context: Context = open_context(settings)
        tenant = await make_tenant(context)
        session_id, streams = await make_active(context, tenant, end_user_id="ada")
        ids = {
            "collection_id": tenant.collection_id,
            "session_id": session_id,
            "stream_id": streams["mic:default"],
            "end_user_id": "ada",
        }
        for kind in ("video", "audio", "image"):
            asset = await make_asset(context, tenant, kind=kind)
            ids[f"{kind}_id"] = asset.id
            ids["slug"] = asset.playback_slug or ids.get("slug", "")
        async with context.db.transaction() as session:
            operation = await request_operation(
                session, tenant.account_id, OperationKind.RENDER_TIMELINE, "a timeline", {}
            )
            ids["operation_id"] = operation.id
            await create_api_key(session, tenant.account_id, name="another")
        await context.close()
        return tenant.api_key, ids

    return asyncio.run(make())


@pytest.fixture
def url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The real application on a port; without a worker, so what it asks of one is polled at once."""
    monkeypatch.setattr("app.api.operations.HOLD_SECONDS", 0.0)
    app = create_app(settings.model_copy(update={"media_url_seconds": 0, "rate_limit_per_second": 0}))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(START_SECONDS)


def asked(operation: APIOperation, key: str, ids: dict[str, str]) -> tuple[set[int], list[str]]:
    """Ask one operation many things; returns its statuses and what was wrong with its answers."""
    statuses: set[int] = set()
    problems: list[str] = []

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(), is_real=st.booleans(), with_key=st.integers(0, 9))
    def ask(case: schemathesis.Case, is_real: bool, with_key: int) -> None:
        if is_real:
            given = case.path_parameters or {}
            case.path_parameters = {name: ids.get(name, value) for name, value in given.items()}
        answer = case.call(headers={"x-access-token": key} if with_key else {}, timeout=20)
        statuses.add(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as failed:
            problems.extend(f"{operation.label}: {answer.status_code} {one}" for one in failed.exceptions)

    ask()
    return statuses, problems


@pytest.mark.slow
def test_every_operation_answers_as_documented(url: str, account: tuple[str, dict[str, str]]) -> None:
    key, ids = account
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found = [one.ok() for one in schema.get_all_operations()]
    # Without a worker that is not ready, and says so with 503.
    operations = [one for one in found if one.label != "GET /readyz"]
    assert len(operations) > 60
    # Deletions come last: what they delete others ask for.
    operations.sort(key=lambda one: (one.method.upper() == "DELETE", one.label))
    answers = {operation.label: asked(operation, key, ids) for operation in operations}
    assert [problem for _, problems in answers.values() for problem in problems] == []
    worked = {label for label, (statuses, _) in answers.items() if statuses & {200, 201, 206}}
    assert len(worked) > 30, sorted(set(answers) - worked)
