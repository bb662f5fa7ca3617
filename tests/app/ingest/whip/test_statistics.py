from app.ingest.whip.statistics import ReceptionStatistics


def test_a_report_counts_losses_of_its_interval_and_in_all() -> None:
    statistics = ReceptionStatistics(ssrc=5, clock_rate_hz=48_000)
    assert statistics.close_interval(0.0) is None
    for number in range(65_530, 65_630):
        if number % 10:
            statistics.on_packet(number & 0xFFFF, number * 960, number * 0.02)
    report = statistics.close_interval(1.0)
    assert report is not None
    assert (report.ssrc, report.packets_lost, report.highest_sequence) == (5, 9, 65_629)
    assert report.fraction_lost == 256 * 9 // 99
    assert report.jitter <= 1
    statistics.on_packet(65_630 & 0xFFFF, 65_630 * 960, 65_630 * 0.02)
    again = statistics.close_interval(2.0)
    assert again is not None
    assert (again.fraction_lost, again.packets_lost) == (0, 9)


def test_jitter_follows_rfc_3550() -> None:
    statistics = ReceptionStatistics(ssrc=5, clock_rate_hz=1000)
    for number in range(400):
        statistics.on_packet(number, number * 20, number * 0.020 + (0.008 if number % 2 else 0.0))
    report = statistics.close_interval(10.0)
    assert report is not None
    assert report.jitter in (7, 8)
