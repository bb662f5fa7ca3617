"""How many files and sockets this process may have open."""

import resource

WANTED_FILES = 65_536


def allow_many_files() -> None:
    """Use what the system grants beyond its usual first limit of 1,024: each client's socket is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
