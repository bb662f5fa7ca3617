from workers.engines.pause import FIRST_SECONDS, LONGEST_SECONDS, Pause, Slowness


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_pauses_grow_to_a_minute_and_end_when_it_works() -> None:
    clock = Clock()
    pause = Pause(clock)
    assert not pause.is_on
    lengths = []
    for _ in range(6):
        pause.failed()
        began = clock.seconds
        while pause.is_on:
            clock.seconds += 1
        lengths.append(clock.seconds - began)
    assert lengths == [5, 10, 20, 40, 60, 60]
    pause.works()
    pause.failed()
    clock.seconds += FIRST_SECONDS
    assert not pause.is_on


def test_what_the_endpoint_asks_for_is_kept_up_to_a_minute() -> None:
    clock = Clock()
    pause = Pause(clock)
    pause.failed(30)
    clock.seconds += 29
    assert pause.is_on
    pause.failed(3600)
    clock.seconds += LONGEST_SECONDS
    assert not pause.is_on


def test_after_a_pause_one_tries_and_others_wait_for_what_comes_of_it() -> None:
    clock = Clock()
    pause = Pause(clock)
    pause.try_for(10)
    assert not pause.is_on  # it has not failed
    pause.failed()
    clock.seconds += FIRST_SECONDS
    assert not pause.is_on
    pause.try_for(10)
    assert pause.is_on
    pause.works()
    assert not pause.is_on


def test_who_may_wait_longer_still_asks() -> None:
    clock = Clock()
    slowness = Slowness(clock)
    slowness.failed(0.7)
    assert slowness.is_on(0.7)
    assert slowness.is_on(0.1)
    assert not slowness.is_on(6)
    slowness.failed(6)
    assert slowness.is_on(3)
    slowness.answered(3)  # soon enough for six seconds, too late for one
    assert not slowness.is_on(6)
    assert slowness.is_on(0.7)
    clock.seconds += FIRST_SECONDS
    assert not slowness.is_on(0.7)
    slowness.try_for(0.7)
    assert slowness.is_on(0.7)
