import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.editor.geometry import Box, cropped, fitted_size, window
from app.media.editor.timeline import Crop, Fit


@pytest.mark.parametrize(
    ("fit", "scale", "size"),
    [
        ("crop", 1, (320, 180)),
        ("contain", 1, (180, 102)),
        ("cover", 1, (180, 180)),
        ("none", 1, (640, 360)),
        ("none", 0.5, (320, 180)),
        ("contain", 0, (0, 0)),
    ],
)
def test_fitted_size(fit: Fit, scale: float, size: tuple[int, int]) -> None:
    assert fitted_size(640, 360, (180, 180), fit, scale) == size


def test_a_crop_is_in_shares_below_one_and_in_pixels_above() -> None:
    assert cropped(Crop(left=0.25, top=10), 400, 300) == Box(100, 10, 300, 290)
    assert cropped(Crop(left=300, right=300), 400, 300).width == 0


@given(
    length=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    size=st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    at=st.tuples(st.integers(-30_000, 5000), st.integers(-30_000, 5000)),
    canvas=st.tuples(st.integers(8, 2048), st.integers(8, 2048)),
)
def test_a_window_lies_inside_its_source_and_its_canvas(
    length: tuple[int, int], size: tuple[int, int], at: tuple[int, int], canvas: tuple[int, int]
) -> None:
    canvas = canvas[0] * 2, canvas[1] * 2
    found = window(Box(7, 9, *length), (size[0] * 2, size[1] * 2), at, canvas)
    if found is None:
        return
    source, seen = found.source, found.visible
    assert 7 <= source.left < source.left + source.width <= 7 + length[0]
    assert 9 <= source.top < source.top + source.height <= 9 + length[1]
    assert 0 <= seen.left <= seen.left + seen.width <= found.scaled[0]
    assert 0 <= seen.top <= seen.top + seen.height <= found.scaled[1]
    assert 0 <= found.left <= found.left + seen.width <= canvas[0]
    assert 0 <= found.top <= found.top + seen.height <= canvas[1]
    assert found.left % 2 == found.top % 2 == seen.width % 2 == seen.height % 2 == 0
