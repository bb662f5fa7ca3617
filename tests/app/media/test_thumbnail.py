import io
from pathlib import Path

import av
import numpy as np
import pytest

from app.base.errors import Unprocessable
from app.media.thumbnail import first_picture
from tests.fixtures.media import export_recording, h264_frames, opus_packets, record, tone


def opened(jpeg: bytes) -> np.ndarray:
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert jpeg.endswith(b"\xff\xd9")
    with av.open(io.BytesIO(jpeg)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def asset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asset")
    track = record(h264_frames(seconds=5.0, width=960, height=540), folder, "display")
    return export_recording(track, [], folder / "a.mp4").path


def test_the_picture_of_an_instant(asset: Path) -> None:
    assert opened(first_picture(asset)).min() > 245  # the flash at zero
    assert opened(first_picture(asset, at_seconds=3.5)).mean() < 200
    assert opened(first_picture(asset, at_seconds=4.0)).min() > 245
    assert opened(first_picture(asset, at_seconds=99.0)).mean() < 200  # the last one


def test_it_is_no_wider_than_asked(asset: Path) -> None:
    assert opened(first_picture(asset)).shape == (360, 640, 3)
    assert opened(first_picture(asset, max_width=101)).shape == (56, 100, 3)
    assert opened(first_picture(asset, max_width=4000)).shape == (540, 960, 3)


def test_files_without_a_picture_are_refused(tmp_path: Path) -> None:
    sound = export_recording(None, [record(opus_packets(tone(1.0)), tmp_path, "mic")], tmp_path / "a.m4a")
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 50)
    for path in (sound.path, junk, tmp_path / "missing.mp4"):
        with pytest.raises(Unprocessable):
            first_picture(path)
