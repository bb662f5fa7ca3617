import pytest

from app.media.editor.colours import Colour, read_ass_colour, read_colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#1a2b3c", Colour(0x1A, 0x2B, 0x3C)),
        ("#fff", Colour(255, 255, 255)),
        ("red", Colour(255, 0, 0)),
        ("0x00FF00", Colour(0, 255, 0)),
        ("black@0.5", Colour(0, 0, 0, 128)),
    ],
)
def test_colours(text: str, colour: Colour) -> None:
    assert read_colour(text) == colour


@pytest.mark.parametrize("value", ["", "#12", "reddish", "red@2", "red@x", "red@nan", 7, None])
def test_what_is_no_colour(value: object) -> None:
    with pytest.raises(ValueError, match="colour"):
        read_colour(value)


def test_ass_colours_are_blue_first_and_transparent_by_their_alpha() -> None:
    assert read_ass_colour("&H80FF0010") == Colour(16, 0, 255, 127)
    assert read_ass_colour("&H0000FF&") == Colour(255, 0, 0)
    for value in ("#ffffff", "&HGG", "&H123456789", 3):
        with pytest.raises(ValueError, match="ASS"):
            read_ass_colour(value)
