import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.rtsp.announcement import read_announcement
from app.ingest.rtsp.frame_clock import RecorderClock
from app.ingest.rtsp.track import TrackReader
from app.media.annexb import nal_units
from app.media.frames import Codec, EncodedFrame
from tests.fixtures.media import aac_units, h264_frames, tone
from tests.fixtures.recorder_media import (
    AUDIO_SDP,
    SILENT_UNIT,
    VIDEO_SDP,
    RtpSender,
    Screen,
    Sound,
    with_trailer,
)

EPOCH = 1_760_000_000.0
UNITS = aac_units(tone(1.0))
FRAMES = h264_frames(seconds=2, keyframe_seconds=1.0, width=640, height=360)


class Bench:
    """A reader whose frames are collected; media arrives 50 ms after it was captured."""

    def __init__(self, sdp: str) -> None:
        self.frames: list[EncodedFrame] = []
        self.full = False
        self.reader = TrackReader(read_announcement(sdp.encode()), RecorderClock(), self._deliver)

    def _deliver(self, frame: EncodedFrame) -> bool:
        if not self.full:
            self.frames.append(frame)
        return not self.full

    def take(self, packet: bytes, captured: float = EPOCH) -> None:
        self.reader.on_rtp(packet, round((captured + 0.05) * 1e6))


def rtp(payload: bytes, number: int = 1, timestamp: int = 0, payload_type: int = 97) -> bytes:
    return struct.pack(">BBHII", 0x80, 0x80 | payload_type, number & 0xFFFF, timestamp, 7) + payload


def test_sound_keeps_its_bytes_and_its_times() -> None:
    bench, sender = Bench(AUDIO_SDP), RtpSender(Sound(), EPOCH)
    for number, unit in enumerate(UNITS):
        captured = EPOCH + number * 0.021
        for packet in sender.packetised(unit.data, captured):
            bench.take(packet, captured)
    assert [frame.data for frame in bench.frames] == [unit.data for unit in UNITS]
    wanted = [round((EPOCH + number * 0.021) * 1e6) for number in range(len(UNITS))]
    assert [frame.captured_at_us for frame in bench.frames] == wanted
    assert {frame.codec for frame in bench.frames} == {Codec.AAC}
    assert {frame.description for frame in bench.frames} == {b"\x11\x90"}
    assert not any(frame.after_gap for frame in bench.frames)


def test_pictures_have_the_times_of_their_sync_data_whatever_rtp_says() -> None:
    bench, sender = Bench(VIDEO_SDP), RtpSender(Screen(), EPOCH)
    captured = [EPOCH + number * 0.37 for number in range(len(FRAMES))]
    for frame, at in zip(FRAMES, captured, strict=True):
        for packet in sender.packetised(frame.data, at):
            bench.take(packet, at)
    assert [frame.captured_at_us for frame in bench.frames] == [round(at * 1e6) for at in captured]
    assert [nal_units(frame.data) for frame in bench.frames] == [nal_units(frame.data) for frame in FRAMES]
    assert [frame.is_keyframe for frame in bench.frames] == [frame.is_keyframe for frame in FRAMES]
    assert bench.reader.counters.lost == 0


def test_a_paused_mic_stays_its_silent_frame() -> None:
    bench = Bench(AUDIO_SDP)
    for packet in RtpSender(Sound(), EPOCH).packetised(SILENT_UNIT, EPOCH + 1):
        bench.take(packet, EPOCH + 1)
    assert [frame.data for frame in bench.frames] == [SILENT_UNIT]


def test_behind_skipped_packets_pictures_wait_for_a_key_frame() -> None:
    bench, sender = Bench(VIDEO_SDP), RtpSender(Screen(), EPOCH)
    packets = [list(sender.packetised(frame.data, EPOCH)) for frame in FRAMES]
    for number, group in enumerate(packets):
        for packet in group[1:] if number == 5 else group:
            bench.take(packet)
    keys = [number for number, frame in enumerate(FRAMES) if frame.is_keyframe]
    assert len(bench.frames) == 5 + len(FRAMES) - keys[1]
    assert bench.frames[5].is_keyframe
    assert bench.frames[5].after_gap
    assert bench.reader.counters.lost == 1


def test_several_units_of_a_packet_come_out_apart() -> None:
    bench = Bench(AUDIO_SDP)
    units = [with_trailer(unit.data, EPOCH, EPOCH + number) for number, unit in enumerate(UNITS[:3])]
    headers = b"".join(struct.pack(">H", len(unit) << 3) for unit in units)
    bench.take(rtp(struct.pack(">H", 48) + headers + b"".join(units)))
    assert [frame.data for frame in bench.frames] == [unit.data for unit in UNITS[:3]]
    assert [frame.timestamp - bench.frames[0].timestamp for frame in bench.frames] == [0, 1024, 2048]
    assert [frame.captured_at_us for frame in bench.frames] == [round((EPOCH + n) * 1e6) for n in range(3)]


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"\x00\x10", b"\x00\x10\xff\xf8abc", b"\x00\x0f\x00\x08a", b"\x00\x10\x00\x00"]
)
def test_malformed_sound_is_counted_and_left_out(payload: bytes) -> None:
    bench = Bench(AUDIO_SDP)
    bench.take(rtp(payload))
    assert not bench.frames
    assert bench.reader.counters.malformed == 1


def test_a_reader_that_falls_behind_is_told_of_the_gap() -> None:
    bench, sender = Bench(AUDIO_SDP), RtpSender(Sound(), EPOCH)
    for number, unit in enumerate(UNITS[:6]):
        bench.full = number in (2, 3)
        for packet in sender.packetised(unit.data, EPOCH):
            bench.take(packet)
    assert [frame.after_gap for frame in bench.frames] == [False, False, True, False]
    assert bench.reader.counters.dropped_frames == 2


def test_sound_without_sync_data_goes_by_rtp_and_the_reports_that_count() -> None:
    bench = Bench(AUDIO_SDP)
    payload = struct.pack(">HH", 16, len(UNITS[0].data) << 3) + UNITS[0].data
    first = struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, int(EPOCH) + 2_208_988_800, 0, 0xDEADBEEF, 0, 0)
    for number in range(200):
        bench.take(rtp(payload, number, number * 1024), EPOCH + number * 1024 / 48_000)
        if number == 1:
            bench.reader.on_rtcp(first, round(EPOCH * 1e6))
    gaps = [frame.captured_at_us - bench.frames[0].captured_at_us for frame in bench.frames]
    assert gaps == pytest.approx([round(number * 1024e6 / 48_000) for number in range(200)], abs=2_000)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans(), st.booleans())
def test_whatever_arrives_never_raises(payloads: list[bytes], audio: bool, framed: bool) -> None:
    bench = Bench(AUDIO_SDP if audio else VIDEO_SDP)
    for number, payload in enumerate(payloads):
        packet = rtp(payload, number, payload_type=97 if audio else 96) if framed else payload
        bench.take(packet)
        bench.reader.on_rtcp(payload, 0)
        bench.reader.on_rtcp(b"\x80\xc8" + payload, 0)
    assert all(frame.data for frame in bench.frames)


def test_frames_are_what_the_muxer_takes() -> None:
    bench = Bench(AUDIO_SDP)
    for packet in RtpSender(Sound(), EPOCH).packetised(UNITS[0].data, EPOCH):
        bench.take(packet)
    frame = bench.frames[0]
    same = UNITS[0]._replace(captured_at_us=frame.captured_at_us, timestamp=frame.timestamp)
    assert frame == same
