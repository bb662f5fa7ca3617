"""The wire contract's checks, each held against the running product by the vendor's unmodified SDKs.

Every test's name begins with the number of its check.

| checks | of | in |
|---|---|---|
| 1, 2, 3 | connecting, also by environment alone | test_connecting.py |
| 4, 5, 6, 7, 47, 48 | creating and listing capture sessions, collections | test_sessions.py |
| 8, 9 | client tokens | test_tokens.py |
| 10, 11, 12 | opening sockets, idle ones | test_sockets.py |
| 13, 14, 15, 16, 17, 20 | a capture's way, its streams and webhooks | test_lifecycle.py |
| 21, 22, 28, 29, 53 | live transcripts, their routing, polling and search | test_transcripts.py |
| 23, 24, 25, 26, 54, 55, 56, 67 | indexes on live streams, and alerts | test_indexes.py |
| 66 | understanding a recording, and asking for it | test_understanding.py |
| 31, 32, 33, 39, 49, 62 | exports, and their pages | test_exports.py |
| 34, 35, 36, 37 | indexing and searching a recording | test_video_search.py |
| 65 | scenes of a recording, and indexes of what it shows and says | test_video_scenes.py |
| 46, 64 | long jobs; transcripts, clips and subtitles of a recording | test_spoken_words.py |
| 38, 60, 61 | the editor, and the old timeline | test_editor.py |
| 58, 59, 68 | uploads, images and their links | test_uploads.py |
| (Tier B) | downloads | test_downloads.py |
| 43, 44, 45 | slashes, errors, deletions | test_wire.py |
| 40, 41, 42 | a backend and a client as a user begins with them, by environment alone | test_quickstarts.py |
| 50, 51 | cameras connected by URL, and lists of streams | test_pulled_streams.py |
| 52, 63 | stretches of streams, pictures of videos | test_streams.py |

Python is 0.4.0 and 0.5.1 where a test takes `py`, else as the check says; Node is 0.2.0. Three captures are
shared: `meeting` (0.5.1, three channels, 17 s), `two_displays` (0.4.0) and `unstored` (0.5.1).
"""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.captures import (
    LEAD_SECONDS,
    PAUSE_SECONDS,
    Capture,
    Script,
    capture,
    speech,
    write_screen,
    write_sound,
)
from tests.fixtures.sdks import NEWEST, OLDEST, Sdk, node_sdk, python_sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver

EXPORTED_LINES = 4


@pytest.fixture(scope="session")
def pythons(stack: RunningStack) -> dict[str, Sdk]:
    """Both Python SDKs, connected to the running product."""
    given = {"base_url": stack.base_url, "api_key": stack.api_key}
    return {version: python_sdk(version).given(**given) for version in (OLDEST, NEWEST)}


@pytest.fixture(params=[OLDEST, NEWEST])
def py(request: pytest.FixtureRequest, pythons: dict[str, Sdk]) -> Sdk:
    return pythons[request.param]


@pytest.fixture(scope="session")
def node(stack: RunningStack) -> Sdk:
    """The Node SDK; a snippet makes its own connection."""
    return node_sdk().given(base_url=stack.base_url, api_key=stack.api_key)


@pytest.fixture(scope="session")
def redirected(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `capture redirect` tells the user to export, while it runs."""
    folder: Path = tmp_path_factory.mktemp("redirect")
    argv = [sys.executable, "-m", "app.cli", "redirect", "--port", "0"]
    environment = {"CAPTURE_PUBLIC_URL": stack.base_url, "CAPTURE_DATA_DIR": str(folder)}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            comment, *lines = [process.stdout.readline() for _ in range(1 + EXPORTED_LINES)]
            assert comment.startswith("# ")
            exports = [re.fullmatch(r"export (\w+)=(.*)\n", line) for line in lines]
            yield {found[1]: shlex.split(found[2])[0] for found in exports if found is not None}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.fixture(scope="session")
def receiver() -> Iterator[WebhookReceiver]:
    """Where the shared captures send their webhooks."""
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def collection_id(pythons: dict[str, Sdk]) -> str:
    """A collection of this run's own."""
    made: str = pythons[NEWEST].run(
        "emit(conn.create_collection('Conformance', 'checks of the contract').id)"
    )
    return made


@pytest.fixture(scope="session")
def unstored(
    pythons: dict[str, Sdk],
    receiver: WebhookReceiver,
    collection_id: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Capture:
    """A short capture of which nothing is stored."""
    sound = write_sound(tmp_path_factory.mktemp("unstored") / "mic.wav", [1.0])
    script = Script({"mic:default": sound}, longest="mic:default", stored=[])
    return capture(pythons[NEWEST], receiver, script, collection_id, {})


@pytest.fixture(scope="session")
def meeting(
    pythons: dict[str, Sdk],
    receiver: WebhookReceiver,
    collection_id: str,
    tmp_path_factory: pytest.TempPathFactory,
    unstored: Capture,
) -> Capture:
    """Speech on the microphone, then, after a pause, on the system's sound, and a screen; all stored.

    After `unstored`, so that what must not follow that one has had the time of a whole capture to come.
    """
    folder = tmp_path_factory.mktemp("meeting")
    spoken, answered = speech("two_cities.wav", 1.0, 8.5), speech("beckett.wav", 0.0, 6.0)
    before_answer = LEAD_SECONDS + 7.5 + PAUSE_SECONDS
    files = {
        "mic:default": write_sound(folder / "mic.wav", [LEAD_SECONDS, spoken]),
        "system_audio:default": write_sound(folder / "system.wav", [before_answer, answered]),
        "display:1": write_screen(folder / "screen.mp4", "display:1", before_answer + 6.5),
    }
    script = Script(files, longest="display:1", stored=list(files))
    last_words = {"session": "foolishness", "own": "try again"}
    return capture(pythons[NEWEST], receiver, script, collection_id, last_words)


@pytest.fixture(scope="session")
def two_displays(
    pythons: dict[str, Sdk],
    receiver: WebhookReceiver,
    collection_id: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Capture:
    """By the oldest SDK: two displays, of which the second is primary; it and the microphone are stored."""
    folder = tmp_path_factory.mktemp("two_displays")
    spoken, answered = speech("two_cities.wav", 1.0, 4.5), speech("beckett.wav", 0.0, 3.1)
    files = {
        "mic:default": write_sound(folder / "mic.wav", [LEAD_SECONDS, spoken]),
        "system_audio:default": write_sound(folder / "system.wav", [LEAD_SECONDS, answered]),
        "display:1": write_screen(folder / "one.mp4", "display:1", LEAD_SECONDS + 4.5),
        "display:2": write_screen(folder / "two.mp4", "display:2", LEAD_SECONDS + 4.5),
    }
    script = Script(files, longest="display:2", stored=["mic:default", "display:2"], primary="display:2")
    last_words = {"session": "worst", "own": "failed"}
    return capture(pythons[OLDEST], receiver, script, collection_id, last_words)


@pytest.fixture(params=["meeting", "two_displays"])
def live(request: pytest.FixtureRequest) -> Capture:
    """Each stored capture in turn, so that both Python versions have recorded."""
    found: Capture = request.getfixturevalue(request.param)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs one of the shared captures is slow, whichever test comes first."""
    for item in items:
        if {"meeting", "live", "unstored"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
