from collections.abc import Sequence

from workers.describing.screens import Shown, describe_screens
from workers.engines.contract import ScreenLine


def screen(*texts: str, at_us: int = 0, heights: dict[str, int] | None = None) -> Shown:
    """Lines from the top down, the first one in the title bar."""
    lines = []
    for number, text in enumerate(texts):
        top = 20 + number * 40 + (80 if number else 0)
        height = (heights or {}).get(text, 16)
        lines.append(ScreenLine(text, 50, top, 50 + height // 2 * len(text), top + height, 0.99))
    return Shown(f"frm-{at_us}", at_us, lines, 720)


def near(*words: str):  # type: ignore[no-untyped-def]
    def closeness(texts: Sequence[str]) -> list[float]:
        return [1.0 if any(word in text for word in words) else 0.0 for text in texts]

    return closeness


REPORT = (
    "Report.txt - Editor",
    "Quarterly report",
    "Revenue grew by 12 percent",
    "Costs stayed where they were",
)


def test_title_heading_and_text() -> None:
    described = describe_screens([screen(*REPORT, heights={"Quarterly report": 30})], None, None)
    assert described.text == (
        "The screen shows “Report.txt - Editor”, headed “Quarterly report”."
        " It reads: Revenue grew by 12 percent; Costs stayed where they were."
    )
    assert described.details["title"] == "Report.txt - Editor"
    assert described.details["headings"] == ["Quarterly report"]
    assert described.details["frame_ids"] == ["frm-0"]


def test_the_prompt_chooses_what_is_read_out() -> None:
    texts = [f"Line {number} says nothing of interest" for number in range(20)]
    texts.insert(13, "error: disk is full")
    described = describe_screens([screen("Terminal", *texts)], None, near("error"))
    assert "error: disk is full" in described.text
    assert described.text.count("nothing of interest") == 7


def test_what_is_new_is_said_although_the_reading_is_a_letter_off() -> None:
    before = screen(*REPORT)
    after = screen(*REPORT[:-1], "Costs stayed where they vvere", "Approved by the board", at_us=1)
    described = describe_screens([after], before, None)
    assert "New is: Approved by the board." in described.text
    assert described.details["appeared"] == ["Approved by the board"]
    assert described.details["changed"] is True


def test_an_unchanged_screen_says_so() -> None:
    described = describe_screens([screen(*REPORT, at_us=1)], screen(*REPORT), None)
    assert described.text.startswith("The screen still shows “Report.txt - Editor”")
    assert "New is" not in described.text
    assert described.details["changed"] is False


def test_a_clock_that_goes_on_is_nothing_new() -> None:
    described = describe_screens([screen(*REPORT, "10:42 AM", at_us=1)], screen(*REPORT, "10:41 AM"), None)
    assert described.details["changed"] is False
    assert "10:42 AM" in described.text
    priced = describe_screens([screen(*REPORT, "12.50", at_us=1)], screen(*REPORT, "12.40"), None)
    assert priced.details["changed"] is True


def test_what_came_and_went_in_between_is_told() -> None:
    passing = screen(*REPORT, "Battery is low", at_us=1)
    described = describe_screens([passing, screen(*REPORT, at_us=2)], screen(*REPORT), None)
    assert "Shown in between: Battery is low." in described.text


def test_a_screen_without_text_says_nothing_that_is_not_there() -> None:
    empty = Shown("frm-0", 0, [], 720)
    assert describe_screens([empty], None, None).text == "The screen shows no text."
    assert describe_screens([empty], empty, None).text == "The screen still shows no text."
    specks = screen("|", "-", "°")
    assert describe_screens([specks], None, None).text == "The screen shows no text."


def test_a_wall_of_text_stays_short() -> None:
    texts = [f"{number} " + "word " * 60 for number in range(50)]
    described = describe_screens([screen("Title", *texts)], None, None)
    assert len(described.text) < 1200


def test_the_title_is_no_clock_and_the_leftmost_of_its_row() -> None:
    clock = ScreenLine("00:00:05.0", 1150, 8, 1250, 24, 0.99)
    menu = ScreenLine("File Edit View", 300, 9, 420, 25, 0.99)
    title = ScreenLine("Demo desktop", 16, 10, 130, 26, 0.99)
    shown = Shown("frm-0", 0, [clock, menu, title], 720)
    assert describe_screens([shown], None, None).details["title"] == "Demo desktop"
    only_clock = Shown("frm-0", 0, [clock], 720)
    assert describe_screens([only_clock], None, None).details["title"] is None
