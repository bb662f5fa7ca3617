import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from app import cli
from app.base.settings import Settings
from app.embedded.postgres import DATABASE, LOCALE_OPTIONS, USER

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60
TOOLS = Path(sysconfig.get_path("scripts"))
URL_VARIABLES = {"DATABASE_URL", "REDIS_URL"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture(scope="module")
def run_script() -> ModuleType:
    """run.py as a module; it is no part of a package."""
    spec = importlib.util.spec_from_file_location("run_script", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(*argv: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = argv
    return subprocess.run(
        [TOOLS / program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )


def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose["services"].items() if "build" in service}


def test_the_compose_file_follows_its_specification() -> None:
    ended = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_dockerfile_is_clean() -> None:
    ended = run_tool("hadolint", "Dockerfile")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_process_has_a_service_and_every_service_a_command(compose: dict[str, Any]) -> None:
    commands = {service["command"][0] for service in ours(compose).values()}
    assert commands == {"web", "worker", "relay", "sender", "migrate"}
    assert commands <= set(cli.main.commands)


def test_every_option_of_a_command_is_known(compose: dict[str, Any]) -> None:
    for service in ours(compose).values():
        name, *arguments = service["command"]
        cli.main.commands[name].make_context(name, list(arguments))


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    names = set(re.findall(r"\bCAPTURE_[A-Z_]+", dockerfile))
    for service in ours(compose).values():
        names |= set(service["environment"])
    assert len(names) > 8
    settings = {f"CAPTURE_{name.upper()}" for name in Settings.model_fields}
    assert names - settings == URL_VARIABLES


def test_the_doors_of_all_services_are_all_doors_once(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    doors: list[str] = []
    for service in ours(compose).values():
        if "CAPTURE_DOORS" in service["environment"]:
            monkeypatch.setenv("CAPTURE_DOORS", service["environment"]["CAPTURE_DOORS"])
            doors += Settings().doors
    assert sorted(doors) == sorted(Settings.model_fields["doors"].default)


def test_the_database_is_made_as_the_embedded_one(compose: dict[str, Any]) -> None:
    environment = compose["services"]["postgres"]["environment"]
    assert environment["POSTGRES_INITDB_ARGS"].split() == list(LOCALE_OPTIONS)
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (USER, DATABASE)


def test_all_services_that_touch_media_share_one_volume(compose: dict[str, Any]) -> None:
    for name in ("api", "ingest", "worker"):
        assert compose["services"][name]["volumes"] == ["media:/data"]
        assert compose["services"][name]["environment"]["CAPTURE_STORAGE_URL"].startswith("file:///data/")


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "CAPTURE_SECRET_KEY", "CAPTURE_API_KEY"):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text


@pytest.mark.skipif(shutil.which("make") is None, reason="a minimal Debian has no make")
def test_make_lists_its_targets_and_each_is_a_command_of_run_py(run_script: ModuleType) -> None:
    ended = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert ended.returncode == 0
    listed = set(re.findall(r"^  make (\w+) ", ended.stdout, re.MULTILINE)) - {"help"}
    assert listed == {"up", "demo", "test", "quick", "check", "fix"}
    assert set(run_script.NEEDS) == listed - {"up"}


def test_an_old_python_is_refused_in_one_line(
    run_script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"^OpenCapture needs Python 3\.11 or newer, not 3\.9\.2: "):
        run_script.refuse_unfit_python()


def test_a_python_without_venv_is_told_the_package(
    run_script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    major, minor = sys.version_info[:2]
    with pytest.raises(SystemExit, match=rf"apt-get install python{major}\.{minor}-venv$"):
        run_script.refuse_unfit_python()


@pytest.fixture
def checkout(run_script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points run.py at an empty checkout."""
    monkeypatch.setattr(run_script, "ROOT", tmp_path)
    monkeypatch.setattr(run_script, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run_script, "STAMP", tmp_path / ".venv" / "opencapture.json")
    return tmp_path


def test_a_virtual_environment_of_somebody_else_is_never_removed(
    run_script: ModuleType, checkout: Path
) -> None:
    foreign = checkout / ".venv" / "bin" / "python"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("#!/bin/sh\necho another python\n")
    foreign.chmod(0o755)
    with pytest.raises(SystemExit, match="was made by something else"):
        run_script.make_venv({}, run_script.wanted_stamp())
    assert foreign.exists()


def test_one_that_was_adopted_is_never_removed_either(run_script: ModuleType, checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    run_script.write_stamp({"folder": "/before/it/was/moved", "adopted": True})
    with pytest.raises(SystemExit, match="was made by something else"):
        run_script.make_venv(run_script.read_stamp(), run_script.wanted_stamp())
    assert (checkout / ".venv").exists()


def test_its_own_is_made_anew_after_a_move(run_script: ModuleType, checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "stale").touch()
    run_script.write_stamp({"folder": "/before/it/was/moved", "adopted": False})
    run_script.make_venv(run_script.read_stamp(), run_script.wanted_stamp())
    assert not (checkout / ".venv" / "stale").exists()
    assert run_script.is_sound()
    stamp = json.loads((checkout / ".venv" / "opencapture.json").read_text())
    assert stamp == {"folder": str(checkout), "adopted": False}


def test_ci_runs_the_two_commands_of_every_day() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = re.findall(r'^"\$python" run\.py (\w+)$', script.read_text(), re.MULTILINE)
    assert commands == ["check", "test"]
