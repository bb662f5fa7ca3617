"""Short-lived signed tickets, for what cannot send a header."""

from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.base.errors import Unauthenticated, Unavailable
from app.base.settings import Settings

SOCKET_TICKET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SocketTicket:
    account_id: str
    collection_id: str


def sign_ticket(settings: Settings, ticket: SocketTicket) -> str:
    """Return the ticket as URL-safe text."""
    return _serializer(settings).dumps([ticket.account_id, ticket.collection_id])


def read_ticket(settings: Settings, text: str) -> SocketTicket:
    """Raises `Unauthenticated` for a ticket that is forged or older than `SOCKET_TICKET_SECONDS`."""
    try:
        account_id, collection_id = _serializer(settings).loads(text, max_age=SOCKET_TICKET_SECONDS)
    except BadSignature as error:
        raise Unauthenticated("this socket ticket is invalid or has expired") from error
    return SocketTicket(account_id, collection_id)


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    if settings.secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    return URLSafeTimedSerializer(settings.secret_key.get_secret_value(), salt="socket-ticket")
