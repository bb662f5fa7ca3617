import pytest

from app.pages.ranges import RangeNotSatisfiable, read_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=10-19", (10, 19)),
        ("bytes=90-", (90, 99)),
        ("bytes=90-1000", (90, 99)),
        ("bytes=-10", (90, 99)),
        ("bytes=-1000", (0, 99)),
        (" Bytes=5-6 ", (5, 6)),
    ],
)
def test_one_range_is_read(header: str, expected: tuple[int, int]) -> None:
    assert read_range(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,5-6",
        "lines=1-2",
        "bytes=a-b",
        f"bytes={'9' * 5000}-",
    ],
)
def test_others_are_ignored(header: str | None) -> None:
    assert read_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable, match="100 bytes"):
        read_range(header, 100)
