import threading

import pytest

from app.engines import loading
from app.engines.contract import ModelMissing
from app.engines.loading import Loaded


def test_it_is_loaded_once_however_many_ask() -> None:
    loads, barrier = [], threading.Barrier(4)

    def load() -> str:
        loads.append(1)
        return "model"

    loaded = Loaded(load)
    assert not loaded.is_there
    found: list[str] = []

    def ask() -> None:
        barrier.wait(10)
        found.append(loaded.get())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (found, loads, loaded.is_there, loaded.missing) == (["model"] * 4, [1], True, None)


def test_what_is_missing_is_looked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def load() -> str:
        looks.append(1)
        if len(looks) == 1:
            raise ModelMissing("There is none.")
        return "model"

    loaded = Loaded(load)
    for _ in range(3):
        with pytest.raises(ModelMissing, match=r"There is none\."):
            loaded.get()
    assert (len(looks), loaded.missing) == (1, "There is none.")
    monkeypatch.setattr(loading.time, "monotonic", lambda: 1e12)
    assert loaded.get() == "model"
    assert loaded.missing is None
