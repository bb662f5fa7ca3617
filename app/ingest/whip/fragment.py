"""Reading what a publisher sends after its offer: ICE candidates in an SDP fragment (RFC 8840 section 9)."""

from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from app.base.errors import InvalidRequest
from app.ingest.whip.offer import MAX_CANDIDATES, is_reachable


@dataclass(frozen=True, slots=True)
class IceFragment:
    """`user_name` and `password` name the publisher's side of an ICE session."""

    user_name: str
    password: str
    candidates: tuple[RTCIceCandidate, ...]  # those that can be used here; the others are left out


def read_fragment(text: str) -> IceFragment:
    """Read `application/trickle-ice-sdpfrag`. Raises `InvalidRequest` where it is malformed."""
    attributes: dict[str, str] = {}
    candidates: list[RTCIceCandidate] = []
    for line in text.splitlines():
        if not line:
            continue
        if line[1:2] != "=":
            raise InvalidRequest("the fragment is not SDP", field="body")
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if name == "candidate":
            try:
                candidates.append(candidate_from_sdp(value))
            except Exception as error:  # The parser indexes and asserts as it goes.
                raise InvalidRequest("the fragment holds a malformed candidate", field="body") from error
        elif name:
            attributes.setdefault(name, value)
    if not attributes.get("ice-ufrag") or not attributes.get("ice-pwd"):
        raise InvalidRequest("the fragment lacks a=ice-ufrag or a=ice-pwd", field="body")
    usable = tuple(filter(is_reachable, candidates))[:MAX_CANDIDATES]
    return IceFragment(attributes["ice-ufrag"], attributes["ice-pwd"], usable)
