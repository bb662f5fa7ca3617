"""A state machine drives the session table through the real API, with real media where the table has it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.fixtures.capture import MIC, SYSTEM_AUDIO, CaptureDriver, capture_driver
from tests.fixtures.publisher import AudioTrack, Publisher
from tests.fixtures.stack import RunningStack

T = TypeVar("T")
LIVE = ("starting", "active")
# What the table of moves allows each request in; elsewhere it answers 409 and changes nothing.
MAY_START = ("created",)
MAY_STOP = ("starting", "active")
ALREADY_STOPPED = ("stopping", "stopped", "exported")

pytestmark = pytest.mark.slow


def machine_on(stack: RunningStack) -> type[RuleBasedStateMachine]:
    class Session(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.publishers: list[Publisher] = []
            self.status = "created"
            self.stored = False

        def run(self, work: Coroutine[Any, Any, T]) -> T:
            return self.runner.run(asyncio.wait_for(work, 60))

        @initialize()
        def create(self) -> None:
            self.holder = capture_driver(stack)
            self.driver: CaptureDriver = self.run(self.holder.__aenter__())

        @rule()
        def start(self) -> None:
            before = self.seen()
            answer = self.run(self.driver.start(MIC))
            if self.status in MAY_START:
                assert answer.status_code == 200
                self.status = "starting"
            elif self.status in LIVE:  # the same request again: the same answer
                assert answer.status_code == 200
                assert self.seen() == before
            else:
                self.refused(answer, before)

        @rule()
        def start_with_other_channels(self) -> None:
            if self.status in MAY_START:
                return
            before = self.seen()
            self.refused(self.run(self.driver.start(SYSTEM_AUDIO)), before)

        @precondition(lambda self: self.status != "created")
        @rule()
        def publish(self) -> None:
            before = self.seen()
            publisher = Publisher(AudioTrack())
            self.publishers.append(publisher)
            answer = self.run(self.offer(publisher))
            if self.status == "starting":
                assert answer.status_code == 201, answer.text
                self.run(self.driver.wait_for("active", seconds=10))
                self.status, self.stored = "active", True
            else:  # active: it has a publisher; ended: it takes no media
                self.refused(answer, before)

        @rule()
        def stop(self) -> None:
            before = self.seen()
            answer = self.run(self.driver.stop())
            if self.status in MAY_STOP:
                assert answer.status_code == 200
                self.status = "exported" if self.stored else "stopped"
                self.run(self.driver.wait_for(self.status))
            elif self.status in ALREADY_STOPPED:
                assert answer.status_code == 200
                assert self.seen() == before
            else:
                self.refused(answer, before)

        @invariant()
        def says_what_the_model_says(self) -> None:
            if hasattr(self, "driver"):
                assert self.seen()["status"] == self.status

        def seen(self) -> dict[str, Any]:
            return self.run(self.driver.read())

        def refused(self, answer: httpx.Response, before: dict[str, Any]) -> None:
            assert answer.status_code == 409, answer.text
            assert answer.json()["success"] is False
            assert self.seen() == before

        async def offer(self, publisher: Publisher) -> httpx.Response:
            answer = await self.driver.offer("mic:default", await publisher.offer())
            if answer.status_code == 201:
                await publisher.accept(answer.text)
            return answer

        def teardown(self) -> None:
            for publisher in self.publishers:
                self.run(publisher.close())
            if hasattr(self, "driver"):
                self.run(self.driver.stop())
                self.run(self.holder.__aexit__(None, None, None))
            self.runner.close()

    return Session


def test_the_table_of_moves_holds_over_the_wire(stack: RunningStack) -> None:
    run_state_machine_as_test(
        machine_on(stack),
        settings=settings(
            max_examples=25,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
