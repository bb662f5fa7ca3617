import pytest

from workers.engines.loops import without_loops


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("No, no, no, no!", "No, no, no, no!"),
        ("it was the age of wisdom it was the age of foolishness", None),
        ("you " * 40, "you"),
        ("So, you you you you you you you see", "So, you see"),
        ("thank you. " * 5 + "Bye.", "thank you. Bye."),
        ("a b c " * 3, None),
        ("and one more time, " * 20 + "and one", "and one more time, and one"),
    ],
)
def test_what_is_said_over_and_over_is_said_once(said: str, kept: str | None) -> None:
    words = said.split()
    assert [words[at] for at in without_loops(words)] == (said if kept is None else kept).split()
