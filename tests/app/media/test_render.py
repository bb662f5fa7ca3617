from pathlib import Path

import av
import numpy as np
import pytest

from app.base.errors import InvalidRequest, Unprocessable
from app.media.hls import index_fragments
from app.media.layers import scaled_size
from app.media.render import Clip, Fit, Timeline, Track, render_timeline
from tests.fixtures.media import (
    OPUS_RATE_HZ,
    beep_seconds,
    beeps,
    export_recording,
    flash_seconds,
    h264_frames,
    opus_packets,
    record,
    sound_of,
)

# A picture is shown at the next instant of 30 a second, and the asset's own begins 6.5 ms late: Opus' delay.
FRAME_SECONDS = 1 / 30 + 0.0066


@pytest.fixture(scope="module")
def asset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asset")
    video = record(h264_frames(seconds=6.0), folder, "display")
    return export_recording(video, [record(opus_packets(beeps(6.0)), folder, "mic")], folder / "a.mp4").path


@pytest.fixture(scope="module")
def sound_asset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound-asset")
    return export_recording(None, [record(opus_packets(beeps(6.0)), folder, "mic")], folder / "a.m4a").path


def timeline(
    *tracks: list[Clip], size: tuple[int, int] = (320, 180), background: str = "#000000"
) -> Timeline:
    return Timeline(*size, background, [Track(clips) for clips in tracks])


def picture_at(path: Path, seconds: float) -> np.ndarray:
    with av.open(str(path)) as container:
        shown = None
        for frame in container.decode(video=0):
            if shown is not None and frame.time > seconds:
                break
            shown = frame
    assert shown is not None
    return shown.to_ndarray(format="rgb24")


def test_a_clip_is_shown_and_heard_where_it_was_put(asset: Path, tmp_path: Path) -> None:
    told: list[float] = []
    clip = Clip("video", asset, start_seconds=1.0, duration_seconds=3.0, asset_start_seconds=1.5)
    made = render_timeline(timeline([clip]), tmp_path / "out.mp4", on_progress=told.append)
    # The asset's whole seconds 2, 3 and 4 lie half a second into each second of the timeline.
    assert flash_seconds(made.path) == pytest.approx([1.5, 2.5, 3.5], abs=FRAME_SECONDS)
    assert beep_seconds(made.path) == pytest.approx([1.5, 2.5, 3.5], abs=0.02)
    assert made.duration_seconds == pytest.approx(4.0, abs=FRAME_SECONDS)
    assert (made.has_video, made.has_audio, made.width, made.height) == (True, True, 320, 180)
    assert told[-1] == 1.0
    assert picture_at(made.path, 0.5).max() < 20  # background before it


def test_clips_end_with_their_media(asset: Path, sound_asset: Path, tmp_path: Path) -> None:
    clips = [Clip("video", asset, 0.0, 60.0, asset_start_seconds=4.0)]
    sound = [Clip("audio", sound_asset, 0.0, 60.0)]
    made = render_timeline(timeline(clips, sound), tmp_path / "out.mp4")
    assert made.duration_seconds == pytest.approx(6.0, abs=0.1)
    assert flash_seconds(made.path) == pytest.approx([0.0, 1.0], abs=FRAME_SECONDS)
    assert len(beep_seconds(made.path)) == 6
    assert picture_at(made.path, 4.0).max() < 20


def test_volume_is_applied(sound_asset: Path, tmp_path: Path) -> None:
    loud = render_timeline(timeline([Clip("audio", sound_asset, 0, 2)]), tmp_path / "loud.mp4")
    half = render_timeline(timeline([Clip("audio", sound_asset, 0, 2, volume=0.5)]), tmp_path / "half.mp4")
    middle = slice(round(0.03 * OPUS_RATE_HZ), round(0.07 * OPUS_RATE_HZ))
    levels = [np.abs(sound_of(made.path)[middle]).max() for made in (loud, half)]
    assert levels[0] == pytest.approx(0.5, rel=0.15)
    assert levels[1] == pytest.approx(levels[0] / 2, rel=0.1)


def test_layers_lie_above_each_other_with_opacity(asset: Path, tmp_path: Path) -> None:
    # At 0.05 s the asset is all white: half of it over blue is light blue.
    clip = Clip("video", asset, 0.0, 1.0, opacity=0.5, volume=0.0)
    made = render_timeline(timeline([clip], background="#0000ff"), tmp_path / "out.mp4")
    assert picture_at(made.path, 0.05)[90, 160] == pytest.approx([128, 128, 255], abs=12)  # 4:2:0 and x264
    assert not made.has_audio
    over = Clip("video", asset, 0.0, 1.0, asset_start_seconds=0.5, volume=0.0)  # not white there
    covered = render_timeline(timeline([clip], [over]), tmp_path / "covered.mp4")
    assert picture_at(covered.path, 0.05)[90, 160].mean() < 200


@pytest.mark.parametrize(
    ("fit", "white"),
    [
        ("contain", (slice(70, 110), slice(0, 180))),  # 180 wide canvas, 16:9 inside
        ("crop", (slice(0, 180), slice(0, 180))),
        ("cover", (slice(0, 180), slice(0, 180))),
        (None, (slice(0, 180), slice(0, 180))),
    ],
)
def test_fit(fit: Fit, white: tuple[slice, slice], asset: Path, tmp_path: Path) -> None:
    clip = Clip("video", asset, 0.0, 0.5, fit=fit, volume=0.0)
    made = render_timeline(timeline([clip], size=(180, 180)), tmp_path / "out.mp4")
    shown = picture_at(made.path, 0.05)
    assert shown[white].min() > 235
    if fit == "contain":
        assert shown[:30].max() < 20
        assert shown[-30:].max() < 20


@pytest.mark.parametrize(
    ("fit", "size"),
    [("crop", (320, 180)), ("contain", (180, 102)), ("cover", (180, 180)), (None, (640, 360))],
)
def test_scaled_size(fit: Fit, size: tuple[int, int]) -> None:
    assert scaled_size(640, 360, 180, 180, fit) == size


def test_a_still_picture_is_not_written_thirty_times_a_second(tmp_path: Path) -> None:
    video = record(h264_frames(times_seconds=[0.0, 3.0, 5.9], flash=False), tmp_path, "display")
    asset = export_recording(video, [], tmp_path / "a.mp4").path
    made = render_timeline(timeline([Clip("video", asset, 0, 5.9)]), tmp_path / "out.mp4")
    with av.open(str(made.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) < 12
    assert any(abs(time - 3.0) < FRAME_SECONDS for time in times)
    assert index_fragments(made.path).duration_seconds == pytest.approx(5.9, abs=FRAME_SECONDS)


def test_what_cannot_be_rendered_is_said(asset: Path, sound_asset: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 100)
    for clip in (
        Clip("video", sound_asset, 0, 1),
        Clip("video", junk, 0, 1),
        Clip("audio", tmp_path / "missing.m4a", 0, 1),
        Clip("video", asset, 0, 1, asset_start_seconds=100.0),
    ):
        with pytest.raises(Unprocessable):
            render_timeline(timeline([clip]), target)
    with pytest.raises(InvalidRequest):
        render_timeline(timeline([Clip("video", asset, 0, 1)], background="red"), target)
    with pytest.raises(InvalidRequest):
        render_timeline(timeline([Clip("video", asset, 0, 1)], size=(321, 180)), target)
    assert not target.exists()
