import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.whip.offer import (
    MAX_CANDIDATES,
    MAX_OFFER_CHARACTERS,
    OfferRefused,
    read_offer,
)
from app.media.frames import Codec
from tests.fixtures.offers import AUDIO_OFFER as AUDIO
from tests.fixtures.offers import FINGERPRINT
from tests.fixtures.offers import VIDEO_OFFER as VIDEO

BOTH = VIDEO.replace("a=group:BUNDLE 0", "a=group:BUNDLE 0 a0") + AUDIO[AUDIO.index("m=audio") :].replace(
    "a=mid:a0", "a=mid:a0\na=bundle-only"
)
KINDS = ("audio", "video")


def refusal(sdp: str, kind: str = "video") -> OfferRefused:
    with pytest.raises(OfferRefused) as caught:
        read_offer(sdp, (kind,))  # type: ignore[arg-type]
    return caught.value


def test_h264_is_chosen_with_its_retransmissions() -> None:
    offer = read_offer(VIDEO, ("video",))
    (track,) = offer.tracks
    assert (track.codec, track.payload_type, track.rtx_payload_type) == (Codec.H264, 104, 105)
    assert (track.ssrc, track.mid, offer.bundled, track.reduced_size_rtcp) == (2231627014, "0", True, True)
    assert track.parameter_sets == (bytes.fromhex("6742c01f"), bytes.fromhex("68ce3c80"))
    assert track.format_parameters["profile-level-id"] == "640c1f"


def test_single_packet_h264_is_better_than_vp8() -> None:
    (track,) = read_offer(VIDEO.replace("packetization-mode=1", "packetization-mode=2"), ("video",)).tracks
    assert (track.codec, track.payload_type) == (Codec.H264, 102)


def test_vp8_is_taken_where_there_is_no_h264() -> None:
    (track,) = read_offer(VIDEO.replace("H264/90000", "H265/90000"), ("video",)).tracks
    assert (track.codec, track.payload_type, track.rtx_payload_type) == (Codec.VP8, 96, 97)


def test_opus_is_chosen() -> None:
    offer = read_offer(AUDIO, ("audio",))
    (track,) = offer.tracks
    assert (track.codec, track.payload_type, track.rtx_payload_type) == (Codec.OPUS, 111, None)
    assert (track.mid, offer.bundled, track.ssrc) == ("a0", False, None)


def test_only_reachable_candidates_are_kept() -> None:
    assert [candidate.ip for candidate in read_offer(VIDEO, ("video",)).candidates] == ["192.0.2.7"]
    many = "".join(f"a=candidate:{n} 1 udp 1 192.0.2.7 {n} typ host\n" for n in range(1, 200))
    assert len(read_offer(VIDEO + many, ("video",)).candidates) == MAX_CANDIDATES
    none = "\n".join(line for line in VIDEO.splitlines() if not line.startswith("a=candidate")) + "\n"
    assert read_offer(none, ("video",)).candidates == ()


@pytest.mark.parametrize(
    ("sdp", "status", "words"),
    [
        ("", 400, "no media section"),
        ("hello", 400, "no media section"),
        ("v=x\n", 400, "not valid SDP"),
        (VIDEO.replace("m=video 9", "m=video x"), 400, "not valid SDP"),
        (VIDEO.replace("a=setup:actpass", "a=setup:holdconn"), 400, "not valid SDP"),
        (VIDEO.replace("a=setup:actpass\n", ""), 400, "a=setup"),
        (VIDEO.replace("a=ice-pwd", "a=x"), 400, "ice-pwd"),
        (VIDEO.replace("a=fingerprint", "a=x"), 400, "fingerprint"),
        ("a" * (MAX_OFFER_CHARACTERS + 1), 400, "longer than"),
        (VIDEO + AUDIO[AUDIO.index("m=audio") :], 422, "takes one video track"),
        (VIDEO + VIDEO[VIDEO.index("m=video") :], 422, "2 media sections"),
        (VIDEO.replace("a=sendonly", "a=recvonly"), 422, "recvonly"),
        (VIDEO.replace("a=sendonly", "a=inactive"), 422, "inactive"),
        (VIDEO.replace("m=video 9", "m=video 0"), 422, "port is 0"),
        (VIDEO.replace("a=rtcp-mux\n", ""), 422, "rtcp-mux"),
        (VIDEO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), 422, "DTLS-SRTP"),
        (VIDEO.replace("sha-256", "sha-1"), 422, "SHA-256"),
        (VIDEO.replace("H264/90000", "H265/90000").replace("VP8/90000", "VP9/90000"), 422, "AV1, H265, VP9"),
        (AUDIO, 422, "'audio'"),
    ],
)
def test_refusals_name_their_reason(sdp: str, status: int, words: str) -> None:
    error = refusal(sdp)
    assert error.status == status
    assert words in error.message
    assert (error.code, error.field) == ("offer_refused", "sdp")


