"""The part of `bench.events` that asks how soon an event is at all of many sockets."""

import asyncio
import time

import httpx

from app.base.redis import publish
from app.embedded.private_files import free_port
from app.process import Context
from bench.child import Child
from bench.events_run import commit_event, process
from tests.fixtures.factories import Tenant

PAUSE_SECONDS = 0.5  # between two events: each has the machine for itself
WARM_UP_EVENTS = 6
CHANNEL = "bench:floor"
START_SECONDS = 60


def quantiles(times: list[list[float]], begun: list[float]) -> tuple[float, float, float]:
    """p50, p99 and the worst, over all sockets and the events that come once all processes are warm."""
    warm = list(zip(times, begun, strict=True))[WARM_UP_EVENTS:]
    waits = sorted(at - begin for at_each, begin in warm for at in at_each)
    return waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1]


def told(name: str, found: tuple[float, float, float]) -> str:
    p50, p99, worst = (f"{seconds * 1000:.0f} ms" for seconds in found)
    return f"{name}: p50 {p50}, p99 {p99}, worst {worst}"


async def ticket_url(base_url: str, tenant: Tenant) -> str:
    """A socket's URL, once the web process answers."""
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(
                    f"{base_url}/collection/default/websocket", headers={"x-access-token": tenant.api_key}
                )
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            url: str = answer.raise_for_status().json()["data"]["websocket_url"]
            return url


async def measure_fan_out(
    context: Context, tenant: Tenant, environment: dict[str, str], sockets: int, events: int
) -> None:
    """Print how long an event takes from its commit to each of the sockets of one web process, and how long
    Redis alone takes to as many bare subscribers."""
    port = free_port()
    web = {"CAPTURE_PORT": str(port), "CAPTURE_DOORS": "api,hub"}
    clients = await Child.start("bench.events_sockets")
    try:
        await clients.ask("open", url=context.settings.redis_url, channel=CHANNEL, count=sockets)
        begun = []
        for number in range(events):
            await asyncio.sleep(PAUSE_SECONDS)
            begun.append(time.time())
            await publish(context.redis, CHANNEL, {"event": number, "padding": "x" * 800})
        floor = quantiles(await clients.ask("take", events=events), begun)
        async with (
            process("app.cli", environment | web, "web"),
            process("workers.relay", environment),
        ):
            url = await ticket_url(f"http://127.0.0.1:{port}", tenant)
            await clients.ask("open", url=url, count=sockets)
            begun = []
            for number in range(events):
                await asyncio.sleep(PAUSE_SECONDS)
                begun.append((await commit_event(context, tenant, f"cap-fan-{number}"))[1])
            found = quantiles(await clients.ask("take", events=events), begun)
    finally:
        await clients.stop()
    print(told(f"{sockets:,} bare Redis subscribers, publish to each", floor))
    print(told(f"{sockets:,} sockets of one process, commit to each", found))
