"""The demo's stand-in for a customer's backend: a webhook receiver and a printer of socket frames."""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class WebhookReceiver:
    """Keeps a session's lifecycle events; each can be awaited. `url` is its callback URL."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: dict[str, Json] = {}
        self._arrived = asyncio.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                show(f"webhook     {body['event']}")
                receiver._loop.call_soon_threadsafe(receiver._keep, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    async def wait_for(self, event: str, seconds: float) -> Json:
        """The body of an event. Raises `TimeoutError` when it has not come after `seconds`."""
        async with asyncio.timeout(seconds):
            while event not in self._events:
                self._arrived.clear()
                await self._arrived.wait()
        return self._events[event]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, body: Json) -> None:
        self._events[body["event"]] = body
        self._arrived.set()
