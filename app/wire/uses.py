"""Notes where credentials are used, seldom enough to cost nothing."""

import time
from collections import OrderedDict

from app.base.db import Database
from app.domain.accounts.audit import record_use
from app.domain.accounts.credentials import CredentialKind

NOTED_EVERY_SECONDS = 60.0
_KNOWN = 10_000


class Uses:
    """What this process has noted lately. Only notes are saved by it: every credential is checked anew."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: OrderedDict[tuple[str, str | None, str], float] = OrderedDict()

    async def note(
        self,
        account_id: str,
        kind: CredentialKind,
        credential_id: str,
        address: str | None,
        outcome: str = "accepted",
    ) -> None:
        """Keep that a credential was shown from `address`, at most once a minute."""
        use, now = (credential_id, address, outcome), time.monotonic()
        if now - self._noted.get(use, -NOTED_EVERY_SECONDS) < NOTED_EVERY_SECONDS:
            return
        self._noted[use] = now
        self._noted.move_to_end(use)
        while len(self._noted) > _KNOWN:
            self._noted.popitem(last=False)
        async with self._db.transaction() as session:
            await record_use(session, account_id, kind, credential_id, address=address, outcome=outcome)
