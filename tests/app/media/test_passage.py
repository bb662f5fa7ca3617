"""Packets of sources as frames: copied where that is possible, else encoded anew, in time and decodable."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app.media.annexb import parameter_sets
from app.media.frames import Codec
from app.media.passage import AudioPassage, CopiedVideo, Passed, VideoPassage
from tests.fixtures.media import picture, tone

SECONDS = 2.0
FPS = 15


def write_video(path: Path, codec: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(round(SECONDS * FPS)):
            frame = av.VideoFrame.from_ndarray(picture(number / FPS, 320, 240), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path, codec: str, rate_hz: int, layout: str = "stereo") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        samples = np.repeat(tone(SECONDS, rate_hz=rate_hz)[None, :], len(stream.layout.channels), axis=0)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.format.name, layout, rate_hz, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def passed_video(path: Path) -> tuple[list[Passed], bool]:
    with av.open(str(path)) as container:
        passage = VideoPassage(container.streams.video[0])
        frames = [one for packet in container.demux(video=0) for one in passage.take(packet)]
        return frames, passage.is_copied


def passed_audio(path: Path) -> tuple[list[Passed], bool]:
    with av.open(str(path)) as container:
        passage = AudioPassage(container.streams.audio[0])
        frames = [one for packet in container.demux(audio=0) for one in passage.take(packet)]
        return frames, passage.is_copied


def decoded_pictures(frames: Sequence[Passed]) -> int:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    found = [one for frame in frames for one in decoder.decode(av.Packet(frame.data))]
    found += decoder.decode(None)
    assert not any(one.is_corrupt for one in found)
    return len(found)


def check_video(frames: Sequence[Passed], *, count: int) -> None:
    assert {frame.codec for frame in frames} == {Codec.H264}
    assert frames[0].is_keyframe
    assert all(parameter_sets(frame.data) for frame in frames if frame.is_keyframe)
    steps = np.diff([frame.at_us for frame in frames])
    assert np.allclose(steps, 1e6 / FPS, atol=1500)
    assert decoded_pictures(frames) == len(frames) == count


@pytest.mark.parametrize("ending", ["mp4", "ts", "flv"])
def test_plain_h264_is_copied_from_any_container(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"x.{ending}", "libx264", bf="0", g="15", sc_threshold="0")
    frames, is_copied = passed_video(path)
    assert is_copied
    check_video(frames, count=30)
    assert sum(frame.is_keyframe for frame in frames) == 2


@pytest.mark.parametrize(
    ("codec", "options", "ending"),
    [
        ("libx264", {"bf": "2", "b_strategy": "0", "g": "15"}, "mp4"),
        ("libx265", {"x265-params": "log-level=none"}, "mp4"),
        ("mpeg4", {}, "mp4"),
        ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, "webm"),
    ],
)
def test_what_is_not_recorded_as_it_is_becomes_h264(
    tmp_path: Path, codec: str, options: dict[str, str], ending: str
) -> None:
    frames, is_copied = passed_video(write_video(tmp_path / f"x.{ending}", codec, **options))
    assert not is_copied
    check_video(frames, count=len(frames))
    assert len(frames) >= 25  # a decoder keeps the last ones until the end, which a live source has not
    assert sum(frame.is_keyframe for frame in frames) == 1


@pytest.mark.parametrize("ending", ["mp4", "ts", "flv", "aac"])
def test_aac_is_copied_with_or_without_adts(tmp_path: Path, ending: str) -> None:
    frames, is_copied = passed_audio(write_sound(tmp_path / f"x.{ending}", "aac", 44_100))
    assert is_copied
    assert {frame.description for frame in frames} == {bytes.fromhex("1210")}
    assert all(frame.data[0] != 0xFF for frame in frames)
    check_sound(frames)


@pytest.mark.parametrize(
    ("codec", "rate_hz", "layout", "ending"),
    [
        ("pcm_alaw", 8_000, "mono", "wav"),
        ("pcm_mulaw", 8_000, "mono", "wav"),
        ("libmp3lame", 44_100, "stereo", "mp3"),
        ("ac3", 48_000, "stereo", "ts"),
        ("aac", 48_000, "5.1", "mp4"),
    ],
)
def test_other_sound_becomes_aac(tmp_path: Path, codec: str, rate_hz: int, layout: str, ending: str) -> None:
    frames, is_copied = passed_audio(write_sound(tmp_path / f"x.{ending}", codec, rate_hz, layout))
    assert not is_copied
    assert {len(frame.description) for frame in frames} == {2}
    check_sound(frames)


def check_sound(frames: Sequence[Passed]) -> None:
    """It decodes to a tone all through, and each packet follows the one before."""
    assert {frame.codec for frame in frames} == {Codec.AAC}
    rate_hz = 44_100 if frames[0].description == bytes.fromhex("1210") else 48_000
    steps = np.diff([frame.at_us for frame in frames])
    assert np.allclose(steps, 1024e6 / rate_hz, atol=1100)
    assert len(frames) * 1024 / rate_hz == pytest.approx(SECONDS, abs=0.15)
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.extradata = frames[0].description
    parts = [part.to_ndarray() for one in frames for part in decoder.decode(av.Packet(one.data))]
    sound = np.concatenate(parts, axis=1)[0]
    middle = sound[rate_hz // 2 : -rate_hz // 2].reshape(-1)
    assert 0.1 < float(np.sqrt(np.mean(middle**2))) < 0.6  # six equal channels add up


def test_opus_is_copied(tmp_path: Path) -> None:
    frames, is_copied = passed_audio(write_sound(tmp_path / "x.webm", "libopus", 48_000))
    assert is_copied
    assert {frame.codec for frame in frames} == {Codec.OPUS}
    assert np.allclose(np.diff([frame.at_us for frame in frames]), 20_000, atol=1001)


def test_what_turns_out_to_be_reordered_is_encoded_from_the_next_key_frame(tmp_path: Path) -> None:
    """A header may not say that pictures are reordered, so it is seen by their times."""
    path = write_video(tmp_path / "x.mp4", "libx264", bf="2", b_strategy="0", g="15")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        passage = VideoPassage(stream)
        passage._way = CopiedVideo(stream)
        packets = list(container.demux(video=0))
        frames = [one for packet in packets for one in passage.take(packet)]
    assert not passage.is_copied
    made = [frame for frame in frames if frame.at_us > 0.5e6]
    assert made[0].is_keyframe
    assert len(made) >= 10
    assert decoded_pictures(made) == len(made)
