"""Events of the last days, in one order, for receivers that make up for what they missed."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.domain.outbox.listing import check_names, list_events
from app.wire.deps import ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(tags=["events"])


@router.get("/events")
async def list_all(
    caller: ServerCaller,
    session: Session,
    after: Annotated[str | None, Query(max_length=100)] = None,
    types: Annotated[str, Query(max_length=1000)] = "",
    capture_session_id: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Json:
    """Events after the event `after`, the oldest first; `types` is `name,name` or `capture_session.*`."""
    names = [name.strip() for name in types.split(",") if name.strip()]
    page = await list_events(
        session,
        caller.account_id,
        after=after,
        names=check_names(names, "types"),
        capture_session_id=capture_session_id,
        limit=limit,
    )
    return success({"events": page.events, "next_after": page.next_after, "has_more": page.has_more})
