"""What `capture up` runs, in order, and how each of the product's processes is spelled as a command."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from app.base.errors import Conflict
from app.base.ids import new_secret
from app.base.settings import Settings
from app.embedded.postgres import postgres_server
from app.embedded.private_files import free_port, is_port_free, is_udp_port_free, keep_secret
from app.embedded.process import Program, Server
from app.embedded.supervisor import Supervisor
from app.embedded.valkey import valkey_server

# Open WebSockets are told to go, then the media sinks are drained for `stop_timeout_seconds`.
WEB_CLOSE_SECONDS = 5
ENGINE_LOAD_SECONDS = 120
SENDER_STOP_SECONDS = 15  # requests under way are waited for, and their outcome is written
PROBE_SECONDS = 2
LOOPBACK = "127.0.0.0/8,::1/128"  # whoever runs all on one machine receives webhooks on it, too


def web_argv(settings: Settings) -> tuple[str, ...]:
    """The web process. No access log: a WebSocket's path holds its token."""
    return (
        *(sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app"),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--no-access-log", "--no-server-header", "--log-level", settings.log_level.lower()),
        *("--timeout-graceful-shutdown", str(WEB_CLOSE_SECONDS)),
        # h11, since it limits what it reads before it hands a request on: MAX_HEADER_BYTES come to the wire.
        *("--http", "h11", "--h11-max-incomplete-event-size", str(64 * 1024)),
        *("--ws", "app.hub.going_away:GoingAwayProtocol"),
        # A client that is gone without a word is noticed, and proxies see that the socket is in use.
        *("--ws-ping-interval", "20", "--ws-ping-timeout", "20"),
    )


def worker_argv(settings: Settings, pool: str = "threads") -> tuple[str, ...]:
    """The Celery worker; `pool` is `threads` where models are shared, `prefork` where jobs are kept apart."""
    jobs = settings.worker_threads
    if settings.language_url and pool == "threads":
        jobs += 2 * settings.language_requests  # who waits for a language model holds up no other job
    return (
        *(sys.executable, "-m", "celery", "--app", "workers.main:celery_app", "worker"),
        *("--pool", pool, "--concurrency", str(jobs), "--loglevel", settings.log_level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )


def relay_argv() -> tuple[str, ...]:
    """The process that carries outbox rows."""
    return (sys.executable, "-m", "workers.relay")


def sender_argv() -> tuple[str, ...]:
    """The process that sends webhooks."""
    return (sys.executable, "-m", "workers.sender")


def models_argv(*arguments: str) -> tuple[str, ...]:
    """The errands around the engines' models."""
    return (sys.executable, "-m", "workers.models", *arguments)


def migrate_argv() -> tuple[str, ...]:
    """The step that brings the database to this version, and lets CAPTURE_API_KEY in."""
    return (sys.executable, "-m", "app.cli", "migrate")


@dataclass(frozen=True)
class Stack:
    """The product, up and ready; its `environment` is that of its processes, secrets included."""

    supervisor: Supervisor
    base_url: str
    api_key: str = field(repr=False)
    environment: dict[str, str] = field(repr=False)


def run_stack(settings: Settings, say: Callable[[str], None], use: Callable[[Stack], None]) -> None:
    """Start everything, call `use` once all is ready, and stop everything when it returns or a signal comes.

    Postgres and Valkey are started only where no URL names one. Raises Conflict where the data folder or the
    port is in use, Unavailable where something does not start.
    """
    with Supervisor(settings.data_dir, say) as supervisor:
        settings = _with_port(settings)
        api_key = _kept(settings, "api_key", lambda: new_secret("sk"))
        environment = {
            "CAPTURE_DATA_DIR": str(supervisor.data_dir),
            "CAPTURE_PORT": str(settings.port),
            "CAPTURE_SECRET_KEY": _kept(settings, "secret_key", lambda: new_secret("key")),
        }
        if "allowed_networks" not in settings.model_fields_set:
            environment["CAPTURE_ALLOWED_NETWORKS"] = LOOPBACK

        def serve(server: Server) -> str:
            say(f"starting {server.program.name}")
            supervisor.start(server.program)
            return server.url

        data_dir = supervisor.data_dir
        environment["DATABASE_URL"] = settings.database_url or serve(postgres_server(data_dir))
        environment["REDIS_URL"] = settings.redis_url or serve(valkey_server(data_dir))
        say("migrating the database")
        with_key = {**environment, "CAPTURE_API_KEY": api_key}
        supervisor.run(Program(name="migrate", argv=migrate_argv(), environment=with_key))
        for program in _processes(settings, environment):
            say(f"starting {program.name}")
            supervisor.start(program)
        use(Stack(supervisor, settings.base_url, api_key, environment))


def _processes(settings: Settings, environment: dict[str, str]) -> tuple[Program, ...]:
    return (
        Program(
            name="web",
            argv=web_argv(settings),
            environment=environment,
            is_ready=lambda _pid: _answers(settings, "/healthz"),
            stop_seconds=WEB_CLOSE_SECONDS + settings.stop_timeout_seconds + 5,
        ),
        Program(name="relay", argv=relay_argv(), environment=environment, is_ready=lambda _pid: True),
        Program(
            name="sender",
            argv=sender_argv(),
            environment=environment,
            is_ready=lambda _pid: True,
            stop_seconds=SENDER_STOP_SECONDS,
        ),
        # The worker comes last: `/readyz` wants its heartbeat, and with that the whole is ready.
        Program(
            name="worker",
            argv=worker_argv(settings),
            environment=environment,
            is_ready=lambda _pid: _answers(settings, "/readyz"),
            start_seconds=ENGINE_LOAD_SECONDS,
        ),
    )


def check_media_port(settings: Settings) -> None:
    """Raise Conflict where the UDP port that publishers will be told is taken."""
    port = settings.effective_webrtc_port
    if "ingest" in settings.doors and not is_udp_port_free(port):
        raise Conflict(f"UDP port {port} is taken: set CAPTURE_WEBRTC_PORT to another one, or to 0 for any")


def _with_port(settings: Settings) -> Settings:
    if settings.port == 0:
        settings = settings.model_copy(update={"port": free_port()})
    elif not is_port_free(settings.host, settings.port):
        raise Conflict(f"port {settings.port} of {settings.host} is taken: set CAPTURE_PORT to another one")
    check_media_port(settings)
    return settings


def _kept(settings: Settings, name: str, make: Callable[[], str]) -> str:
    given = getattr(settings, name)
    return given.get_secret_value() if given else keep_secret(settings.data_dir / name, make)


def _answers(settings: Settings, path: str) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = HTTPConnection(host, settings.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
