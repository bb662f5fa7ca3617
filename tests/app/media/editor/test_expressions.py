import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.editor.expressions import Expression

SIZES = {"main_w": 1280.0, "main_h": 720.0, "text_w": 200.0, "text_h": 50.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(main_w-text_w)/2", 540),
        ("h-th-10", 660),
        ("W*0.1 + -tw", -72),
        (20, 20),
        ("1/(w-1280)", 0),
        ("1e999 - 1e999", 0),
        ("9e99", 100_000),
    ],
)
def test_values(text: str | float, value: float) -> None:
    assert Expression(text).evaluate(SIZES) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rand()",
        "main_w.x",
        "__import__('os')",
        "w**w",
        "t*10",
        "True",
        "'a'*9",
        "1" * 101,
        "w if h else 1",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match=r"(expression|numbers|characters)"):
        Expression(text)


@given(st.text(alphabet="main_wtexh()+-*/.0123456789 e", max_size=60))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    try:
        expression = Expression(text)
    except ValueError:
        return
    assert -100_000 <= expression.evaluate(SIZES) <= 100_000
