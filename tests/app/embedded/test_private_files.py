import stat
from pathlib import Path

from app.embedded.private_files import keep_port, keep_secret, write_private


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = keep_secret(path)
    assert len(first) == 48
    assert keep_secret(path) == first
    assert keep_secret(tmp_path / "other", lambda: "given") == "given"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_kill_left_half_written_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / "secret.new"
    left.write_text("ha")
    left.chmod(0o644)
    write_private(tmp_path / "secret", "whole")
    assert (tmp_path / "secret").read_text() == "whole"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert not left.exists()


def test_a_port_file_with_nonsense_gets_a_port(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("not a number")
    port = keep_port(tmp_path / "port")
    assert 1024 <= port <= 65535
    assert keep_port(tmp_path / "port") == port
