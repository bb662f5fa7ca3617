"""`link-node` puts the recorder where the Node SDK looks, and touches nothing else."""

import subprocess
from pathlib import Path

import pytest
from opencapture_recorder.errors import RecorderError
from opencapture_recorder.node_link import link_node
from videodb_capture_bin import get_binary_path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "package.json").write_text('{"name": "videodb", "version": "0.2.0"}')
    return tmp_path


def test_the_command_makes_a_link_that_runs(package: Path) -> None:
    for _ in range(2):  # Linking again, say after an upgrade, is no error.
        done = subprocess.run(
            [get_binary_path(), "link-node", str(package)],
            capture_output=True,
            timeout=20,
            check=True,
            text=True,
        )
        assert done.stdout == f"{package}/bin/recorder\n"
    link = package / "bin" / "recorder"
    assert str(link.resolve()) == str(Path(get_binary_path()).resolve())
    assert subprocess.run([link], stdin=subprocess.DEVNULL, timeout=20, check=False).returncode == 0


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "left-pad"}')
    with pytest.raises(RecorderError, match="not an installed videodb"):
        link_node(tmp_path)
    assert not (tmp_path / "bin").exists()


def test_a_recorder_that_is_already_there_is_kept(package: Path) -> None:
    own = package / "bin" / "recorder"
    own.parent.mkdir()
    own.write_text("vendor")
    with pytest.raises(RecorderError, match="not a link"):
        link_node(package)
    assert own.read_text() == "vendor"
