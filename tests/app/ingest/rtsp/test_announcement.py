import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import CaptureError, InvalidRequest, Unprocessable
from app.ingest.rtsp.announcement import AnnouncedTrack, read_announcement
from app.media.frames import Codec
from tests.fixtures.recorder_media import AUDIO_SDP, VIDEO_SDP


def test_the_recorders_tracks_are_read() -> None:
    audio, video = read_announcement(AUDIO_SDP.encode()), read_announcement(VIDEO_SDP.encode())
    assert audio == AnnouncedTrack(Codec.AAC, 97, 48_000, description=b"\x11\x90")
    assert video == AnnouncedTrack(Codec.H264, 96, 90_000)


def test_parameter_sets_in_the_sdp_are_read() -> None:
    sdp = VIDEO_SDP.replace("mode=1", "mode=1; sprop-parameter-sets=Z0IAKeKQFAe2,aM48gA==")
    assert [nal[0] & 0x1F for nal in read_announcement(sdp.encode()).parameter_sets] == [7, 8]


@pytest.mark.parametrize(
    "sdp",
    [
        AUDIO_SDP.replace("AAC-hbr", "AAC-lbr"),
        AUDIO_SDP.replace("sizelength=13", "sizelength=6"),
        AUDIO_SDP.replace("config=1190", "config=zz"),
        AUDIO_SDP.replace("config=1190", "config=2b92080"),
        AUDIO_SDP.replace(";config=1190", ""),
        AUDIO_SDP.replace("MPEG4-GENERIC", "opus"),
        VIDEO_SDP.replace("H264", "H265"),
        VIDEO_SDP.replace("H264/90000", "H264/8000"),
        AUDIO_SDP + VIDEO_SDP[VIDEO_SDP.index("m=") :],
        VIDEO_SDP[: VIDEO_SDP.index("m=")],
    ],
)
def test_other_tracks_are_refused(sdp: str) -> None:
    with pytest.raises(Unprocessable):
        read_announcement(sdp.encode())


@pytest.mark.parametrize("sdp", [b"\xff\xfe", b"m=audio", b"hello"])
def test_what_is_no_sdp_is_refused(sdp: bytes) -> None:
    with pytest.raises((InvalidRequest, Unprocessable)):
        read_announcement(sdp)


@given(st.integers(0, len(AUDIO_SDP)), st.integers(0, 20), st.binary(max_size=20), st.booleans())
def test_a_damaged_announcement_is_read_or_refused(at: int, cut: int, put: bytes, audio: bool) -> None:
    sdp = (AUDIO_SDP if audio else VIDEO_SDP).encode()
    try:
        track = read_announcement(sdp[:at] + put + sdp[at + cut :])
    except CaptureError:
        return
    assert track.codec in (Codec.AAC, Codec.H264)
    assert track.rtp_clock_hz > 0
