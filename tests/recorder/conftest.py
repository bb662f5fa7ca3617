"""Surroundings of the recorder's tests: sources on the spot, and no sound server or screen by accident."""

import json
from pathlib import Path
from typing import Any

import pytest
from whip_endpoint import SetSources


@pytest.fixture(autouse=True)
def no_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The recorder's own environment, empty; libpulse must not start a daemon for us."""
    for name in ("OPENCAPTURE_SOURCES", "OPENCAPTURE_FRAME_RATE", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/no-pulse")
    monkeypatch.setenv("OPENCAPTURE_LOG_LEVEL", "DEBUG")


@pytest.fixture
def set_sources(monkeypatch: pytest.MonkeyPatch) -> SetSources:
    """Choose what the recorders started from now on capture."""

    def choose(sources: dict[str, Any]) -> None:
        monkeypatch.setenv("OPENCAPTURE_SOURCES", json.dumps(sources))

    return choose
