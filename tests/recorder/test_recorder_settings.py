"""The OPENCAPTURE_… variables: read from text or a file, refused with the variable's name."""

from pathlib import Path

import pytest
from opencapture_recorder.errors import SettingsError
from opencapture_recorder.settings import SourceSpec, load_settings


def test_nothing_set_means_real_devices() -> None:
    settings = load_settings({})
    assert settings.sources is None
    assert (settings.frame_rate, settings.max_width, settings.max_height) == (15, 1280, 720)


def test_sources_come_from_text_or_from_a_file(tmp_path: Path) -> None:
    text = '{"mic:default": {"file": "/x/a.wav", "loop": true}, "display:2": {"pattern": true}}'
    file = tmp_path / "sources.json"
    file.write_text(text)
    expected = {
        "mic:default": SourceSpec(file=Path("/x/a.wav"), loop=True),
        "display:2": SourceSpec(pattern=True),
    }
    assert load_settings({"OPENCAPTURE_SOURCES": text}).sources == expected
    assert load_settings({"OPENCAPTURE_SOURCES": str(file)}).sources == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENCAPTURE_SOURCES", "{"),
        ("OPENCAPTURE_SOURCES", "/no/such/file"),
        ("OPENCAPTURE_SOURCES", "{}"),
        ("OPENCAPTURE_SOURCES", '{"camera:1": {"pattern": true}}'),
        ("OPENCAPTURE_SOURCES", '{"mic:default": {"pattern": true}}'),
        ("OPENCAPTURE_SOURCES", '{"display:1": {"tone_hz": 440}}'),
        ("OPENCAPTURE_SOURCES", '{"mic:default": {}}'),
        ("OPENCAPTURE_SOURCES", '{"mic:default": {"file": "a", "tone_hz": 1}}'),
        ("OPENCAPTURE_SOURCES", '{"mic:default": {"file": 7}}'),
        ("OPENCAPTURE_SOURCES", '{"mic:default": {"tone_hz": "440"}}'),
        ("OPENCAPTURE_FRAME_RATE", "0"),
        ("OPENCAPTURE_FRAME_RATE", "fast"),
        ("OPENCAPTURE_MAX_WIDTH", "-1"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})
