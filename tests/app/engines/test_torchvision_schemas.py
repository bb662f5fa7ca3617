import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NEXT_TO_TORCH = """
from app.engines.clip.torchvision_schemas import import_torchvision, _kept
import_torchvision()
import_torchvision()
import torchvision.transforms
assert len(_kept) <= 1
"""
HEALTHY = """
import sys
from app.engines.clip.torchvision_schemas import import_torchvision, _kept
import_torchvision()
assert "torchvision" in sys.modules and "torch" not in sys.modules and _kept == []
"""
WEB = """
import sys
import app.main
from app.base.settings import Settings
from app.engines.registry import open_image_text_engine
open_image_text_engine(Settings()).record
assert "torch" not in sys.modules
"""


def run(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = ":".join(str(folder) for folder in (*folders, Path.cwd()))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.skipif(find_spec("torchvision") is None, reason="the extra `vision` is not installed")
def test_it_is_imported_beside_the_torch_that_is_installed() -> None:
    ended = run(NEXT_TO_TORCH)
    assert ended.returncode == 0, ended.stderr


def test_a_sound_installation_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    ended = run(HEALTHY, tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_the_web_process_has_no_torch_before_pictures_are_searched() -> None:
    ended = run(WEB)
    assert ended.returncode == 0, ended.stderr
