import resource
import subprocess
import sys


def test_a_process_takes_what_it_may_have() -> None:
    # In a process of its own: a limit once lowered would be this one's.
    script = (
        "import resource; from app.base.files import allow_many_files;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300)); allow_many_files();"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["300", "300"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300
