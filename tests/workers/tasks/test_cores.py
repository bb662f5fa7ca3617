import asyncio
from threading import Event, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from app.base.settings import Settings
from tests.fixtures.eventually import eventually
from workers.engines.contract import Transcript
from workers.tasks import recogniser
from workers.tasks.cores import TURNS_BEFORE_SPARE, Cores
from workers.tasks.recogniser import Recogniser


async def work(cores: Cores, begun: list[str], name: str, end: asyncio.Event) -> None:
    async with cores:
        begun.append(name)
        await end.wait()


async def test_others_wait_for_a_core_in_their_order() -> None:
    cores, begun = Cores(2, patience_seconds=None), list[str]()
    ends = {name: asyncio.Event() for name in "abcd"}
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(work(cores, begun, name, end)) for name, end in ends.items()}
        await eventually(lambda: begun == ["a", "b"])
        tasks["c"].cancel()  # who gives up holds nobody up
        ends["a"].set()
        await eventually(lambda: begun == ["a", "b", "d"])
        for end in ends.values():
            end.set()


async def test_speech_takes_a_core_at_once_and_others_wait_for_it() -> None:
    cores, begun = Cores(1, patience_seconds=None), list[str]()
    spoken, ended, end = Event(), Event(), asyncio.Event()

    def speak() -> None:
        with cores.speech(), cores.speech():  # more than there are cores
            spoken.set()
            assert ended.wait(30)

    speaking = Thread(target=speak)
    speaking.start()
    assert await asyncio.to_thread(spoken.wait, 30)
    working = asyncio.create_task(work(cores, begun, "picture", end))
    await asyncio.sleep(0)
    assert begun == []
    ended.set()
    await eventually(lambda: begun == ["picture"])
    end.set()
    await working
    await asyncio.to_thread(speaking.join)


async def test_nobody_waits_longer_than_patience_lasts() -> None:
    cores, begun, end = Cores(1, patience_seconds=0.05), list[str](), asyncio.Event()
    end.set()
    with cores.speech():
        async with asyncio.timeout(30):
            await work(cores, begun, "first", end)
            await work(cores, begun, "second", end)
    async with asyncio.timeout(30):
        await work(cores, begun, "third", end)  # all cores were given back
    assert begun == ["first", "second", "third"]


async def test_what_can_wait_goes_last_and_is_not_stuck() -> None:
    cores, begun = Cores(1, patience_seconds=None), list[str]()

    async def spare() -> None:
        async with cores.turn(can_wait=True):
            begun.append("spare")

    async def live(number: int) -> None:
        async with cores.turn(can_wait=False):
            begun.append(str(number))

    async with asyncio.TaskGroup() as group:
        await cores.__aenter__()
        group.create_task(spare())
        await asyncio.sleep(0)
        for number in range(20):
            group.create_task(live(number))
        await asyncio.sleep(0)
        await cores.__aexit__()
    assert begun.index("spare") == TURNS_BEFORE_SPARE
    assert [one for one in begun if one != "spare"] == [str(number) for number in range(20)]


async def test_the_recogniser_has_a_core_for_each_piece_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    cores, begun, ended = Cores(1, patience_seconds=None), list[str](), Event()

    class Engine:
        def transcribe(self, samples: NDArray[np.float32], *, language: str | None) -> Transcript:
            begun.append("speech")
            assert ended.wait(30)
            return Transcript("", "en", [], [])

    monkeypatch.setattr(recogniser, "cores", cores)
    monkeypatch.setattr(recogniser, "open_speech_engine", lambda settings: Engine())
    end = asyncio.Event()
    end.set()
    hearing = asyncio.create_task(Recogniser(Settings()).hear("utt-1", np.zeros(16, np.float32), None))
    await eventually(lambda: begun == ["speech"])
    picture = asyncio.create_task(work(cores, begun, "picture", end))
    await asyncio.sleep(0)
    assert begun == ["speech"]
    ended.set()
    await asyncio.gather(hearing, picture)
    assert begun == ["speech", "picture"]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


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
