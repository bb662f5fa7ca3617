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
        ("All tests passed", "211 passed, 3 failed"),
        ("The alarm went off", "The alarm is quiet"),
        ("A payment was declined", "Payment succeeded"),
        ("Latency is above 500 ms", "900 requests, latency 120 ms"),
        ("More than 100 users are online", "54 users online, 200 registered"),
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
        ("Memory usage exceeds 8 GB", "70% used, memory 14 GB"),
        ("More than 100 users are online", "342 users online"),
        ("The server is down", "I will sit down with the server team"),
        ("The deployment succeeded", "Deployment not only succeeded, it was quick"),
    ],
)
def test_words_that_do_not(rule: str, text: str) -> None:
    assert not compare(rule_of(rule), text).contradicts


def test_how_a_rule_is_worded_is_left_out() -> None:
    assert rule_of("Alert me when someone mentions the budget").text == "the budget"
    assert rule_of("Tell us if Slack is visible on the screen").names == {"slack"}
    assert compare(rule_of("Somebody talks about pricing"), "Our pricing is simple").shared == 1.0


@pytest.mark.parametrize(
    ("rule", "text", "supposed"),
    [
        ("The budget was approved", "If the budget were approved we could hire.", True),
        ("The budget was approved", "Was the budget approved?", True),
        ("The budget was approved", "The board approved the budget.", False),
        ("Somebody asks for a refund", "Could I have my money back?", False),
        ("Someone mentions the budget", "The budget might be too small.", False),
    ],
)
def test_what_is_only_supposed_or_asked(rule: str, text: str, supposed: bool) -> None:
    assert compare(rule_of(rule), text).supposes is supposed


def test_words_of_compound_names_are_apart() -> None:
    assert compare(rule_of("A password is visible"), "export DB_PASSWORD=tulip").shared == 1.0
    assert compare(rule_of("A password is visible"), "checkPassword(user)").shared == 1.0
