import asyncio

from app.ingest.turns import call_next_turn, next_turn


def test_turns_lie_on_a_grid() -> None:
    assert next_turn(10.01, 0.25) == 10.25
    assert next_turn(10.25, 0.25) == 10.5


async def come_together() -> None:
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    asked_at = loop.time()
    call_next_turn(0.5, lambda: came.put_nowait(("a", loop.time())))
    call_next_turn(0.5, lambda: came.put_nowait(("b", loop.time())))
    async with asyncio.timeout(10):
        first, second = await came.get(), await came.get()
    assert (first[0], second[0]) == ("a", "b")
    assert next_turn(asked_at, 0.5) <= first[1] <= second[1]


async def test_calls_for_one_turn_come_together_and_so_do_those_of_the_next() -> None:
    await come_together()
    await come_together()
