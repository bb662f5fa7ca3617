from aiortc.rtp import RtcpPacket, RtcpRtpfbPacket

from app.ingest.whip.feedback import RECEIVE_CAP_BITS_PER_SECOND, FeedbackWriter, ReceiveCap


def test_nacks_say_exactly_what_is_missing_on_either_side_of_the_wrap() -> None:
    numbers = [65_530, 65_535, 65_536, 65_540, 65_700]
    packets = [p for data in FeedbackWriter().nacks(7, numbers) for p in RtcpPacket.parse(data)]
    assert all(isinstance(p, RtcpRtpfbPacket) and p.media_ssrc == 7 for p in packets)
    lost = [number for p in packets if isinstance(p, RtcpRtpfbPacket) for number in p.lost]
    assert lost == [65_530, 65_535, 0, 4, 164]


def test_the_cap_stays_through_short_losses() -> None:
    cap = ReceiveCap()
    for loss in (0.5, 0.5, 0.0, 0.5, 0.05, 0.3, 0.3):
        cap.on_interval(loss, 2_000_000)
    assert cap.bits_per_second == RECEIVE_CAP_BITS_PER_SECOND


def test_the_cap_falls_under_lasting_loss_and_comes_back() -> None:
    cap = ReceiveCap()
    for _ in range(3):
        cap.on_interval(0.2, 2_000_000)
    assert cap.bits_per_second == 1_700_000
    for _ in range(50):
        cap.on_interval(0.2, 100)
    assert cap.bits_per_second == 300_000
    for _ in range(60):
        cap.on_interval(0.0, 2_000_000)
    assert cap.bits_per_second == RECEIVE_CAP_BITS_PER_SECOND
