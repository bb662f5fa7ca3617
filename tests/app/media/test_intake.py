import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from app.base.errors import Unprocessable, UnsupportedMedia
from app.media.hls import index_fragments
from app.media.intake import SniffedImage, SniffedMedia, sniff, take_in
from tests.fixtures.media import beep_seconds, beeps, flash_seconds, picture, tone

SIZE = (320, 180)


def write_video(
    path: Path, codec: str, container: str, *, sound: str | None = "aac", seconds: float = 3.0, **options: str
) -> Path:
    """The moving pattern and its beeps, encoded as a camera or a browser would."""
    with av.open(str(path), "w", format=container) as output:
        video = output.add_stream(codec, rate=15, options=options)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = output.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number in range(round(seconds * 15)):
            frame = av.VideoFrame.from_ndarray(picture(number / 15, *SIZE), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio:
            samples = beeps(seconds)
            for begin in range(0, len(samples), 960):
                block = av.AudioFrame.from_ndarray(
                    samples[None, begin : begin + 960], format="fltp", layout="mono"
                )
                block.sample_rate, block.pts, block.time_base = 48_000, begin, Fraction(1, 48_000)
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return path


def write_wav(path: Path, seconds: float = 2.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone(seconds, rate_hz=16_000) * 32_767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("codec", "container", "sound", "options", "copied"),
    [
        ("libx264", "mp4", "aac", {}, True),  # with B frames
        ("libx264", "matroska", None, {}, False),
        ("libx264", "mpegts", "aac", {}, False),
        ("libvpx", "webm", "libopus", {"deadline": "realtime", "cpu-used": "8"}, False),
    ],
)
def test_videos_become_fragmented_mp4(
    codec: str, container: str, sound: str | None, options: dict[str, str], copied: bool, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "upload", codec, container, sound=sound, **options)
    found = sniff(path)
    assert isinstance(found, SniffedMedia)
    assert (found.kind, found.has_audio, found.width, found.height) == ("video", bool(sound), *SIZE)
    assert found.can_copy is copied
    told: list[float] = []
    made = take_in(path, found, tmp_path / "made.mp4", told.append)
    assert told == sorted(told)
    assert len(told) > 5
    assert index_fragments(made.path).duration_seconds == pytest.approx(3.0, abs=0.15)
    assert made.duration_seconds == pytest.approx(3.0, abs=0.15)
    flashes = flash_seconds(made.path)
    assert np.diff(flashes) == pytest.approx([1.0, 1.0], abs=0.07)
    if sound:
        assert beep_seconds(made.path) == pytest.approx(flashes, abs=0.15)


def test_a_video_on_its_side_is_turned(tmp_path: Path) -> None:
    path = write_video(tmp_path / "upload", "libx264", "mp4", sound=None, seconds=1.0)
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40  # ISO/IEC 14496-12 clause 8.3.2: a phone that is held upright
    one = 0x10000
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, SIZE[1] * one, 0, 0x40000000)
    path.write_bytes(data)
    found = sniff(path)
    assert isinstance(found, SniffedMedia)
    assert (found.width, found.height, found.can_copy) == (SIZE[1], SIZE[0], False)
    made = take_in(path, found, tmp_path / "made.mp4")
    with av.open(str(made.path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][-1]
    # What was at the lower left, red, is at the upper left now; what was at the upper right, green, below.
    assert shown[5, 5].argmax() == 0
    assert shown[-5, -5].argmax() == 1


def test_an_image_on_its_side_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "upload.png"
    turned = Image.new("RGB", (60, 40), "red")
    exif = turned.getexif()
    exif[0x0112] = 6  # orientation: turn it clockwise
    turned.save(path, exif=exif)
    assert sniff(path) == SniffedImage("image/png", "png", 40, 60)


def test_sound_becomes_aac(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "upload")
    found = sniff(path)
    assert found == SniffedMedia("audio", True, 2.0)
    made = take_in(path, found, tmp_path / "made.m4a")
    assert (made.has_video, made.has_audio) == (False, True)
    assert made.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert index_fragments(made.path).duration_seconds == pytest.approx(2.0, abs=0.05)


def test_the_sound_of_a_video_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "upload", "libx264", "mp4")
    made = take_in(path, SniffedMedia("audio", True, 3.0), tmp_path / "made.m4a")
    assert not made.has_video
    assert len(beep_seconds(made.path)) == 3


@pytest.mark.parametrize(
    ("name", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_images_are_told_by_their_content(name: str, media_type: str, tmp_path: Path) -> None:
    path = tmp_path / "misleading.mp4"
    Image.new("RGB", (64, 48), "red").save(path, format=name)
    found = sniff(path)
    assert isinstance(found, SniffedImage)
    assert (found.media_type, found.width, found.height) == (media_type, 64, 48)


def playlist(folder: Path) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{folder / 'other.mp4'}\n#EXT-X-ENDLIST\n".encode()


def test_what_names_other_files_or_is_nothing_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", "libx264", "mp4")
    concat = f"ffconcat version 1.0\nfile '{tmp_path / 'other.mp4'}'\n".encode()
    for data in (
        playlist(tmp_path),
        concat,
        b"",
        b"junk" * 1000,
        b"\x89PNG\r\n\x1a\n" + b"x" * 50,
        b'{"timeline": {}}',
    ):
        path = tmp_path / "upload"
        path.write_bytes(data)
        with pytest.raises(UnsupportedMedia):
            sniff(path)


def test_a_file_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole", "libvpx", "webm", sound=None, deadline="realtime")
    found = sniff(whole)
    assert isinstance(found, SniffedMedia)
    whole.write_bytes(b"")
    with pytest.raises(Unprocessable):
        take_in(whole, found, tmp_path / "made.mp4")
    assert not (tmp_path / "made.mp4").exists()
