"""Short-lived signed tickets, for what cannot send a header."""

from dataclasses import astuple, dataclass
from typing import Any

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from app.base.errors import CaptureError, Forbidden, NotFound, Unauthenticated, Unavailable
from app.base.ids import new_id
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
    return _signed(settings, "socket-ticket", ticket)


def read_ticket(settings: Settings, text: str) -> SocketTicket:
    """Raises `Unauthenticated` for a ticket that is forged or older than `SOCKET_TICKET_SECONDS`."""
    refusal = Unauthenticated("this socket ticket is invalid or has expired")
    return SocketTicket(*_fields(settings, "socket-ticket", text, SOCKET_TICKET_SECONDS, refusal))


def new_connection_id(settings: Settings, ticket: SocketTicket) -> str:
    """A name for a socket, by which a later one with the same rights may go on where this one ends.

    Whose it is is signed into it: nothing of a socket has to be kept.
    """
    return _connection_signer(settings, ticket).sign(new_id("ws")).decode()


def check_connection_id(settings: Settings, ticket: SocketTicket, connection_id: str) -> None:
    """Raises `NotFound` for an id that was not given to this account and collection, by the same kind of
    credential."""
    if not _connection_signer(settings, ticket).validate(connection_id):
        raise NotFound(f"no connection {connection_id[:100]} to resume here", field="connection_id")


def sign_upload(settings: Settings, ticket: UploadTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _signed(settings, "upload-ticket", ticket)


def read_upload(settings: Settings, text: str) -> UploadTicket:
    """Raises `Forbidden` for a ticket that is forged or older than `UPLOAD_TICKET_SECONDS` (check 59)."""
    refusal = Forbidden("this upload URL is invalid or has expired")
    return UploadTicket(*_fields(settings, "upload-ticket", text, UPLOAD_TICKET_SECONDS, refusal))


def sign_file(settings: Settings, ticket: FileTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _signed(settings, "file-ticket", ticket)


def read_file(settings: Settings, text: str) -> FileTicket:
    """Raises `Forbidden` for a ticket that is forged or older than `FILE_TICKET_SECONDS`."""
    refusal = Forbidden("this URL is invalid or has expired")
    return FileTicket(*_fields(settings, "file-ticket", text, FILE_TICKET_SECONDS, refusal))


def _connection_signer(settings: Settings, ticket: SocketTicket) -> Signer:
    return Signer(_secret_key(settings), salt="|".join(["connection", *map(str, astuple(ticket))]))


def _signed(settings: Settings, salt: str, ticket: SocketTicket | UploadTicket | FileTicket) -> str:
    return _serializer(settings, salt).dumps(astuple(ticket))


def _fields(settings: Settings, salt: str, text: str, max_age_seconds: int, refusal: CaptureError) -> Any:
    try:
        return _serializer(settings, salt).loads(text, max_age=max_age_seconds)
    except BadSignature as error:
        raise refusal from error


def _serializer(settings: Settings, salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_secret_key(settings), salt=salt)


def _secret_key(settings: Settings) -> str:
    if settings.secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    return settings.secret_key.get_secret_value()
