#!/usr/bin/env python3
"""Installs OpenCapture beside this file, once, and runs it: `python3 run.py [up|demo|test|check|…]`.

Standard library only, for the Python it is started with. With no argument it is `up`. Arguments after the
command are passed on: to pytest for `test` and `quick`, to the `capture` command for everything else.
`--vision` installs what looks at pictures too: torch and open_clip, half a gigabyte to fetch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "opencapture.json"
PROJECTS = (ROOT / "pyproject.toml", ROOT / "recorder" / "pyproject.toml")
OLDEST_PYTHON = (3, 11)

PRODUCT = frozenset({"embedded", "speech", "screen"})
RECORDER = "./recorder"  # a distribution of its own, installed like an extra
DEMO = PRODUCT | {"demo", RECORDER}
VISION = "vision"
CHECK = DEMO | {"test"}
TEST = CHECK | {VISION}
NEEDS = {"demo": DEMO, "test": TEST, "quick": TEST, "check": CHECK, "fix": CHECK}

# What pyproject.toml asks for; of the same release, its build is picked here.
TORCH = "torch==2.13.0"

NO_CPU_BUILD = (
    f"there is no NVIDIA GPU here, and pip finds no build of {TORCH} without CUDA. Name PyTorch's index for"
    " the CPU in PIP_EXTRA_INDEX_URL (the install page of pytorch.org gives it), and start again"
)

# What the tests of the recorder and of the web pages drive: program, then its Debian package.
TEST_PROGRAMS = {"chromium": "chromium", "ffmpeg": "ffmpeg", "Xvfb": "xvfb", "pulseaudio": "pulseaudio"}
# What a WHIP publisher of GStreamer's is made of, known by the typelib that needs all but the plugins.
GSTREAMER_TYPELIB = "*-linux-gnu/girepository-1.0/GstWebRTC-1.0.typelib"
GSTREAMER = (
    *("gir1.2-gst-plugins-bad-1.0", "gstreamer1.0-nice", "gstreamer1.0-plugins-bad"),
    *("gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "python3-gi"),
)

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("mypy", "recorder"),
    ("lint-imports",),
)
# One more at a time than there are cores, each with servers of its own: most tests wait rather than work. The
# tests of a file share captures, so it stays in one piece. `-n0` runs them one by one.
SPLIT = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--no-loadscope-reorder")
ALONE = ("-n", "0", "--last-failed", "--last-failed-no-failures", "none")
TESTS_FAILED = 1  # pytest's status; others say that it was interrupted, or could not run
FIXES = (("ruff", "check", "--fix", "."), ("ruff", "format", "."))


def program(name: str) -> str:
    return str(VENV / "bin" / name)


def say(line: str) -> None:
    print(f"run.py: {line}", file=sys.stderr, flush=True)


def refuse_unfit_python() -> None:
    """Exit with one line where this Python cannot make the virtual environment."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"OpenCapture needs Python 3.11 or newer, not {version}: start run.py with a newer one")
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        sys.exit(f"this Python {version} cannot make virtual environments: apt-get install {package}")


def wanted_stamp() -> dict[str, object]:
    """What an installation depends on besides its extras; every script of a moved one has the old path."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in PROJECTS))
    return {"python": sys.version, "folder": str(ROOT), "projects": digest.hexdigest()}


def read_stamp() -> dict[str, object]:
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def write_stamp(fields: dict[str, object]) -> None:
    STAMP.write_text(json.dumps(fields), encoding="utf-8")


def is_sound() -> bool:
    """Whether .venv belongs to this Python and has pip."""
    code = "import pip, sys; print(sys.version)"
    try:
        asked = subprocess.run([program("python"), "-c", code], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return asked.returncode == 0 and asked.stdout.strip() == sys.version.strip()


def make_venv(found: dict[str, object], wanted: dict[str, object]) -> None:
    """Make .venv, or anew where this script made one that no longer fits; another's is never touched.

    The stamp comes first: it says whose folder this is, also after an interruption.
    """
    ours = STAMP.exists() and not found.get("adopted")
    if is_sound() and found.get("folder", wanted["folder"]) == wanted["folder"]:
        write_stamp({"folder": wanted["folder"], "adopted": not ours})
        return
    if VENV.exists() and not ours:
        sys.exit(f"{VENV} was made by something else, for another Python: remove it, or use that Python")
    say(f"making {VENV}")
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    write_stamp({"folder": wanted["folder"], "adopted": False})
    run_or_exit([sys.executable, "-m", "venv", str(VENV)])


def install(extras: frozenset[str], *, may_lack_vision: bool) -> None:
    """Make .venv hold `extras` and those installed before; the stamp is filled last, so a cut is retried."""
    wanted, found = wanted_stamp(), read_stamp()
    before = found.get("extras", [])
    installed = frozenset(before if isinstance(before, list) else [])
    if extras <= installed and wanted.items() <= found.items():
        return
    extras |= installed
    make_venv(found, wanted)
    if VISION in extras and VISION not in installed and not install_torch():
        if not may_lack_vision:
            sys.exit(f"run.py: {NO_CPU_BUILD}")
        say(f"the tests that look at pictures are left out: {NO_CPU_BUILD}")
        extras -= {VISION}
    say(f"installing OpenCapture with {', '.join(sorted(extras))}; this happens once")
    if VISION not in extras:
        say("what looks at pictures is left out, to keep it small: `run.py up --vision` adds it")
    names = ",".join(sorted(extras - {RECORDER}))
    recorder = ["-e", RECORDER] if RECORDER in extras else []
    run_or_exit([*pip_install(), "-e", f".[{names}]", *recorder])
    write_stamp({**read_stamp(), **wanted, "extras": sorted(extras)})


def pip_install() -> list[str]:
    return [program("python"), "-m", "pip", "install", "--disable-pip-version-check"]


def has_gpu() -> bool:
    """Whether an NVIDIA driver answers with a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        asked = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and "GPU" in asked.stdout


