"""Which build of torch run.py installs, with programs that stand for the machine's GPU and for pip."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Machine = Callable[..., list[str]]

PIP = """#!/bin/sh
echo "$*" >> {calls}
case "$*" in
  *--dry-run*) echo '{plan}' ;;
  *+cpu) exit {has_cpu_build} ;;
esac
"""


@pytest.fixture
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run", "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Installs torch on a machine; returns what pip was asked to install, and whether it was installed."""

    def install(*, gpu: bool, cpu_build: bool, brings: str) -> list[str]:
        calls = tmp_path / "calls"
        (tmp_path / "bin").mkdir()
        plan = json.dumps({"install": [{"metadata": {"name": name}} for name in ("torch", brings)]})
        write(
            tmp_path / "bin" / "python", PIP.format(calls=calls, plan=plan, has_cpu_build=int(not cpu_build))
        )
        write(tmp_path / "nvidia-smi", f"#!/bin/sh\n{'echo GPU 0: a GPU' if gpu else 'exit 9'}\n")
        monkeypatch.setattr(run, "VENV", tmp_path)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        installed = run.install_torch()
        asked = [line.split()[-1] for line in calls.read_text().splitlines()]
        return [*asked, "installed" if installed else "refused"]

    return install


def write(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def test_a_gpu_gets_the_usual_build(machine: Machine, run: ModuleType) -> None:
    assert machine(gpu=True, cpu_build=True, brings="nvidia-cublas") == [run.TORCH, "installed"]


def test_no_gpu_gets_the_build_without_cuda(
    machine: Machine, run: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert machine(gpu=False, cpu_build=True, brings="nvidia-cublas") == [f"{run.TORCH}+cpu", "installed"]
    assert "no NVIDIA GPU is here" in capfd.readouterr().err


def test_no_gpu_and_no_such_build_refuses_cuda(machine: Machine, run: ModuleType) -> None:
    asked = machine(gpu=False, cpu_build=False, brings="nvidia-cublas")
    assert asked == [f"{run.TORCH}+cpu", run.TORCH, "refused"]


def test_where_the_usual_build_has_no_cuda_it_is_taken(machine: Machine, run: ModuleType) -> None:
    asked = machine(gpu=False, cpu_build=False, brings="sympy")
    assert asked == [f"{run.TORCH}+cpu", run.TORCH, run.TORCH, "installed"]


def test_the_release_is_the_one_that_the_extra_asks_for(run: ModuleType) -> None:
    assert f'"{run.TORCH}",' in Path("pyproject.toml").read_text()
