"""A process of its own for the tests: real Postgres and Valkey and three stand-ins under a Supervisor."""

import sys
from pathlib import Path

from app.base.errors import CaptureError
from app.embedded.postgres import postgres_server
from app.embedded.process import Program
from app.embedded.supervisor import Supervisor
from app.embedded.valkey import valkey_server


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(data_dir: Path) -> None:
    with Supervisor(data_dir, say) as supervisor:
        for server in (postgres_server(data_dir), valkey_server(data_dir)):
            supervisor.start(server.program)
            say(server.url)
        for name in ("web", "worker", "relay"):
            argv = (sys.executable, "-c", "import time; time.sleep(600)")
            supervisor.start(Program(name=name, argv=argv, is_ready=lambda _pid: True))
        say("up")
        supervisor.watch()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except CaptureError as error:
        sys.exit(error.message)
