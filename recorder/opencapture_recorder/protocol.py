"""The line protocol of the official SDKs: one JSON object a line behind a prefix, both ways."""

import json
from dataclasses import dataclass, field
from typing import Any

PREFIX = "videodb_recorder|"
# The Python SDK reads with asyncio's default limit of 64 KiB a line and stops reading for good above it.
MAX_LINE_BYTES = 60_000


@dataclass(frozen=True, slots=True)
class Command:
    """One request of the SDK; `name` is empty where the line held no usable one."""

    command_id: str
    name: str
    params: dict[str, Any] = field(default_factory=dict)


class LineSplitter:
    """Cuts a byte stream into lines; a line above the limit is dropped whole and counted."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.dropped_lines = 0
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines, without their line ends, that these bytes finish."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._append(end)
            if not self._skipping:
                lines.append(bytes(self._buffer).removesuffix(b"\r"))
            self._buffer.clear()
            self._skipping = False
        self._append(rest)
        return lines

    def _append(self, data: bytes) -> None:
        if self._skipping:
            return
        if len(self._buffer) + len(data) > self._max_line_bytes:
            self._skipping = True
            self.dropped_lines += 1
            self._buffer.clear()
        else:
            self._buffer += data


def parse_command(line: bytes) -> Command | None:
    """The command on a line; None for anything that is not a request and so cannot be answered."""
    text = line.decode("utf-8", errors="replace").strip()
    if not text.startswith(PREFIX):
        return None
    try:
        message = json.loads(text.removeprefix(PREFIX))
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("commandId"), str):
        return None
    name, params = message.get("command"), message.get("params")
    return Command(
        message["commandId"],
        name if isinstance(name, str) else "",
        params if isinstance(params, dict) else {},
    )


def encode_success(command_id: str, result: dict[str, Any]) -> bytes:
    """One response line, line end included."""
    line = _encode({"type": "response", "commandId": command_id, "status": "success", "result": result})
    if len(line) > MAX_LINE_BYTES:
        return encode_failure(command_id, "The answer is too long for one line")
    return line


def encode_failure(command_id: str, message: str) -> bytes:
    """One error line. `result` is a text: the Python SDK raises RuntimeError with it as it stands."""
    return _encode({"type": "response", "commandId": command_id, "status": "error", "result": message[:2000]})


def encode_event(event: str, payload: dict[str, Any]) -> bytes:
    """One event line; a payload too long for a line is replaced by a note."""
    line = _encode({"type": "event", "event": event, "payload": payload})
    if len(line) > MAX_LINE_BYTES:
        line = _encode({"type": "event", "event": event, "payload": {"truncated": True}})
    return line


def _encode(message: dict[str, Any]) -> bytes:
    return f"{PREFIX}{json.dumps(message, separators=(',', ':'))}\n".encode()
