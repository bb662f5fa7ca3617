"""The one table of legal moves of a capture session."""

from enum import StrEnum

from app.base.errors import IllegalMove


class Status(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    STOPPED = "stopped"
    EXPORTED = "exported"
    FAILED = "failed"


LEGAL_MOVES: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.STARTING, Status.FAILED}),
    Status.STARTING: frozenset({Status.ACTIVE, Status.STOPPING, Status.FAILED}),
    Status.ACTIVE: frozenset({Status.STOPPING, Status.FAILED}),
    Status.STOPPING: frozenset({Status.STOPPED, Status.FAILED}),
    Status.STOPPED: frozenset({Status.EXPORTED, Status.FAILED}),
    Status.EXPORTED: frozenset(),
    Status.FAILED: frozenset(),
}


def check_move(current: Status, wanted: Status) -> None:
    """Raises `IllegalMove` when the table does not hold `current` → `wanted`."""
    if wanted not in LEGAL_MOVES[current]:
        raise IllegalMove(f"a capture session that is {current} cannot become {wanted}")
