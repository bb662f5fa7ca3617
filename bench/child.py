"""A bench child process that takes one JSON command a line on stdin and answers one line on stdout."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ANSWER_LIMIT_SECONDS = 120.0
_LINE_LIMIT_BYTES = 16 * 1024 * 1024

Command = dict[str, Any]
Handler = Callable[[Command], Awaitable[Any]]


class Child:
    """The parent's end of such a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, *arguments: str, cores: Collection[int] = ()) -> "Child":
        """Run `python -m module arguments` in the repository's root, on `cores` where any are given."""
        return await cls.run([sys.executable, "-m", module, *arguments], cores=cores)

    @classmethod
    async def run(cls, command: Sequence[str], *, cores: Collection[int] = ()) -> "Child":
        """Run any program that speaks as `serve` does."""
        pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        process = await asyncio.create_subprocess_exec(
            *pinned,
            *command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_LINE_LIMIT_BYTES,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, command: str, **fields: Any) -> Any:
        """Send a command and return its answer. Raises `RuntimeError` where the child ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **fields}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_LIMIT_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child ended during {command!r}")
        return json.loads(line)

    async def stop(self) -> None:
        """Close its input and wait for it to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20.0):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def serve(handlers: dict[str, Handler]) -> None:
    """The child's end: answer commands until the input is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_LIMIT_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        answer = await handlers[command["command"]](command)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
