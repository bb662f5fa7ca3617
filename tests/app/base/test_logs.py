import asyncio
import logging
import subprocess
import sys

from app.base.logs import _Formatter, bind

PROGRAM = """
import logging
from app.base.logs import bind, configure_logs
configure_logs("web", "info")
with bind(session="cap-1", stream=None):
    logging.getLogger("app.test").info("hello")
    logging.getLogger("httpx").info("https://example.com/?secret=1")
logging.getLogger("app.test").debug("quiet")
"""


def line(text: str) -> str:
    return _Formatter("%(message)s").format(logging.LogRecord("x", 20, "f", 1, text, (), None))


def test_bound_fields_stand_behind_each_line_and_end_with_their_block() -> None:
    with bind(session="cap-1"), bind(stream="rts-1", job=None):
        assert line("hello") == "hello [session=cap-1 stream=rts-1]"
    assert line("hello") == "hello"


async def test_a_task_keeps_the_fields_that_it_was_started_with() -> None:
    async def say() -> str:
        await asyncio.sleep(0)
        return line("hello")

    with bind(session="cap-1"):
        task = asyncio.create_task(say())
    assert await task == "hello [session=cap-1]"


def test_a_process_logs_to_standard_error_without_urls_of_the_http_client() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "INFO web app.test: hello [session=cap-1]" in ended.stderr
