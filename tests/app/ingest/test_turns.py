import asyncio

from app.ingest.turns import call_next_turn, next_turn


def test_turns_lie_on_a_grid() -> None:
    assert next_turn(10.01, 0.25) == 10.25
    assert next_turn(10.25, 0.25) == 10.5


async def test_calls_for_one_turn_come_together_and_those_made_after_it_too() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        came: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        asked_at = loop.time()
        for name in "ab":
            call_next_turn(0.5, lambda name=name: came.put_nowait((name, loop.time())))  # type: ignore[misc]
        async with asyncio.timeout(10):
            first, second = await came.get(), await came.get()
        assert (first[0], second[0]) == ("a", "b")
        assert asked_at < first[1] <= second[1]
        assert first[1] >= next_turn(asked_at, 0.5)
