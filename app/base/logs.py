"""Logging for every process: one line an event, with the session, stream and job ids bound to it.

Speech, screen text, tokens and presigned links never go into a log line; ids do.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_bound: ContextVar[dict[str, str]] = ContextVar("bound_log_fields")


@contextmanager
def bind(**fields: str | None) -> Iterator[None]:
    """Add `fields` to every line logged inside the block, tasks started in it included."""
    merged = {**_bound.get({}), **{name: value for name, value in fields.items() if value}}
    token = _bound.set(merged)
    try:
        yield
    finally:
        _bound.reset(token)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = " ".join(f"{name}={value}" for name, value in _bound.get({}).items())
        return f"{line} [{fields}]" if fields else line


def _holds_no_ticket(record: logging.LogRecord) -> bool:
    return "WebSocket" not in str(record.msg)


def configure_logs(process: str, level: str) -> None:
    """Send this process's log to standard error as `time LEVEL process logger: message [ids]`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(f"%(asctime)s %(levelname)s {process} %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn logs the path of each WebSocket, access log or not, and there its ticket stands; when it
    # debugs it logs the text of each frame, and that is speech.
    logging.getLogger("uvicorn.error").addFilter(_holds_no_ticket)
    logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, root.level))
    # httpx logs whole URLs, and a callback URL may carry a customer's secret.
    for noisy in ("httpx", "httpcore", "aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
