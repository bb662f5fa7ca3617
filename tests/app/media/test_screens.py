import numpy as np
import pytest

from app.media.frames import Codec
from app.media.screens import (
    WAITING_FRAMES,
    Screen,
    ScreenDecoder,
    cells_of,
    changed_share,
    is_another_screen,
    is_sharper,
)
from tests.fixtures.desktops import Picture, desktop
from tests.fixtures.media import START_US, video_frames

LINES = ["Quarterly report", "Revenue grew by 12 percent.", "Costs stayed where they were."]


def shown(decoder: ScreenDecoder) -> int:
    screen = decoder.screen()
    assert screen is not None
    return screen.at_us


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8])
def test_the_screen_is_the_last_picture_that_came(codec: Codec) -> None:
    frames = video_frames(codec, seconds=3.0)
    decoder = ScreenDecoder(codec)
    assert decoder.screen() is None
    for frame in frames[:20]:
        decoder.feed(frame)
    assert shown(decoder) == frames[19].captured_at_us
    for frame in frames[20:]:
        decoder.feed(frame)
    assert shown(decoder) == frames[-1].captured_at_us
    assert decoder.damaged_frames == 0


def test_nothing_is_decoded_before_a_key_frame_or_after_a_loss() -> None:
    frames = video_frames(Codec.H264, seconds=4.0)
    key = next(number for number, frame in enumerate(frames) if number and frame.is_keyframe)
    decoder = ScreenDecoder(Codec.H264)
    for frame in frames[1:key]:
        decoder.feed(frame)
    assert decoder.screen() is None
    for frame in frames[key : key + 5]:
        decoder.feed(frame)
    lost = frames[key + 6]
    decoder.feed(
        type(lost)(lost.codec, lost.data, lost.timestamp, lost.captured_at_us, False, after_gap=True)
    )
    decoder.feed(frames[key + 7])
    assert shown(decoder) == frames[key + 4].captured_at_us  # it stands until the next key frame


def test_a_track_without_key_frames_is_decoded_on_the_way() -> None:
    frames = video_frames(
        Codec.H264, seconds=(WAITING_FRAMES + 20) / 15, width=64, height=36, keyframe_seconds=1e9
    )
    decoder = ScreenDecoder(Codec.H264)
    for frame in frames:
        decoder.feed(frame)
    assert len(decoder._waiting) < WAITING_FRAMES
    assert shown(decoder) == frames[-1].captured_at_us


def recoded(*pictures: Picture) -> list[np.ndarray]:
    """The pictures as a viewer sees them: encoded in one track, each held for a second, and decoded."""
    frames = video_frames(
        Codec.H264,
        seconds=float(len(pictures)),
        frames_per_second=5,
        width=1280,
        height=720,
        keyframe_seconds=0.6,
        draw=lambda at, _width, _height: pictures[int(at)],
        bit_rate=1_500_000,
    )
    decoder = ScreenDecoder(Codec.H264)
    found = []
    for number in range(len(pictures)):
        for frame in frames[number * 5 : number * 5 + 5]:
            decoder.feed(frame)
        screen = decoder.screen()
        assert screen is not None
        found.append(cells_of(screen.frame))
    return found


def test_a_still_screen_stays_the_same_through_the_encoder_and_a_blinking_caret_too() -> None:
    still = desktop("Report", LINES)
    caret = desktop("Report", LINES, caret_at=(400, 300))
    first, again, blinking = recoded(still, still, caret)
    assert not is_another_screen(first, again)
    assert not is_another_screen(again, blinking)


@pytest.mark.parametrize("dark", [False, True])
def test_a_word_more_is_another_screen(dark: bool) -> None:
    before, after, other = recoded(
        desktop("Report", LINES, text_pixels=12, dark=dark),
        desktop("Report", [*LINES, "Done."], text_pixels=12, dark=dark),
        desktop("Mail", ["Inbox", "Hello from the other side"], dark=not dark),
    )
    assert is_another_screen(before, after)
    assert changed_share(before, after) < 0.05
    assert changed_share(after, other) > 0.5


def test_a_picture_that_an_encoder_refines_is_sharper_and_a_key_frame_is_not() -> None:
    picture = desktop("Report", LINES, text_pixels=12)
    coarse, fine, again = (seen(picture, bit_rate) for bit_rate in (30_000, 4_000_000, 3_000_000))
    assert is_sharper(coarse, fine)
    assert not is_sharper(fine, again)
    assert not is_sharper(fine, coarse)


def seen(picture: Picture, bit_rate: int) -> Screen:
    decoder = ScreenDecoder(Codec.H264)
    for frame in video_frames(
        Codec.H264, seconds=0.4, width=1280, height=720, draw=lambda *_: picture, bit_rate=bit_rate
    ):
        decoder.feed(frame)
    screen = decoder.screen()
    assert screen is not None
    return screen


def test_another_size_is_another_screen() -> None:
    small = cells_of(_frame(np.zeros((360, 640, 3), np.uint8)))
    large = cells_of(_frame(np.zeros((720, 1280, 3), np.uint8)))
    assert is_another_screen(small, large)
    assert changed_share(small, large) == 1.0


def test_the_jpeg_has_the_size_of_the_screen() -> None:
    import io

    from PIL import Image

    decoder = ScreenDecoder(Codec.H264)
    decoder.feed(video_frames(Codec.H264, seconds=0.2, width=1280, height=720)[0])
    screen = decoder.screen()
    assert screen is not None
    assert (screen.at_us, screen.width, screen.height) == (START_US, 1280, 720)
    assert Image.open(io.BytesIO(screen.jpeg())).size == (1280, 720)


def _frame(rgb: Picture):  # type: ignore[no-untyped-def]
    import av

    return av.VideoFrame.from_ndarray(rgb, format="rgb24")
