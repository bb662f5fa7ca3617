"""The executable: with no argument the SDKs' recorder on stdio, or `link-node` to show Node's SDK the way."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from opencapture_recorder.errors import RecorderError
from opencapture_recorder.node_link import link_node

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def main() -> None:
    """Console entry point."""
    parser = argparse.ArgumentParser(prog="opencapture-recorder", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    link = commands.add_parser("link-node", help="make the Node SDK in this folder start this recorder")
    link.add_argument("package", type=Path, help="path of node_modules/videodb")
    arguments = parser.parse_args()
    if arguments.command == "link-node":
        try:
            sys.stdout.write(f"{link_node(arguments.package)}\n")
        except RecorderError as error:
            parser.exit(1, f"{error}\n")
        return
    _configure_logs()
    asyncio.run(_serve())
    logging.shutdown()
    # Threads may still wait inside libpulse or libX11, and the sound library's exit hook waits for a
    # server that may be gone: both would keep an ordinary exit from ending.
    os._exit(0)


def _configure_logs() -> None:
    level = os.environ.get("OPENCAPTURE_LOG_LEVEL", "WARNING").upper()
    logging.basicConfig(
        stream=sys.stderr,
        level=level if level in _LOG_LEVELS else "WARNING",
        format="%(levelname)s %(name)s: %(message)s",
    )
    # httpx logs whole URLs, and the media libraries whole packets.
    for name in ("httpx", "httpcore", "aiortc", "aioice"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _serve() -> None:
    # Imported late: `link-node` needs neither media libraries nor their start-up time.
    from opencapture_recorder.commands import Recorder
    from opencapture_recorder.protocol import parse_command
    from opencapture_recorder.stdio import LineReader, LineWriter, claim_stdout, die_with_parent

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    die_with_parent()
    writer = LineWriter(claim_stdout())
    writer.start()
    recorder = Recorder(writer.send, stopping.set)

    def on_line(line: bytes) -> None:
        command = parse_command(line)
        if command is not None:
            recorder.handle(command)

    LineReader(on_line, stopping.set).start()
    await stopping.wait()
    await recorder.close()
    writer.close()


if __name__ == "__main__":
    main()
