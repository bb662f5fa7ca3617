"""Which URLs elsewhere a file may be fetched from."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from app.base.errors import InvalidRequest
from app.base.outbound import AddressRefused, resolve
from app.base.settings import Settings

_PAGES = ("youtube.com", "youtu.be", "vimeo.com")
_FIELD = "url"


async def check_source(settings: Settings, url: str) -> str:
    """Look at a URL before it is fetched; returns what the file is called there, without its ending.

    Raises `InvalidRequest` for what is no file that could be fetched, and `AddressRefused` where it leads to
    a network that is not allowed. Whoever fetches checks again, and each redirect.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
    except ValueError:
        parts, port, host = urlsplit(""), 0, ""
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("must be an http or https URL")
    if any(host == page or host.endswith(f".{page}") for page in _PAGES):
        raise _refused("is a page that shows a video, not a media file: give the URL of the file itself")
    path = PurePosixPath(unquote(parts.path))
    if path.suffix.lower() in (".m3u8", ".mpd"):
        raise _refused("is a playlist of a stream, not a file: connect_rtstream records streams")
    try:
        await resolve(host, port, settings.allowed_networks)
    except AddressRefused as error:
        raise AddressRefused(f"{_FIELD}: {error.message}", field=_FIELD) from error
    except (OSError, UnicodeError) as error:
        raise _refused("its server's name is not known") from error
    return path.stem.replace("\x00", "")


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(f"{_FIELD}: {message}", field=_FIELD)
