"""Signing secrets: derived from the server's secret key, so that the database holds none, and rotated."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unavailable
from app.base.ids import new_id
from app.domain.webhooks.models import WebhookSecret

PREFIX = "whsec_"
MAX_OVERLAP_SECONDS = 7 * 86_400
DEFAULT_OVERLAP_SECONDS = 86_400

Owner = tuple[str, str | None]  # an account and, where the endpoint has a secret of its own, that endpoint


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """`text` is what a receiver verifies with: `whsec_` and 32 bytes in base 64."""

    text: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None


def derive(secret_key: SecretStr | None, secret_id: str) -> str:
    """The secret that a row stands for. Raises `Unavailable` where there is no key to derive it from."""
    if secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    key = secret_key.get_secret_value().encode()
    mac = hmac.new(key, b"webhook-signing:" + secret_id.encode(), hashlib.sha256).digest()
    return PREFIX + base64.b64encode(mac).decode()


async def valid_secrets(
    session: AsyncSession, secret_key: SecretStr | None, owners: Iterable[Owner], now: datetime
) -> dict[Owner, list[SigningSecret]]:
    """What each owner's webhooks are signed with, the newest first; an owner without one gets one."""
    wanted = set(owners)
    found = await _read(session, secret_key, wanted, now)
    missing = sorted(wanted - set(found), key=str)
    if missing:
        await session.execute(
            insert(WebhookSecret)
            .values([_row(account_id, endpoint_id) for account_id, endpoint_id in missing])
            .on_conflict_do_nothing()
        )
        found |= await _read(session, secret_key, set(missing), now)
    return found


async def rotate(
    session: AsyncSession, secret_key: SecretStr | None, owner: Owner, now: datetime, overlap_seconds: float
) -> list[SigningSecret]:
    """Make a new secret; the one before signs beside it for `overlap_seconds`, any older one no more."""
    await valid_secrets(session, secret_key, [owner], now)
    mine = WebhookSecret.account_id == owner[0], _of_endpoint(owner[1])
    await session.execute(
        update(WebhookSecret).where(*mine, WebhookSecret.expires_at > now).values(expires_at=now)
    )
    await session.execute(
        update(WebhookSecret)
        .where(*mine, WebhookSecret.expires_at.is_(None))
        .values(expires_at=now + timedelta(seconds=overlap_seconds))
    )
    await session.execute(insert(WebhookSecret).values(_row(*owner)))
    return (await valid_secrets(session, secret_key, [owner], now))[owner]


async def _read(
    session: AsyncSession, secret_key: SecretStr | None, owners: set[Owner], now: datetime
) -> dict[Owner, list[SigningSecret]]:
    rows = await session.scalars(
        select(WebhookSecret)
        .where(
            WebhookSecret.account_id.in_({account_id for account_id, _ in owners}),
            or_(
                WebhookSecret.endpoint_id.is_(None),
                WebhookSecret.endpoint_id.in_({endpoint_id for _, endpoint_id in owners if endpoint_id}),
            ),
            or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now),
        )
        .order_by(WebhookSecret.expires_at.desc().nulls_first())
    )
    found: dict[Owner, list[SigningSecret]] = {}
    for row in rows:
        owner = row.account_id, row.endpoint_id
        if owner in owners:
            secret = SigningSecret(derive(secret_key, row.id), row.created_at, row.expires_at)
            found.setdefault(owner, []).append(secret)
    return found


def _row(account_id: str, endpoint_id: str | None) -> dict[str, str | None]:
    return {"id": new_id("whs"), "account_id": account_id, "endpoint_id": endpoint_id}


def _of_endpoint(endpoint_id: str | None):  # type: ignore[no-untyped-def]
    column = WebhookSecret.endpoint_id
    return column.is_(None) if endpoint_id is None else column == endpoint_id
