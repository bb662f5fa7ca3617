"""Opens the storage backend that a URL names."""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from app.base.errors import InvalidRequest
from app.base.settings import Settings
from app.storage.contract import Storage

_S3_OPTIONS = {"endpoint", "region", "conditional_put"}


def open_storage(url: str, settings: Settings | None = None) -> Storage:
    """`file:///folder` is local storage there, `s3://bucket/prefix?endpoint=…&region=…` a bucket.

    Credentials come from the settings. `conditional_put=off` is for stores that do not know
    `If-None-Match: *`. Raises `InvalidRequest` for another scheme or option.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        from app.storage.local import LocalStorage

        return LocalStorage(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _open_s3(parts, settings or Settings())
    raise InvalidRequest(f"CAPTURE_STORAGE_URL: no storage backend for {parts.scheme or 'no'}://")


def _open_s3(parts: SplitResult, settings: Settings) -> Storage:
    from app.storage.s3 import Bucket, S3Storage

    options = dict(parse_qsl(parts.query))
    if unknown := set(options) - _S3_OPTIONS:
        raise InvalidRequest(f"CAPTURE_STORAGE_URL: s3:// has no option {', '.join(sorted(unknown))}")
    if not parts.hostname or parts.username or parts.password:
        raise InvalidRequest("CAPTURE_STORAGE_URL: s3:// needs a bucket, and keys in AWS_… variables only")
    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    bucket = Bucket(
        name=parts.hostname,
        prefix=unquote(parts.path).strip("/"),
        endpoint=options.get("endpoint") or settings.aws_endpoint_url,
        region=options.get("region") or settings.aws_region,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        session_token=token.get_secret_value() if token else None,
        has_conditional_put=options.get("conditional_put") != "off",
    )
    return S3Storage(bucket, timeout_seconds=settings.storage_timeout_seconds)
