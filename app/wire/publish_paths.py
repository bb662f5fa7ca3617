"""The secret path under which a stream is published over RTSPS: derived, so nothing has to keep it."""

import hashlib
import hmac

from app.base.errors import NotFound, Unavailable
from app.base.settings import Settings

_MAC_CHARACTERS = 32  # 128 bits


def publish_path(settings: Settings, stream_id: str) -> str:
    """The one path segment that is the credential for publishing `stream_id`; it belongs in no log.

    Raises `Unavailable` where there is no secret key to derive it from.
    """
    if settings.secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    key = settings.secret_key.get_secret_value().encode()
    mac = hmac.new(key, b"rtsps-publish:" + stream_id.encode(), hashlib.sha256).hexdigest()
    return f"{stream_id}-{mac[:_MAC_CHARACTERS]}"


def stream_published_at(settings: Settings, path: str) -> str:
    """The stream whose path this is. Raises `NotFound` for any other path."""
    stream_id = path.rpartition("-")[0]
    if not stream_id or not hmac.compare_digest(publish_path(settings, stream_id).encode(), path.encode()):
        raise NotFound("nothing is published here")
    return stream_id
