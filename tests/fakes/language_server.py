"""An OpenAI-compatible server on loopback that answers as a test wants, or not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class Reply:
    """A status and a body; `cut` sends less of it than its length says, `after` is waited for first."""

    def __init__(
        self,
        body: object = b"",
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut: bool = False,
        after: threading.Event | None = None,
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, headers or {}
        self.cut, self.after = cut, after


def says(content: object, *, finish: str = "stop") -> Reply:
    """A chat completion with this content: a text, or an object as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return Reply({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]})


class LanguageServer:
    """`answer` makes the reply to a question's body; `asked` are all bodies so far, `keys` their keys."""

    def __init__(self) -> None:
        self.answer: Callable[[Json], Reply] = lambda _: Reply(status=503)
        self.asked: list[Json] = []
        self.keys: list[str | None] = []
        self.released = threading.Event()  # what a reply may wait for; set when the test is over
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def reply(self, reply: Reply) -> None:
        """Answer every question with it from now on."""
        self.answer = lambda _: reply

    def hang(self) -> None:
        """Answer nothing until the test is over."""
        self.reply(Reply(status=503, after=self.released))

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def language_server() -> Iterator[LanguageServer]:
    """A server for the length of the block."""
    server = LanguageServer()
    try:
        yield server
    finally:
        server.close()


def _handler(server: LanguageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(Reply({"object": "list", "data": []}, status=200 if self._is_models() else 404))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body)
            server.keys.append(self.headers["Authorization"])
            self._send(server.answer(body))

        def _is_models(self) -> bool:
            return self.path == "/v1/models"

        def _send(self, reply: Reply) -> None:
            if reply.after is not None:
                reply.after.wait(60)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            except OSError:
                pass  # who asked has given up

        def log_message(self, *_: object) -> None:
            pass

    return Handler
