from datetime import UTC, datetime, timedelta

import pytest

from app.domain.webhooks.schedule import MAX_ATTEMPTS, RETRY_SECONDS, parse_retry_after, retry_at

NOW = datetime(2026, 1, 20, 12, 0, tzinfo=UTC)
DAY = 86_400


def test_ten_attempts_take_three_days_and_a_bit() -> None:
    assert MAX_ATTEMPTS == 10
    at = NOW
    for attempts in range(1, MAX_ATTEMPTS):
        following = retry_at(attempts, at, 0.5, None)
        assert following is not None
        at = following
    assert at - NOW == timedelta(hours=75, minutes=35, seconds=5)
    assert retry_at(MAX_ATTEMPTS, at, 0.5, None) is None


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_waits_vary_by_a_tenth(chance: float) -> None:
    for attempts, seconds in enumerate(RETRY_SECONDS, 1):
        at = retry_at(attempts, NOW, chance, None)
        assert at is not None
        assert (at - NOW).total_seconds() == pytest.approx(seconds * (0.9 + 0.2 * chance))


@pytest.mark.parametrize(("asked", "seconds"), [(120.0, 120), (1.0, 5), (10.0 * DAY, DAY), (None, 5)])
def test_a_receiver_may_ask_for_more_time_up_to_a_day(asked: float | None, seconds: int) -> None:
    at = retry_at(1, NOW, 0.5, asked)
    assert at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Tue, 20 Jan 2026 12:00:30 GMT", 30.0),
        ("Tue, 20 Jan 2026 11:00:00 GMT", None),
        ("9" * 400, float("9" * 12)),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_both_forms_and_none(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
