from app.ingest.whip.assembler import AssembledFrame, FrameAssembler, PacketFrames
from app.ingest.whip.depacketizers import H264Depacketizer, Vp8Depacketizer
from app.ingest.whip.packets import RtpPacket
from app.ingest.whip.statistics import TrackCounters

SPS, PPS = bytes.fromhex("6742c01f"), bytes.fromhex("68ce3c80")
KEY = b"\x78\x00\x04" + SPS + b"\x00\x04" + PPS + b"\x00\x03\x65\x88\x01"
DELTA = b"\x41\x9a\x01"
FU_FIRST, FU_MIDDLE, FU_LAST = b"\x5c\x81\x9a\x01", b"\x5c\x01\x02", b"\x5c\x41\x03"


class Line:
    """Feeds an assembler, numbering the packets; `lose` leaves one out."""

    def __init__(self, assembler: FrameAssembler | PacketFrames) -> None:
        self.assembler = assembler
        self._lost = False

    def send(self, timestamp: int, payload: bytes, *, marker: bool = True) -> list[AssembledFrame]:
        packet = RtpPacket(96, marker, 0, timestamp, 1, payload, after_loss=self._lost)
        self._lost = False
        return list(self.assembler.push(packet))

    def lose(self) -> None:
        self._lost = True


def video() -> tuple[Line, TrackCounters]:
    counters = TrackCounters()
    return Line(FrameAssembler(H264Depacketizer(), counters)), counters


def test_a_marker_ends_a_frame() -> None:
    line, _ = video()
    (key,) = line.send(0, KEY)
    assert (key.is_keyframe, key.after_gap, key.timestamp) == (True, False, 0)
    assert not line.send(3000, FU_FIRST, marker=False)
    assert not line.send(3000, FU_MIDDLE, marker=False)
    (delta,) = line.send(3000, FU_LAST)
    assert (delta.data, delta.is_keyframe) == (b"\x00\x00\x00\x01\x41\x9a\x01\x02\x03", False)


def test_a_new_timestamp_ends_a_frame_whose_sender_sets_no_marker() -> None:
    line, _ = video()
    assert not line.send(0, KEY, marker=False)
    assert [frame.timestamp for frame in line.send(3000, DELTA, marker=False)] == [0]


def test_nothing_passes_before_the_first_key_frame() -> None:
    line, counters = video()
    assert not line.send(0, DELTA)
    assert line.assembler.needs_keyframe
    (key,) = line.send(3000, KEY)
    assert not key.after_gap
    assert counters.dropped_frames == 1


def test_nothing_passes_between_a_lost_frame_and_the_next_key_frame() -> None:
    line, counters = video()
    line.send(0, KEY)
    line.lose()
    assert not line.send(6000, DELTA)
    assert not line.send(9000, DELTA)
    (key,) = line.send(12000, KEY)
    assert key.after_gap
    (delta,) = line.send(15000, DELTA)
    assert not delta.after_gap
    assert counters.dropped_frames == 2


def test_a_loss_inside_a_frame_drops_it() -> None:
    line, counters = video()
    line.send(0, KEY)
    line.send(3000, FU_FIRST, marker=False)
    line.lose()
    assert not line.send(3000, FU_LAST)
    assert (counters.dropped_frames, line.assembler.needs_keyframe) == (1, True)


def test_a_lost_end_drops_that_frame_and_keeps_a_key_frame_behind_it() -> None:
    line, _ = video()
    line.send(0, KEY)
    line.send(3000, FU_FIRST, marker=False)
    line.lose()
    (key,) = line.send(6000, KEY)
    assert (key.timestamp, key.after_gap) == (6000, True)


def test_a_key_frame_that_lost_its_start_does_not_pass() -> None:
    line, _ = video()
    line.send(0, KEY)
    line.lose()
    middle_of_idr, end_of_idr = b"\x7c\x05\x01", b"\x7c\x45\x01"
    assert not line.send(3000, middle_of_idr, marker=False)
    assert not line.send(3000, end_of_idr)
    assert line.assembler.needs_keyframe


def test_joining_in_the_middle_of_a_frame_waits_for_the_next_key_frame() -> None:
    line, _ = video()
    assert not line.send(0, b"\x7c\x45\x01")
    assert len(line.send(3000, KEY)) == 1


def test_a_malformed_payload_counts_as_a_loss() -> None:
    line, counters = video()
    line.send(0, KEY)
    assert not line.send(3000, b"\x7c")
    assert (counters.malformed, counters.dropped_frames, line.assembler.needs_keyframe) == (1, 1, True)


def test_padding_is_no_frame() -> None:
    line, counters = video()
    line.send(0, KEY)
    assert not line.send(0, b"", marker=False)
    assert len(line.send(3000, DELTA)) == 1
    assert counters.dropped_frames == 0


def test_a_taker_that_is_full_can_mark_a_gap_while_it_takes() -> None:
    line, _ = video()
    for _ in line.assembler.push(RtpPacket(96, True, 0, 0, 1, KEY)):
        line.assembler.mark_gap()
    assert not line.send(3000, DELTA)
    (key,) = line.send(6000, KEY)
    assert key.after_gap


def test_vp8_frames_obey_the_same_rule() -> None:
    line = Line(FrameAssembler(Vp8Depacketizer(), TrackCounters()))
    key, delta = b"\x10\x00key", b"\x10\x01delta"
    assert len(line.send(0, key)) == 1
    line.lose()
    assert not line.send(3000, delta)
    assert [frame.after_gap for frame in line.send(6000, key)] == [True]


def test_a_lost_opus_packet_only_marks_the_next() -> None:
    line = Line(PacketFrames())
    assert [frame.after_gap for frame in line.send(0, b"a", marker=False)] == [False]
    line.lose()
    assert [frame.after_gap for frame in line.send(1920, b"b", marker=False)] == [True]
    assert [frame.after_gap for frame in line.send(2880, b"c", marker=False)] == [False]


def test_padding_does_not_hide_that_opus_was_lost() -> None:
    line = Line(PacketFrames())
    assert [frame.data for frame in line.send(0, b"a", marker=False)] == [b"a"]
    line.lose()
    assert not line.send(0, b"", marker=False)
    assert [frame.after_gap for frame in line.send(1920, b"b", marker=False)] == [True]


def test_a_taker_that_refuses_the_first_of_two_frames_gets_no_second_built_on_it() -> None:
    line, _ = video()
    line.send(0, KEY)
    line.send(3000, DELTA, marker=False)
    taken = []
    for frame in line.assembler.push(RtpPacket(96, True, 0, 6000, 1, DELTA)):
        taken.append(frame.timestamp)
        line.assembler.mark_gap()
    assert taken == [3000]