def install_torch() -> bool:
    """Install the build of torch that this machine has a use for, and say which; False where there is none.

    On Linux the usual build brings 3 GB of CUDA, wanted only beside a GPU.
    """
    if has_gpu():
        say(f"an NVIDIA GPU is here: {TORCH} in its usual build, with CUDA")
        run_or_exit([*pip_install(), TORCH])
        return True
    for_cpu = f"{TORCH}+cpu"
    if subprocess.run([*pip_install(), "--quiet", for_cpu], capture_output=True).returncode == 0:
        say(f"no NVIDIA GPU is here: {for_cpu}, without CUDA")
        return True
    if brings_cuda():
        return False
    say(f"no NVIDIA GPU is here: {TORCH}, whose build for this system has no CUDA")
    run_or_exit([*pip_install(), TORCH])
    return True


def brings_cuda() -> bool:
    """Whether torch, as pip would install it, comes with CUDA."""
    plan = [*pip_install(), "--quiet", "--dry-run", "--report", "-", TORCH]
    asked = subprocess.run(plan, capture_output=True, text=True)
    if asked.returncode != 0:
        sys.exit(f"run.py: pip finds no {TORCH}: {asked.stderr.strip()[-300:]}")
    names = [part["metadata"]["name"].lower() for part in json.loads(asked.stdout)["install"]]
    return any(name.startswith("nvidia-") for name in names)


def run_or_exit(argv: list[str]) -> None:
    ended = subprocess.run(argv, cwd=ROOT)
    if ended.returncode != 0:
        sys.exit(f"run.py: failed with status {ended.returncode}: {' '.join(argv)}")


def install_test_programs() -> None:
    """Install the Debian packages that tests drive, where this may be done; else say which are missing."""
    missing = sorted(package for name, package in TEST_PROGRAMS.items() if shutil.which(name) is None)
    if not any(Path("/usr/lib").glob(GSTREAMER_TYPELIB)):
        missing += GSTREAMER
    if not missing:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {' '.join(missing)} for the tests")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
            if subprocess.run(["apt-get", *step], env=environment).returncode != 0:
                break
        else:
            return
    say(f"tests that drive a browser, a screen or sound need: apt-get install {' '.join(missing)}")


def run_all(steps: tuple[tuple[str, ...], ...]) -> None:
    """Run every step, whatever the others say; exit with 1 where one failed."""
    failed = []
    for name, *arguments in steps:
        line = " ".join([name, *arguments])
        say(line)
        if subprocess.run([program(name), *arguments], cwd=ROOT).returncode != 0:
            failed.append(line)
    if failed:
        sys.exit(f"run.py: failed: {', '.join(failed)}")


def run_tests(*arguments: str) -> None:
    """Several tests at a time; what fails then is run once more, alone, and has failed if it fails again.

    Tests of live media need time on a core that the other one may have taken. The first failure stays in
    what is printed.
    """
    first = subprocess.run([program("pytest"), *SPLIT, *arguments], cwd=ROOT).returncode
    if first != TESTS_FAILED:
        sys.exit(first)
    say("some tests failed while others ran beside them; those again, alone")
    become("pytest", *ALONE, *arguments)


def become(name: str, *arguments: str) -> None:
    """Turn this process into a program of .venv: signals then reach it, and not a parent of it."""
    os.execv(program(name), [program(name), *arguments])


def main(command: str = "up", *arguments: str) -> None:
    refuse_unfit_python()
    os.chdir(ROOT)
    is_test = command in ("test", "quick")
    with_vision = frozenset({VISION} if "--vision" in arguments else ())
    arguments = tuple(argument for argument in arguments if argument != "--vision")
    install(NEEDS.get(command, PRODUCT) | with_vision, may_lack_vision=is_test)
    if command in ("test", "quick"):
        install_test_programs()
        run_tests(*(("-m", "not slow") if command == "quick" else ()), *arguments)
    elif command == "check":
        run_all(CHECKS)
    elif command == "fix":
        run_all(FIXES)
    else:
        become("capture", command, *arguments)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
