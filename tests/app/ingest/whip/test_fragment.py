import pytest

from app.base.errors import InvalidRequest
from app.ingest.whip.fragment import read_fragment
from app.ingest.whip.offer import MAX_CANDIDATES

CREDENTIALS = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
CANDIDATE = "a=candidate:1 1 {transport} 2122260223 {address} 61764 typ host\r\n"


def test_what_can_be_used_of_a_fragment_is_read() -> None:
    fragment = read_fragment(
        CREDENTIALS
        + "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        + CANDIDATE.format(transport="udp", address="192.0.2.1")
        + CANDIDATE.format(transport="tcp", address="192.0.2.1")
        + CANDIDATE.format(transport="udp", address="host.local")
        + "a=end-of-candidates\r\n"
    )
    assert (fragment.user_name, fragment.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [candidate.ip for candidate in fragment.candidates] == ["192.0.2.1"]


def test_more_candidates_than_anyone_has_are_left_out() -> None:
    many = CANDIDATE.format(transport="udp", address="192.0.2.1") * (MAX_CANDIDATES + 5)
    assert len(read_fragment(CREDENTIALS + many).candidates) == MAX_CANDIDATES


@pytest.mark.parametrize(
    "text", ["", "nothing", "a=mid:0\r\n", "a=ice-ufrag:EsAw\r\n", CREDENTIALS + "a=candidate:1 1\r\n"]
)
def test_what_is_no_fragment_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_fragment(text)
