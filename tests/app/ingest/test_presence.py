import subprocess
import sys
from pathlib import Path

from app.ingest.presence import forget, killed, present

HOLD = """
import sys
from pathlib import Path
from app.ingest.presence import present

with present(Path(sys.argv[1]), "ing-child"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_left_is_forgotten_and_who_lives_is_not_killed(tmp_path: Path) -> None:
    with present(tmp_path, "ing-a"), present(tmp_path, "ing-b"):
        assert killed(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_is_found_until_it_was_seen_to(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert killed(tmp_path) == []
        child.kill()
    assert killed(tmp_path) == ["ing-child"]
    forget(tmp_path, "ing-child")
    assert killed(tmp_path) == []
