"""Short-lived signed tickets, for what cannot send a header."""

from dataclasses import astuple, dataclass
from typing import Any

from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from app.base.errors import CaptureError, Forbidden, NotFound, Unauthenticated, Unavailable
from app.base.ids import new_id
from app.base.settings import Settings
from app.domain.accounts.credentials import CredentialKind

SOCKET_TICKET_SECONDS = 300
UPLOAD_TICKET_SECONDS = 3600
DOWNLOAD_TICKET_SECONDS = 24 * 3600
PUBLISH_TICKET_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SocketTicket:
    """The right to open one socket, as long as the key or token that it was given for is good.

    With `named_only` it gets no broadcasts, only what names it: the other end users of the account are none
    of a desktop's business.
    """

    account_id: str
    collection_id: str
    named_only: bool = False
    credential_id: str = ""


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


@dataclass(frozen=True, slots=True)
class DownloadTicket:
    """The right to fetch the file of a download."""

    account_id: str
    download_id: str


@dataclass(frozen=True, slots=True)
class PublishTicket:
    """The right to publish at one WHIP endpoint, and the credential that it comes from.

    `session_id` and `channels` are what that is bound to; None: to nothing.
    """

    account_id: str
    endpoint: str
    kind: CredentialKind
    credential_id: str
    session_id: str | None
    channels: list[str] | None


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
    """Raises `Forbidden` for a ticket that is forged or older than `settings.media_url_seconds`."""
    refusal = Forbidden("this URL is invalid or has expired")
    return FileTicket(*_fields(settings, "file-ticket", text, settings.media_url_seconds or None, refusal))


def sign_download(settings: Settings, ticket: DownloadTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _signed(settings, "download-ticket", ticket)


def read_download(settings: Settings, text: str) -> DownloadTicket:
    """Raises `Forbidden` for a ticket that is forged or older than `DOWNLOAD_TICKET_SECONDS`."""
    refusal = Forbidden("this URL is invalid or has expired")
    return DownloadTicket(*_fields(settings, "download-ticket", text, DOWNLOAD_TICKET_SECONDS, refusal))


def sign_publish(settings: Settings, ticket: PublishTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _signed(settings, "publish-ticket", ticket)


def read_publish(settings: Settings, text: str) -> PublishTicket:
    """Raises `Unauthenticated` for a ticket that is forged or older than `PUBLISH_TICKET_SECONDS`."""
    refusal = Unauthenticated("this publish ticket is invalid or has expired")
    return PublishTicket(*_fields(settings, "publish-ticket", text, PUBLISH_TICKET_SECONDS, refusal))


def _connection_signer(settings: Settings, ticket: SocketTicket) -> Signer:
    # Of whoever may listen here: a client comes back with another key or token as well.
    listener = (ticket.account_id, ticket.collection_id, str(ticket.named_only))
    return Signer(_secret_key(settings), salt="|".join(["connection", *listener]))


Ticket = SocketTicket | UploadTicket | FileTicket | DownloadTicket | PublishTicket


def _signed(settings: Settings, salt: str, ticket: Ticket) -> str:
    return _serializer(settings, salt).dumps(astuple(ticket))


def _fields(
    settings: Settings, salt: str, text: str, max_age_seconds: int | None, refusal: CaptureError
) -> Any:
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
