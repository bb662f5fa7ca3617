"""How soon after its commit an event is first sent, and how many webhooks a second senders deliver.

Real Postgres and Valkey, the product's own relay and senders as processes, one receiver that answers at once.
First `--rate` events a second are committed for `--seconds`, each in a transaction of its own, and their
arrival is taken on the same machine's clock. Then `--backlog` events wait, of many sessions, and 1 and 4
senders deliver them. The floor is a bare loop of httpx in one process, to the same receiver, with as many
requests at once as a sender has, and no database. At last events reach `--sockets` open sockets of one web
process, beside as many bare subscribers of the same Valkey.

    python -m bench.events [--rate N] [--seconds S] [--backlog N] [--sockets N] [--goal]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from app.base.settings import Settings
from app.domain.webhooks.service import add_endpoint
from app.embedded.postgres import running_postgres
from app.embedded.valkey import running_valkey
from app.process import Context, open_context
from bench.child import Child
from bench.events_fan_out import measure_fan_out
from bench.events_run import commit_event, process
from tests.fixtures.deliveries import publish_events
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.servers import migrate
from workers.sender import MAX_PER_TARGET

GOAL_P99_SECONDS = 0.2
SESSIONS = 200
FAN_OUT_EVENTS = 26
LIMIT_SECONDS = 120.0


async def add_sessions(context: Context, tenant: Tenant, url: str, group: str) -> list[str]:
    """Ids of capture sessions whose events go to `url`; nothing else of them is needed."""
    session_ids = [f"cap-{group}-{number}" for number in range(SESSIONS)]
    async with context.db.transaction() as session:
        for session_id in session_ids:
            await add_endpoint(session, tenant.account_id, session_id, url)
    return session_ids


async def commit_at_rate(
    context: Context, tenant: Tenant, session_ids: list[str], rate: float, seconds: float
) -> dict[str, float]:
    """Commit events side by side, each begun at its time; returns when each was committed, by id."""
    begin = time.monotonic()
    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        session_id = session_ids[number % len(session_ids)]
        tasks.append(asyncio.create_task(commit_event(context, tenant, session_id)))
    return dict(await asyncio.gather(*tasks))


async def arrived(receiver: Child, count: int) -> dict[str, float]:
    """When each event first arrived, by its id, once `count` have."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while await receiver.ask("count", wait_for=count) < count:
            pass
    found: dict[str, float] = await receiver.ask("take")
    return found


def rate_of(times: dict[str, float]) -> float:
    """A second's arrivals over the middle nine tenths, so that neither start nor end counts."""
    ordered = sorted(times.values())
    edge = len(ordered) // 20
    return (len(ordered) - 2 * edge) / (ordered[-1 - edge] - ordered[edge])


async def bare_loop(url: str, count: int) -> None:
    """What httpx alone can do: as many requests at once as a sender makes to one target."""
    numbers = iter(range(count))
    body = b'{"id":"%d","event":"capture_session.active","data":{}}'

    async def post_all(client: httpx.AsyncClient) -> None:
        for number in numbers:
            headers = {"webhook-id": f"bare-{number}", "content-type": "application/json"}
            async with client.stream("POST", url, content=body % number, headers=headers) as answer:
                await answer.aread()

    async with httpx.AsyncClient(trust_env=False) as client:
        await asyncio.gather(*(post_all(client) for _ in range(MAX_PER_TARGET)))


async def deliver_backlog(
    context: Context,
    tenant: Tenant,
    receiver: Child,
    url: str,
    environment: dict[str, str],
    senders: int,
    count: int,
) -> float:
    """Deliveries a second while `senders` work off `count` waiting events."""
    session_ids = await add_sessions(context, tenant, url, f"backlog{senders}")
    for first in range(0, count, SESSIONS):
        await asyncio.gather(
            *(commit_event(context, tenant, one) for one in session_ids[: min(SESSIONS, count - first)])
        )
    for _ in range(0, count, 1000):
        await publish_events(context)
    async with AsyncExitStack() as stack:
        for _ in range(senders):
            await stack.enter_async_context(process("workers.sender", environment))
        return rate_of(await arrived(receiver, count))


async def measure(
    folder: Path, rate: float, seconds: float, backlog: int, sockets: int
) -> tuple[float, float, float]:
    """Returns the p99 of commit to first attempt, deliveries a second of one sender, and of the bare loop."""
    with running_postgres(folder) as database_url, running_valkey(folder) as redis_url:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CAPTURE_DATA_DIR": str(folder / "data"),
            "CAPTURE_SECRET_KEY": "bench",
            "CAPTURE_ALLOWED_NETWORKS": "127.0.0.0/8",
            "CAPTURE_LOG_LEVEL": "WARNING",
        }
        migrate(database_url)
        settings = Settings(database_url=database_url, redis_url=redis_url, data_dir=folder / "data")
        context = open_context(settings)
        receiver = await Child.start("bench.events_receiver")
        try:
            url = await receiver.ask("url")
            tenant = await make_tenant(context)
            await bare_loop(url, backlog)
            bare = rate_of(await arrived(receiver, backlog))
            print(f"bare httpx loop, {MAX_PER_TARGET} at once: {bare:,.0f} requests/s")
            rates = {}
            for senders in (1, 4):
                rates[senders] = await deliver_backlog(
                    context, tenant, receiver, url, environment, senders, backlog
                )
                print(
                    f"{senders} sender{'s' * (senders > 1)}: {rates[senders]:,.0f} deliveries/s,"
                    f" {rates[senders] / bare:.2f} of the bare loop"
                )
            async with process("workers.relay", environment), process("workers.sender", environment):
                session_ids = await add_sessions(context, tenant, url, "live")
                await commit_at_rate(context, tenant, session_ids, 20, 2)  # all processes are up and warm
                await arrived(receiver, 40)
                committed = await commit_at_rate(context, tenant, session_ids, rate, seconds)
                times = await arrived(receiver, len(committed))
            waits = sorted(times[one] - at for one, at in committed.items())
            p50, p99 = (waits[int(len(waits) * part)] for part in (0.5, 0.99))
            print(
                f"{rate:g} events/s for {seconds:g} s: commit to first attempt"
                f" p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms;"
                f" {len(times)} of {len(committed)} arrived"
            )
            await measure_fan_out(context, tenant, environment, sockets, FAN_OUT_EVENTS)
            return p99, rates[1], bare
        finally:
            await receiver.stop()
            await context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--backlog", type=int, default=3000)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--goal", action="store_true", help="exit with 1 where the goals are missed")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-events-") as folder:
        p99, one, bare = asyncio.run(
            measure(Path(folder), wanted.rate, wanted.seconds, wanted.backlog, wanted.sockets)
        )
    held = p99 <= GOAL_P99_SECONDS and one >= bare / 2
    print(f"p99 within {GOAL_P99_SECONDS:g} s, half the bare loop: {'held' if held else 'missed'}")
    return 1 if wanted.goal and not held else 0


if __name__ == "__main__":
    sys.exit(main())
