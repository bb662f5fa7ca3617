import os
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest
import redis

from app.embedded.process import Child
from app.embedded.valkey import running_valkey, valkey_server


def test_what_was_written_survives_a_stop(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
    with running_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("key") == b"value"


def test_what_was_synced_survives_a_kill(tmp_path: Path) -> None:
    server = valkey_server(tmp_path)
    child = Child(server.program, tmp_path / "valkey.log")
    child.wait_ready()
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait(10)
    with running_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("key") == b"value"


def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as url:
        password = (tmp_path / "valkey_password").read_text()
        open_url = url.replace(f":{password}@", "")
        with redis.Redis.from_url(open_url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        port = url.rpartition(":")[2].partition("/")[0]
        children = psutil.Process().children()
        (server,) = (child for child in children if any(port in word for word in child.cmdline()))
        assert password not in " ".join(server.cmdline())
        assert {connection.laddr.ip for connection in server.net_connections()} == {"127.0.0.1"}
    assert stat.S_IMODE((tmp_path / "valkey" / "valkey.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "valkey_password").stat().st_mode) == 0o600


def test_a_port_that_was_taken_is_chosen_anew(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        (tmp_path / "valkey_port").write_text(str(taken))
        with running_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.ping() is True
            assert f":{taken}/" not in url


def test_a_folder_name_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    with running_valkey(tmp_path / 'a "quoted" folder') as url, redis.Redis.from_url(url) as client:
        assert client.ping() is True
