from aiortc import RTCDtlsFingerprint, RTCIceCandidate, RTCIceParameters
from aiortc.sdp import SessionDescription

from app.ingest.whip.answer import write_answer
from app.ingest.whip.offer import read_offer
from tests.fixtures.offers import AUDIO_OFFER as AUDIO
from tests.fixtures.offers import VIDEO_OFFER as VIDEO

CANDIDATES = [RTCIceCandidate(1, "1", "192.0.2.1", 5000, 2130706431, "udp", "host")]
FINGERPRINTS = [RTCDtlsFingerprint("sha-256", "CD:EF")]


def answer(sdp: str, *kinds: str) -> str:
    return write_answer(
        read_offer(sdp, kinds),  # type: ignore[arg-type]
        ice=RTCIceParameters("ufrag", "p" * 22),
        candidates=CANDIDATES,
        fingerprints=FINGERPRINTS,
    )


def test_the_answer_receives_one_codec_as_dtls_server_with_every_candidate() -> None:
    text = answer(VIDEO, "video")
    (media,) = SessionDescription.parse(text).media
    assert (media.kind, media.fmt, media.direction) == ("video", [104, 105], "recvonly")
    assert media.rtcp_mux
    assert media.dtls is not None
    assert media.dtls.role == "server"
    assert [candidate.ip for candidate in media.ice_candidates] == ["192.0.2.1"]
    assert media.ice_candidates_complete
    assert [codec.name for codec in media.rtp.codecs] == ["H264", "rtx"]
    assert media.rtp.codecs[0].parameters == {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": "640c1f",
    }
    assert [(fb.type, fb.parameter) for fb in media.rtp.codecs[0].rtcpFeedback] == [
        ("nack", None),
        ("nack", "pli"),
        ("goog-remb", None),
    ]
    assert "a=group:BUNDLE 0\r\n" in text
    assert "a=rtcp-rsize\r\n" in text


def test_a_publisher_that_waits_for_the_handshake_gets_it() -> None:
    assert "a=setup:active\r\n" in answer(VIDEO.replace("a=setup:actpass", "a=setup:passive"), "video")


def test_sound_and_picture_share_one_transport() -> None:
    sound = (
        AUDIO[AUDIO.index("m=audio") :]
        .replace("m=audio 9", "m=audio 0")
        .replace("a=mid", "a=bundle-only\na=mid")
    )
    text = answer(VIDEO.replace("BUNDLE 0", "BUNDLE 0 a0") + sound, "audio", "video")
    video, audio = SessionDescription.parse(text).media
    assert (video.kind, audio.kind) == ("video", "audio")
    assert (video.direction, audio.direction) == ("recvonly", "recvonly")
    assert "a=group:BUNDLE 0 a0\r\n" in text
    assert video.ice.usernameFragment == audio.ice.usernameFragment == "ufrag"
    assert (len(video.ice_candidates), len(audio.ice_candidates)) == (1, 0)


def test_audio_keeps_stereo_and_claims_no_bundle_that_was_not_offered() -> None:
    text = answer(AUDIO, "audio")
    (media,) = SessionDescription.parse(text).media
    assert media.rtp.codecs[0].parameters == {"stereo": 1, "minptime": 10}
    assert "BUNDLE" not in text
    assert "rtcp-rsize" not in text


def test_parameters_that_are_no_plain_words_are_not_echoed() -> None:
    assert "profile-level-id" not in answer(VIDEO.replace("640c1f", "64 0c1f"), "video")
