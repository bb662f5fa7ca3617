"""What a text may say of an evidence, and what it may not."""

import pytest

from workers.engines.grounding import Evidence, is_quoted

EVIDENCE = Evidence(
    "Invoice 2026-117 for Müller GmbH\nTotal: 1,250.00 EUR, due 05 May\nAnna said it was sent at 10:32:05\n"
    "BuildFailed in src/app.py\nTwelve items, version 2.3.1"
)


@pytest.mark.parametrize(
    "text",
    [
        "The invoice 2026-117 is due on 5 May.",
        "A total of 1250.00 EUR was asked for.",
        "Anna's invoice was sent at 10:32.",
        "Müller GmbH has twelve items; 12 of them are listed.",
        'It says "Total: 1,250.00 EUR" and “invoice 2026-117”.',
        "The screen shows “Invoice … for Müller GmbH”.",
        "Build Failed is shown for src/app.py.",
        "Sending it worked. Nobody replied, however.",
        "Version 2.3.1 is listed on the Page.",
    ],
)
def test_what_the_evidence_holds(text: str) -> None:
    assert EVIDENCE.lacks(text) is None


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("The total is 1,251 EUR.", "1,251"),
        ("It is due on 6 May.", "6"),
        ("It is due in June.", "June"),
        ("Bob said so.", "Bob"),
        ("It was sent by bob@example.com.", "bob@example.com"),
        ("It was sent at 10:33.", "10:33"),
        ("Three items are listed.", "three"),
        ("It says 'nothing was sent' there.", "nothing was sent"),
        ("The page says “Invoice … for Meier”.", "Meier"),
    ],
)
def test_what_it_does_not(text: str, missing: str) -> None:
    assert missing in (EVIDENCE.lacks(text) or "")


def test_how_much_of_a_text_is_the_evidences() -> None:
    assert EVIDENCE.share("The invoice was sent.") == 1.0
    assert EVIDENCE.share("A cat sleeps on an invoice.") == pytest.approx(1 / 3)
    assert EVIDENCE.share("A cat sleeps.", known="What do cats do?") == 0.5
    assert EVIDENCE.share("It is what it is.") == 1.0


def test_quotes_are_found_whatever_their_blanks_and_signs() -> None:
    assert is_quoted("build failed", "BUILD FAILED: 2")
    assert not is_quoted("build passed", "BUILD FAILED: 2")
    assert not is_quoted("2", "BUILD FAILED: 2")
    assert not is_quoted("", "BUILD FAILED: 2")
