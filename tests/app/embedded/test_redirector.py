import asyncio
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from cryptography import x509

from app.embedded import certificates
from app.embedded.redirector import VENDOR_HOST, Redirect, serve_redirect

LIMIT_SECONDS = 20
BIG_REPLY_BYTES = 3_000_000


class _Stub(BaseHTTPRequestHandler):
    """Answers what `videodb.connect().get_collection()` reads, says who asked, and sends a big body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/big":
            self._send(b"x" * BIG_REPLY_BYTES)
            return
        host, key = self.headers["Host"], self.headers["x-access-token"]
        data = {"id": "c-1", "name": host, "description": key, "is_public": False}
        self._send(json.dumps({"success": True, "data": data}).encode())

    def do_POST(self) -> None:
        self._send(self.rfile.read(int(self.headers["Content-Length"])))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def stub_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def redirecting(data_dir: Path, base_url: str) -> Iterator[Redirect]:
    """Serve in a loop of its own: its clients here are blocking ones."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(LIMIT_SECONDS)  # type: ignore[arg-type]

    serving = serve_redirect(data_dir, base_url, 0)
    try:
        redirect = wait(serving.__aenter__())
        assert isinstance(redirect, Redirect)
        yield redirect
        wait(serving.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def redirect(tmp_path_factory: pytest.TempPathFactory, stub_url: str) -> Iterator[Redirect]:
    with redirecting(tmp_path_factory.mktemp("redirect"), stub_url) as serving:
        yield serving


def run_client(redirect: Redirect, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **redirect.environment}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def test_the_unmodified_python_sdk_arrives_by_environment_alone(redirect: Redirect) -> None:
    code = (
        "import videodb\n"
        "collection = videodb.connect(api_key='sk-1').get_collection()\n"
        "print(collection.id, collection.name, collection.description)"
    )
    ended = run_client(redirect, sys.executable, "-c", code)
    assert ended.stderr == ""
    assert ended.stdout == f"c-1 {VENDOR_HOST} sk-1\n"


def test_bodies_pass_both_ways_on_one_connection(redirect: Redirect) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": redirect.environment["HTTPS_PROXY"]}
        session.verify = redirect.environment["REQUESTS_CA_BUNDLE"]
        body = os.urandom(BIG_REPLY_BYTES)
        assert session.post(f"https://{VENDOR_HOST}/echo", data=body, timeout=LIMIT_SECONDS).content == body
        assert (
            len(session.get(f"https://{VENDOR_HOST}/big", timeout=LIMIT_SECONDS).content) == BIG_REPLY_BYTES
        )


async def say(redirect: Redirect, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", redirect.port)
    writer.write(request)
    async with asyncio.timeout(LIMIT_SECONDS):
        reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return reply


@pytest.mark.parametrize(
    ("request_head", "status", "words"),
    [
        (b"CONNECT example.org:443 HTTP/1.1", b"403", b"leads to api.videodb.io:443 only"),
        (b"CONNECT api.videodb.io:80 HTTP/1.1", b"403", b"add your host to NO_PROXY"),
        (b"GET http://api.videodb.io/ HTTP/1.1", b"405", b"CONNECT only"),
        (b"", b"405", b"CONNECT only"),
        (b"CONNECT api.videodb.io:443 HTTP/1.1\r\nX: " + b"y" * 20_000, b"431", b"8192 bytes"),
    ],
)
def test_everything_else_is_refused_with_a_reason(
    redirect: Redirect, request_head: bytes, status: bytes, words: bytes
) -> None:
    reply = asyncio.run(say(redirect, request_head + b"\r\nHost: x\r\n\r\n"))
    assert reply.startswith(b"HTTP/1.1 " + status)
    assert words in reply


def test_a_server_that_is_away_is_a_clear_502(tmp_path: Path) -> None:
    with redirecting(tmp_path, "http://127.0.0.1:9") as redirect:
        reply = asyncio.run(say(redirect, b"CONNECT api.videodb.io:443 HTTP/1.1\r\n\r\n"))
    assert reply.startswith(b"HTTP/1.1 502")
    assert b"no OpenCapture answers at 127.0.0.1:9" in reply


def test_closing_ends_open_connections(tmp_path: Path, stub_url: str) -> None:
    async def hold() -> bytes:
        async with serve_redirect(tmp_path, stub_url, 0) as redirect:
            reader, writer = await asyncio.open_connection("127.0.0.1", redirect.port)
            writer.write(b"CONNECT api.videodb.io:443 HTTP/1.1\r\n\r\n")
            established = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await reader.read() == b""
        writer.close()
        return established

    assert asyncio.run(hold()).startswith(b"HTTP/1.1 200")


def test_the_certificate_is_kept_private_and_good_for_one_host(tmp_path: Path) -> None:
    kept = certificates.keep_certificate(tmp_path, VENDOR_HOST)
    first = kept.chain.read_bytes()
    assert stat.S_IMODE(kept.chain.stat().st_mode) == 0o600
    assert certificates.keep_certificate(tmp_path, VENDOR_HOST).chain.read_bytes() == first
    authority = x509.load_pem_x509_certificate(kept.authority.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName(VENDOR_HOST)]
    assert b"PRIVATE KEY" not in kept.authority.read_bytes()


def test_a_certificate_that_does_not_belong_is_made_anew(tmp_path: Path) -> None:
    kept = certificates.keep_certificate(tmp_path / "one", VENDOR_HOST)
    other = certificates.keep_certificate(tmp_path / "other", VENDOR_HOST)
    kept.authority.write_bytes(other.authority.read_bytes())
    again = certificates.keep_certificate(tmp_path / "one", VENDOR_HOST)
    context = ssl.create_default_context(cafile=again.authority)
    assert context.get_ca_certs()[0]["serialNumber"] != ""
    x509.load_pem_x509_certificates(again.chain.read_bytes())[0].verify_directly_issued_by(
        x509.load_pem_x509_certificate(again.authority.read_bytes())
    )


def test_a_certificate_about_to_end_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = certificates.keep_certificate(tmp_path, VENDOR_HOST)
    first = kept.chain.read_bytes()
    monkeypatch.setattr(certificates, "RENEW_BEFORE", certificates.VALID_FOR)
    assert certificates.keep_certificate(tmp_path, VENDOR_HOST).chain.read_bytes() != first
