"""Secrets and ports kept in the data folder, one a file, readable by the folder's owner only."""

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from app.base.errors import Unavailable

LOOPBACK = "127.0.0.1"


def make_private_folder(path: Path) -> Path:
    """Make the folder for its owner only, parents included, and return its absolute path."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.resolve()


def write_private(path: Path, text: str) -> None:
    """Replace `path` with `text` in one step, mode 0600; a reader sees the old text or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # Left by a kill, and its mode would be kept.
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _new_password() -> str:
    return secrets.token_hex(24)


def keep_secret(path: Path, make: Callable[[], str] = _new_password) -> str:
    """Return the secret kept in `path`, made by `make` the first time."""
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8").strip()


def kept_secret(path: Path) -> str:
    """Return the secret kept in `path`. Raises Unavailable where none is."""
    if not path.exists():
        raise Unavailable(f"{path} is missing: has `capture up` run with this data folder?")
    return path.read_text(encoding="utf-8").strip()


def keep_port(path: Path) -> int:
    """Return the TCP port kept in `path`; a new one where there is none yet or another program took it."""
    if path.exists():
        text = path.read_text(encoding="ascii").strip()
        if text.isdigit() and is_port_free(LOOPBACK, int(text)):
            return int(text)
    port = free_port()
    write_private(path, str(port))
    return port


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host`:`port` now; an earlier server's TIME_WAIT does not count."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def is_udp_port_free(port: int) -> bool:
    """Whether UDP `port` could be bound on every IPv4 address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
