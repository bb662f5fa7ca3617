"""Whether the process lives, and whether everything it needs answers."""

import asyncio
import json

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.base.redis import WORKER_HEARTBEAT_KEY
from app.process import Context
from app.wire.deps import AppContext
from app.wire.envelope import Json, success

router = APIRouter(tags=["health"])

LIMIT_SECONDS = 3.0


@router.get("/healthz")
async def alive() -> Json:
    """The process answers; nothing else is asked."""
    return success({"status": "ok"})


@router.get("/readyz")
async def ready(request: Request, context: AppContext) -> JSONResponse:
    """200 when the database, the broker and a worker answer, else 503 with what does not.

    It also says what the worker's engines are, which of them are missing and why, and how much recorded media
    waits for storage: what runs goes on without either.
    """
    database, (broker, worker, engines) = await asyncio.gather(
        _database(context), _broker_and_worker(context)
    )
    checks = {"database": database, "broker": broker, "worker": worker}
    problems = [f"{part}: {state}" for part, state in checks.items() if state != "ok"]
    details: Json = {name: describe() for name, describe in request.app.state.details.items()}
    missing = {name: record["missing"] for name, record in engines.items() if record["missing"]}
    told: Json = {"missing_engines": missing, "engines": engines}
    body: Json = {"success": not problems, "data": checks | told | details}
    if problems:
        body |= {"message": "; ".join(problems), "error_code": "not_ready"}
    return JSONResponse(body, status_code=503 if problems else 200)


async def _database(context: Context) -> str:
    try:
        async with asyncio.timeout(LIMIT_SECONDS), context.db.transaction() as session:
            await session.execute(text("select 1 from accounts limit 1"))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


async def _broker_and_worker(context: Context) -> tuple[str, str, Json]:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            beat = await context.redis.get(WORKER_HEARTBEAT_KEY)
    except (RedisError, OSError, TimeoutError) as error:
        return f"does not answer ({type(error).__name__})", "unknown", {}
    if beat is None:
        return "ok", "no worker has answered yet", {}
    return "ok", "ok", json.loads(beat)
