import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from app.base.errors import Conflict, Unavailable
from app.embedded import process as process_module
from app.embedded import supervisor as supervisor_module
from app.embedded.leftovers import ChildRecord
from app.embedded.process import Child, Program
from app.embedded.supervisor import Supervisor

LIMIT_SECONDS = 30
STACK = Path(__file__).with_name("supervised_stack.py")


def eventually(question: Callable[[], bool]) -> bool:
    """Poll until the answer is yes; False where it still is no after the limit."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """A zombie has ended: who collects orphans here is the machine's affair."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stack:
    """`supervised_stack.py`, started and up."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, STACK, data_dir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line == "up\n":
                break
        else:
            raise AssertionError(f"the stack did not come up: {self.lines}")
        self.postgres_url, self.redis_url = (line for line in self.lines if "://" in line)
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def child_pid(self, position: int) -> int:
        rows = json.loads((self.data_dir / "children.json").read_text())
        return int(rows[position]["pid"])

    def nobody_is_left(self) -> bool:
        return eventually(lambda: not any(is_alive(member.pid) for member in self.family))

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(LIMIT_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("supervised")


@pytest.fixture
def stack(data_dir: Path) -> Iterator[Stack]:
    started = Stack(data_dir)
    yield started
    started.end()


async def run_sql(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def write_both(stack: Stack, word: str) -> None:
    asyncio.run(run_sql(stack.postgres_url, f"CREATE TABLE IF NOT EXISTS {word} (id int)"))
    with redis.Redis.from_url(stack.redis_url) as client:
        client.set("word", word)
        client.execute_command("WAITAOF", 1, 0, 5000)


def read_both(stack: Stack) -> tuple[object, object]:
    names = asyncio.run(
        run_sql(stack.postgres_url, "SELECT max(relname) FROM pg_class WHERE relname LIKE 'kept%'")
    )
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        return names, client.get("word")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_every_child(stack: Stack, number: signal.Signals) -> None:
    assert len(stack.family) > 5  # Postgres has children of its own
    stack.process.send_signal(number)
    assert stack.process.wait(LIMIT_SECONDS) == 0
    assert not any(is_alive(member.pid) for member in stack.family)
    assert not (stack.data_dir / "children.json").exists()


def test_a_killed_supervisor_leaves_nobody_and_loses_nothing(stack: Stack) -> None:
    write_both(stack, "kept_killed")
    stack.process.kill()
    assert stack.nobody_is_left()
    again = Stack(stack.data_dir)
    try:
        assert read_both(again) == ("kept_killed", "kept_killed")
    finally:
        again.end()


def test_killing_the_whole_tree_loses_nothing(stack: Stack) -> None:
    write_both(stack, "kept_tree")
    for member in (psutil.Process(stack.process.pid), *stack.family):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    assert stack.nobody_is_left()
    again = Stack(stack.data_dir)
    try:
        assert read_both(again) == ("kept_tree", "kept_tree")
    finally:
        again.end()


def test_a_killed_postmaster_comes_back_under_the_same_url(stack: Stack) -> None:
    write_both(stack, "kept_zpostmaster")
    os.kill(stack.child_pid(0), signal.SIGKILL)
    assert stack.next_line().startswith("postgres ended with status -9; starting it again in 0.5 s")

    def answers() -> bool:
        try:
            return read_both(stack) == ("kept_zpostmaster", "kept_zpostmaster")
        except (OSError, asyncpg.PostgresError):
            return False

    assert eventually(answers)


def test_a_crashed_worker_is_started_again(stack: Stack) -> None:
    first = stack.child_pid(3)
    os.kill(first, signal.SIGKILL)
    assert stack.next_line().startswith("worker ended with status -9")
    assert eventually(lambda: stack.child_pid(-1) != first and is_alive(stack.child_pid(-1)))


def test_a_second_instance_is_refused_in_one_line(stack: Stack) -> None:
    second = subprocess.run(
        [sys.executable, STACK, stack.data_dir], capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert second.returncode == 1
    assert second.stderr == (
        f"another OpenCapture is running with this data folder (pid {stack.process.pid}): "
        "stop it or set CAPTURE_DATA_DIR\n"
    )
    assert all(is_alive(member.pid) for member in stack.family)


def python(code: str, **fields: object) -> Program:
    ready = {"is_ready": lambda _pid: True}
    return Program(name="stand-in", argv=(sys.executable, "-c", code), **(ready | fields))  # type: ignore[arg-type]


def test_a_child_that_keeps_crashing_ends_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_RESTART_SECONDS", 0.001)
    told: list[str] = []
    with Supervisor(tmp_path, told.append) as supervisor:
        supervisor.start(python("raise SystemExit('no such table')"))
        with pytest.raises(Unavailable, match=r"(?s)stand-in ended 5 times in a row.*no such table"):
            supervisor.watch()
    assert len(told) == 4


def test_a_child_that_is_never_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    program = python("print('listening on nothing')", is_ready=lambda _pid: False)
    with (
        Supervisor(tmp_path, print) as supervisor,
        pytest.raises(Unavailable, match=r"(?s)status 0 before it was ready.*listening on nothing"),
    ):
        supervisor.start(program)


def test_a_step_that_fails_is_an_error_and_one_that_succeeds_is_not(tmp_path: Path) -> None:
    with Supervisor(tmp_path, print) as supervisor:
        supervisor.run(python("pass"))
        with pytest.raises(Unavailable, match="stand-in ended with status 3"):
            supervisor.run(python("raise SystemExit(3)"))
        with pytest.raises(Unavailable, match=r"did not end within 0\.1 s"):
            supervisor.run(python("import time; time.sleep(600)", start_seconds=0.1))


def test_a_stop_signal_ends_the_wait_for_a_slow_start(tmp_path: Path) -> None:
    def asked(_pid: int) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    reached = []
    with Supervisor(tmp_path, print) as supervisor:
        supervisor.start(python("import time; time.sleep(600)", is_ready=asked))
        reached.append("the next line")
    assert reached == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_lock_is_held_against_this_process_too(tmp_path: Path) -> None:
    with (
        Supervisor(tmp_path, print),
        pytest.raises(Conflict, match=rf"pid {os.getpid()}"),
        Supervisor(tmp_path, print),
    ):
        pass
    with Supervisor(tmp_path, print):
        pass


def test_a_child_that_ignores_the_stop_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('started', 'w').close()\n"
        "time.sleep(600)"
    )
    program = python(
        code, folder=tmp_path, is_ready=lambda _pid: (tmp_path / "started").exists(), stop_seconds=0.1
    )
    child = Child(program, tmp_path / "child.log")
    child.wait_ready()
    family = psutil.Process(child.process.pid).children(recursive=True)
    assert len(family) == 1
    child.stop()
    assert child.process.returncode == -signal.SIGKILL
    assert eventually(lambda: not is_alive(family[0].pid))


def test_a_log_is_cut_with_one_older_part_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "LOG_BYTES", 10)
    child = Child(python("print('x' * 20)"), tmp_path / "child.log")
    child.process.wait(LIMIT_SECONDS)
    child.bound_log()
    assert child.log_path.read_text() == ""
    assert (tmp_path / "child.log.1").read_text() == "x" * 20 + "\n"


def test_the_next_start_ends_recorded_children_and_no_stranger(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    orphan, stranger = subprocess.Popen(sleeper), subprocess.Popen(sleeper)
    try:
        record = ChildRecord(tmp_path)
        record.add(orphan.pid, signal.SIGTERM)
        record.add(stranger.pid, signal.SIGTERM)
        rows = json.loads((tmp_path / "children.json").read_text())
        rows[1]["created"] -= 3600  # the number was given to another process since
        (tmp_path / "children.json").write_text(json.dumps(rows))
        assert ChildRecord(tmp_path).reap() == 1
        assert not is_alive(orphan.pid)
        assert stranger.poll() is None
    finally:
        for sleeping in (orphan, stranger):
            sleeping.kill()
            sleeping.wait(LIMIT_SECONDS)