def test_audio_without_opus_is_refused() -> None:
    error = refusal(AUDIO.replace("opus/48000/2", "G722/8000"), "audio")
    assert "Opus" in error.message


@pytest.mark.parametrize(("setup", "waits"), [("actpass", False), ("active", False), ("passive", True)])
def test_who_begins_the_handshake(setup: str, waits: bool) -> None:
    offer = read_offer(VIDEO.replace("a=setup:actpass", f"a=setup:{setup}"), ("video",))
    assert offer.publisher_waits is waits


def test_unreadable_parameter_sets_are_left_out() -> None:
    assert read_offer(VIDEO.replace("Z0LAHw==", "***"), ("video",)).tracks[0].parameter_sets == ()


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_else(text: str) -> None:
    assert refusal(text).status in (400, 422)


@given(st.data())
def test_a_damaged_offer_is_accepted_or_refused_and_nothing_else(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from([VIDEO, AUDIO, BOTH])).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        start = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(start, len(line)))
        lines[at] = line[:start] + data.draw(st.text(max_size=12)) + line[end:]
    with contextlib.suppress(OfferRefused):
        read_offer("\n".join(lines), data.draw(st.sampled_from([("audio",), ("video",), ("audio", "video")])))


def test_sound_and_picture_are_taken_in_one_offer_over_one_transport() -> None:
    bundle_only = BOTH.replace("m=audio 9", "m=audio 0").replace(
        "a=ice-ufrag:4ZcD\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlVl\na=fingerprint:sha-256 "
        f"{FINGERPRINT}\na=setup:active\n",
        "",
    )
    assert bundle_only.count("a=fingerprint") == 1
    for sdp in (BOTH, bundle_only):
        offer = read_offer(sdp, KINDS)
        assert [(track.kind, track.codec, track.mid) for track in offer.tracks] == [
            ("video", Codec.H264, "0"),
            ("audio", Codec.OPUS, "a0"),
        ]
        assert [track.reduced_size_rtcp for track in offer.tracks] == [True, False]
        assert offer.bundled
        assert offer.ice.usernameFragment == "4ZcD"


@pytest.mark.parametrize(
    ("sdp", "words"),
    [
        (BOTH.replace("BUNDLE 0 a0", "BUNDLE 0"), "BUNDLE"),
        (BOTH.replace("a=group:BUNDLE 0 a0\n", ""), "BUNDLE"),
        (BOTH.replace("m=audio 9", "m=audio 0").replace("a=bundle-only\n", ""), "port is 0"),
        (BOTH.replace("opus/48000/2", "G722/8000"), "Opus"),  # never the picture alone
        (BOTH.replace("111", "104"), "same payload type"),
        (BOTH.replace("m=audio", "m=application"), "'application'"),
    ],
)
def test_two_tracks_that_cannot_both_be_taken_are_refused_together(sdp: str, words: str) -> None:
    with pytest.raises(OfferRefused) as caught:
        read_offer(sdp, KINDS)
    assert words in caught.value.message
    assert caught.value.status == 422
