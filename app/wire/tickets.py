"""Short-lived signed tickets, for what cannot send a header."""

from dataclasses import astuple, dataclass

from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.base.errors import Forbidden, Unauthenticated, Unavailable
from app.base.settings import Settings

SOCKET_TICKET_SECONDS = 300
UPLOAD_TICKET_SECONDS = 3600
FILE_TICKET_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class SocketTicket:
    """The right to open one socket. With `named_only` it gets no broadcasts, only what names it: the other
    end users of the account are none of a desktop's business."""

    account_id: str
    collection_id: str
    named_only: bool = False


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """The right to store one file, and to read it."""

    account_id: str
    collection_id: str
    upload_id: str
    name: str


@dataclass(frozen=True, slots=True)
class FileTicket:
    """The right to read an asset's file."""

    account_id: str
    asset_id: str


def sign_ticket(settings: Settings, ticket: SocketTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _serializer(settings, "socket-ticket").dumps(astuple(ticket))


def read_ticket(settings: Settings, text: str) -> SocketTicket:
    """Raises `Unauthenticated` for a ticket that is forged or older than `SOCKET_TICKET_SECONDS`."""
    try:
        fields = _serializer(settings, "socket-ticket").loads(text, max_age=SOCKET_TICKET_SECONDS)
    except BadSignature as error:
        raise Unauthenticated("this socket ticket is invalid or has expired") from error
    return SocketTicket(*fields)


def sign_upload(settings: Settings, ticket: UploadTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _serializer(settings, "upload-ticket").dumps(astuple(ticket))


def read_upload(settings: Settings, text: str) -> UploadTicket:
    """Raises `Forbidden` for a ticket that is forged or older than `UPLOAD_TICKET_SECONDS` (check 59)."""
    try:
        fields = _serializer(settings, "upload-ticket").loads(text, max_age=UPLOAD_TICKET_SECONDS)
    except BadSignature as error:
        raise Forbidden("this upload URL is invalid or has expired") from error
    return UploadTicket(*fields)


def sign_file(settings: Settings, ticket: FileTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _serializer(settings, "file-ticket").dumps(astuple(ticket))


def read_file(settings: Settings, text: str) -> FileTicket:
    """Raises `Forbidden` for a ticket that is forged or older than `FILE_TICKET_SECONDS`."""
    try:
        fields = _serializer(settings, "file-ticket").loads(text, max_age=FILE_TICKET_SECONDS)
    except BadSignature as error:
        raise Forbidden("this URL is invalid or has expired") from error
    return FileTicket(*fields)


def _serializer(settings: Settings, salt: str) -> URLSafeTimedSerializer:
    if settings.secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    return URLSafeTimedSerializer(settings.secret_key.get_secret_value(), salt=salt)
