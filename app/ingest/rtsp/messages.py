"""RTSP 1.0 requests and answers as text (RFC 2326), as far as a publisher's exchange needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_BODY_BYTES = 16 * 1024  # the recorder's description of its track has about 300
_MAX_HEADERS = 64
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class MalformedMessage(ValueError):
    """What arrived is no RTSP request, or is larger than one may be."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is that of the URL, without the slash it begins with; header names are in lower case."""

    method: str
    path: str
    cseq: int
    headers: Mapping[str, str]

    @property
    def body_bytes(self) -> int:
        """Length of the body that follows. Raises `MalformedMessage` for none that could be."""
        return _number(self.headers.get("content-length", "0"), MAX_BODY_BYTES)


def parse_request(head: bytes) -> Request:
    """Read a request's line and headers, up to the empty line. Raises `MalformedMessage`."""
    try:
        lines = head.decode("utf-8").replace("\r\n", "\n").strip("\n").split("\n")
        method, url, version = lines[0].split(" ")
        path = urlsplit(url).path.removeprefix("/")
    except ValueError:
        raise MalformedMessage("not an RTSP request") from None
    if version != "RTSP/1.0" or not method.isascii() or not method.isupper():
        raise MalformedMessage("not an RTSP 1.0 request")
    if len(lines) > _MAX_HEADERS:
        raise MalformedMessage("too many headers")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessage("a header without a colon")
        headers[name.strip().lower()] = value.strip()
    return Request(method, path, _number(headers.get("cseq", ""), 2**31), headers)


def render_response(status: int, cseq: int, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer without a body."""
    fields = {"CSeq": str(cseq), **(headers or {})}
    lines = [f"RTSP/1.0 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > largest:
        raise MalformedMessage("a number that is none, or is too large")
    return int(text)
