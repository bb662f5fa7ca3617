import pytest

from workers.matching.words import compare, rule_of


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("The build failed", "Build succeeded"),
        ("The build failed", "The build did not fail"),
        ("An error is shown", "compiled without errors"),
        ("Tests are failing", "0 failed"),
        ("CPU usage is above 90%", "CPU usage 35% of 95"),
        ("The temperature is below 10 degrees", "temperature 12.5"),
        ('The word "confidential" appears', "secret"),
        ("Error 404", "Error 500"),
        ("The customer does not agree", "The customer agrees"),
    ],
)
def test_words_that_stand_against_a_rule(rule: str, text: str) -> None:
    assert compare(rule_of(rule), text).contradicts


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("The build failed", "3 passed, 1 failed"),
        ("CPU usage is above 90%", "CPU usage 97%"),
        ('The word "confidential" appears', "CONFIDENTIAL - internal"),
        ("Error 404", "404 error"),
        ("The deployment succeeded", "Deployment not only succeeded, it was quick"),
    ],
)
def test_words_that_do_not(rule: str, text: str) -> None:
    assert not compare(rule_of(rule), text).contradicts


def test_how_a_rule_is_worded_is_left_out() -> None:
    assert rule_of("Alert me when someone mentions the budget").text == "the budget"
    assert rule_of("Tell us if Slack is visible on the screen").names == {"slack"}
    assert compare(rule_of("Somebody talks about pricing"), "Our pricing is simple").shared == 1.0
