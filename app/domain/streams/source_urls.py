"""URLs of sources: which are taken, and how they are shown."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from app.base.errors import InvalidRequest

Protocol = Literal["rtsp", "rtmp", "hls"]

_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
_PROTOCOLS: dict[str, Protocol] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtmp": "rtmp",
    "rtmps": "rtmp",
    "http": "hls",
    "https": "hls",
}
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A source's URL in its parts. `has_tls` says that the connection is encrypted from its start."""

    protocol: Protocol
    host: str
    port: int
    has_tls: bool
    parts: SplitResult


def read_source_url(url: str) -> SourceUrl:
    """Take a URL apart. Raises `InvalidRequest`, which does not repeat it, for one that is not taken."""
    if not url or len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest(f"url must be a URL of at most {_LONGEST} printable characters", field="url")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequest("url is not a URL", field="url") from None
    if parts.scheme not in _PROTOCOLS:
        raise InvalidRequest(
            "url must begin with rtsp://, rtsps://, rtmp://, rtmps://, http:// or https://"
            " (an HLS playlist by the last two)",
            field="url",
        )
    if not host or port == 0:
        raise InvalidRequest("url names no host", field="url")
    return SourceUrl(
        protocol=_PROTOCOLS[parts.scheme],
        host=host,
        port=port or _PORTS[parts.scheme],
        has_tls=parts.scheme in ("rtsps", "rtmps", "https"),
        parts=parts,
    )


def masked_url(url: str) -> str:
    """The URL with its password and its query's values hidden."""
    parts = urlsplit(url)
    user, has_password, _ = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    login = f"{user}{':***' if has_password else ''}@" if user or has_password else ""
    query = "&".join(f"{pair.partition('=')[0]}=***" for pair in parts.query.split("&") if pair)
    return parts._replace(netloc=login + host, query=query, fragment="").geturl()
