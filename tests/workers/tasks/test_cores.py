"""Who gets a core first, and that none is lost."""

import asyncio

import pytest

from workers.tasks.cores import TURNS_BEFORE_SPARE, Cores


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def served(cores: Cores, waiting: list[tuple[str, bool]]) -> list[str]:
    """The order in which these get the one core, which is taken when they come; `True` can wait."""
    order: list[str] = []

    async def work(name: str, can_wait: bool) -> None:
        async with cores.turn(can_wait=can_wait):
            order.append(name)

    async with asyncio.TaskGroup() as group, cores:
        for name, can_wait in waiting:
            group.create_task(work(name, can_wait))
        await settle()
        assert order == []
    return order


async def test_what_can_wait_goes_last() -> None:
    waiting = [("recording", True), ("live", False), ("other recording", True), ("other live", False)]
    assert await served(Cores(1), waiting) == ["live", "other live", "recording", "other recording"]


async def test_what_can_wait_is_slow_under_load_and_not_stuck() -> None:
    live = [(f"live {number}", False) for number in range(TURNS_BEFORE_SPARE + 4)]
    order = await served(Cores(1), [("recording", True), *live])
    assert order.index("recording") == TURNS_BEFORE_SPARE


async def test_so_many_run_at_once_as_there_are_cores() -> None:
    cores, running, most = Cores(3), 0, 0

    async def work(number: int) -> None:
        nonlocal running, most
        async with cores.turn(can_wait=bool(number % 2)):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(30)))
    assert (running, most) == (0, 3)


@pytest.mark.parametrize("given", [False, True])
async def test_who_is_cancelled_takes_no_core_along(given: bool) -> None:
    cores = Cores(1)

    async def work() -> None:
        async with cores:
            pass

    async with cores:
        waiting = asyncio.create_task(work())
        await settle()
        if not given:
            waiting.cancel()
    waiting.cancel()  # where it was given the turn, it does not know yet
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    async with asyncio.timeout(5), cores:
        pass
