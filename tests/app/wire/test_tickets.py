from pathlib import Path

import itsdangerous.timed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import Unauthenticated, Unavailable
from app.base.settings import Settings
from app.wire.tickets import SOCKET_TICKET_SECONDS, SocketTicket, read_ticket, sign_ticket

SETTINGS = Settings(secret_key="one secret", data_dir=Path("none"))
TICKET = SocketTicket("acc-1", "c-1")


def test_a_ticket_is_read_by_who_signed_it() -> None:
    text = sign_ticket(SETTINGS, TICKET)
    assert read_ticket(SETTINGS, text) == TICKET
    assert "/" not in text
    assert "one secret" not in text
    with pytest.raises(Unauthenticated):
        read_ticket(SETTINGS.model_copy(update={"secret_key": Settings(secret_key="x").secret_key}), text)


def test_a_ticket_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sign_ticket(SETTINGS, TICKET)
    now = itsdangerous.timed.time.time()
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now + SOCKET_TICKET_SECONDS + 2)
    with pytest.raises(Unauthenticated):
        read_ticket(SETTINGS, text)


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(Unavailable, match="CAPTURE_SECRET_KEY"):
        sign_ticket(SETTINGS.model_copy(update={"secret_key": None}), TICKET)


@given(st.text() | st.binary().map(repr) | st.just("a.b.c") | st.just(""))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        read_ticket(SETTINGS, text)
