"""Bench child: Janus recording whatever is published to it into a folder, driven over its HTTP interface.

Its `recordplay` plugin writes RTP packets as they come into one `.mjr` file a track: no frames, no MP4, no
flush to the disk. Configured by the package's own settings, without the plugins and transports not used.
`apt-get install janus` (1.1.2 in Debian 12).
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.child import Command, serve

START_SECONDS = 20.0
_CONFIGURATION = {
    "janus.jcfg": """
        general: { debug_level = 4, session_timeout = 0 }
        plugins: { disable = "%(plugins)s" }
        transports: { disable = "%(transports)s" }
    """,
    "janus.plugin.recordplay.jcfg": 'general: { path = "%(folder)s" }',
    "janus.transport.http.jcfg": """
        general: { http = true, port = %(port)d, ip = "127.0.0.1", base_path = "/janus" }
    """,
}


class Janus:
    """An API session with a running Janus."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._session = ""
        self._count = 0

    async def connect(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    self._session = f"/{(await self._post('', janus='create'))['data']['id']}"
                    return
                except httpx.TransportError:
                    await asyncio.sleep(0.1)

    async def answer(self, sdp: str) -> str:
        """Have what the offer promises recorded, by a plugin handle of its own."""
        attached = await self._post(self._session, janus="attach", plugin="janus.plugin.recordplay")
        handle: int = attached["data"]["id"]
        self._count += 1
        body = {"request": "record", "name": f"bench {self._count}", "filename": f"{self._count}"}
        jsep = {"type": "offer", "sdp": sdp, "trickle": False}
        await self._post(f"{self._session}/{handle}", janus="message", body=body, jsep=jsep)
        while True:
            event = (await self._client.get(self._session, params={"maxev": 1})).json()
            if event.get("sender") == handle and "jsep" in event:
                return str(event["jsep"]["sdp"])
            if "error" in event.get("plugindata", {}).get("data", {}):
                raise RuntimeError(f"Janus: {event['plugindata']['data']['error']}")

    async def close(self) -> None:
        """End the session, and with it every handle."""
        await self._post(self._session, janus="destroy")

    async def _post(self, path: str, **message: Any) -> dict[str, Any]:
        answer = await self._client.post(path, json={**message, "transaction": "bench"})
        found: dict[str, Any] = answer.json()
        if found["janus"] == "error":
            raise RuntimeError(f"Janus: {found['error']['reason']}")
        return found


def _write_configuration(configuration: Path, folder: Path, port: int) -> None:
    installed = Path("/usr/lib/x86_64-linux-gnu/janus")
    values = {
        "plugins": ",".join(_others(installed / "plugins", "libjanus_recordplay.so")),
        "transports": ",".join(_others(installed / "transports", "libjanus_http.so")),
        "folder": folder,
        "port": port,
    }
    for name, text in _CONFIGURATION.items():
        (configuration / name).write_text(text % values)


def _others(folder: Path, kept: str) -> Sequence[str]:
    return [path.name for path in folder.glob("*.so") if path.name != kept]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running_janus(folder: Path, port: int) -> Iterator[int]:
    """Run Janus for the length of the block; gives its process id."""
    with tempfile.TemporaryDirectory(prefix="bench-janus-") as configuration:
        _write_configuration(Path(configuration), folder, port)
        process = subprocess.Popen(
            ["janus", "--configs-folder", configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


async def main(folder: Path) -> None:
    """Answer `answer`, `processes` and `close` until the input ends."""
    port = _free_port()
    with running_janus(folder, port) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/janus", timeout=30.0) as client:
            janus = Janus(client)
            await janus.connect()

            async def answer(command: Command) -> str:
                return await janus.answer(command["sdp"])

            async def processes(command: Command) -> list[int]:
                return [process]

            async def close(command: Command) -> dict[str, int]:
                await janus.close()
                return {}

            await serve({"answer": answer, "processes": processes, "close": close})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
