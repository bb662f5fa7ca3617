import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.embedded.postgres import running_postgres

LIMIT_SECONDS = 60


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Ours without any setting, then `settings`."""
    given = ("CAPTURE_", "DATABASE_URL", "REDIS_URL")
    own = {name: value for name, value in os.environ.items() if not name.startswith(given)}
    return own | {"CAPTURE_DATA_DIR": str(data_dir)} | settings


def capture(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=environment(data_dir, **settings),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_up_on_a_taken_port_is_one_line(tmp_path: Path, taken_port: int) -> None:
    ended = capture(tmp_path, "up", CAPTURE_PORT=str(taken_port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"Error: port {taken_port} of 127.0.0.1 is taken: set CAPTURE_PORT to another one\n"
    )


@pytest.mark.parametrize("command", ["up", "web"])
def test_a_taken_media_port_is_one_line(command: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        port = other.getsockname()[1]
        ended = capture(tmp_path, command, CAPTURE_PORT="0", CAPTURE_WEBRTC_PORT=str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: UDP port {port} is taken: set CAPTURE_WEBRTC_PORT to another one, or to 0 for any\n"
    )


def test_redirect_on_a_taken_port_is_one_line(tmp_path: Path, taken_port: int) -> None:
    ended = capture(tmp_path, "redirect", "--port", str(taken_port))
    assert ended.returncode == 1
    assert re.fullmatch(rf"Error: cannot listen on port {taken_port}: .*\n", ended.stderr)


def test_a_key_without_a_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    ended = capture(tmp_path, "keys", "create")
    assert ended.returncode == 1
    assert "run `capture up` first, or set DATABASE_URL" in ended.stderr


def test_redirect_prints_what_the_clients_shell_needs(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "redirect", "--port", "0"],
        env=environment(tmp_path / "with space"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_SECONDS) == 0
    script = "".join(lines) + 'printf "%s\\n" "$HTTPS_PROXY" "$REQUESTS_CA_BUNDLE" "$NODE_EXTRA_CA_CERTS"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    proxy, *bundles = shell.stdout.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", proxy)
    assert bundles == [str(tmp_path / "with space" / "redirect" / "ca.pem")] * 2
    assert lines[4] == "export NO_PROXY=localhost,127.0.0.1\n"


def test_migrate_twice_then_make_a_key(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as url:
        for _ in range(2):
            ended = capture(tmp_path, "migrate", DATABASE_URL=url, CAPTURE_API_KEY="sk-given")
            assert ended.returncode == 0, ended.stderr
        made = capture(tmp_path, "keys", "create", "--name", "laptop")
        secrets = [
            capture(tmp_path, "webhooks", "secret", *more, CAPTURE_SECRET_KEY="k").stdout.strip()
            for more in ((), (), ("--rotate",), ())
        ]
        keyless = capture(tmp_path, "webhooks", "secret")
        listed = capture(tmp_path, "keys", "list", DATABASE_URL=url)
        key_id = listed.stdout.splitlines()[-1].split()[0]
        rotated = capture(tmp_path, "keys", "rotate", key_id, "--grace-seconds", "60", DATABASE_URL=url)
        revoked = capture(tmp_path, "keys", "revoke", key_id, DATABASE_URL=url)
        after = capture(tmp_path, "keys", "list", DATABASE_URL=url).stdout.splitlines()
        unknown = capture(tmp_path, "keys", "revoke", "key-none", DATABASE_URL=url)
    assert made.stdout.strip()[-4:] in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    assert re.fullmatch(r"sk-\S{32}\n", rotated.stdout), rotated.stderr
    assert revoked.stdout == f"{key_id} is revoked\n"
    assert [" revoked " in line for line in after] == [False, True, False]
    assert (unknown.returncode, unknown.stderr) == (1, "Error: no API key key-none\n")
    assert re.fullmatch(r"sk-\S{32}\n", made.stdout), made.stderr
    assert all(re.fullmatch(r"whsec_[\w+/]{43}=", secret) for secret in secrets)
    assert secrets[0] == secrets[1] != secrets[2] == secrets[3]
    assert (keyless.returncode, "secret_key is missing" in keyless.stderr) == (1, True)
    away = capture(tmp_path, "keys", "create")
    assert away.returncode == 1
    assert "does not answer: is `capture up` running?" in away.stderr


def test_up_serves_with_the_key_it_prints_and_leaves_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "up"],
        env=environment(tmp_path, CAPTURE_PORT="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            printed = ""
            for line in process.stdout:
                printed += line
                if line.startswith("  logs "):
                    break
            found = re.search(r"base URL  (\S+)\n  API key   (\S+)\n", printed)
            assert found is not None, printed
            headers = {"x-access-token": found[2]}
            request = urllib.request.Request(f"{found[1]}/collection/default", headers=headers)
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as reply:
                assert json.load(reply)["success"] is True
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 5
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_SECONDS) == 0
    _, alive = psutil.wait_procs(family, timeout=0)
    assert alive == []
