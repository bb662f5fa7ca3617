"""The last step before a child's program: who it runs as, and that it dies with its parent.

Runs as a script (`python -I -S launch.py …`) between fork and exec, so that nothing runs in a forked copy of
a process that has threads. Standard library only, nothing of ours: it must start in milliseconds.

Usage: launch.py <parent pid> <death signal number> <identity> <program> [argument …]
where identity is `same`, `namespace` or `<uid>:<gid>`.
"""

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
NOBODY = 65534
REFUSED = 71  # exit status: the identity asked for is not to be had here (EX_OSERR of sysexits.h)


def enter_user_namespace() -> None:
    """Become an ordinary user who is root's equal for files: inside, 65534 stands for the caller outside.

    Postgres refuses to run as root. In here it is not root and holds no capability, and what it writes still
    belongs to root outside. Raises OSError where the kernel or a container's seccomp filter refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # An unprivileged map of groups is only accepted once setgroups is given up: user_namespaces(7).
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def become(identity: str) -> None:
    """Take on `identity`; raises OSError where that is refused."""
    if identity == "same":
        return
    if identity == "namespace":
        enter_user_namespace()
        return
    uid, gid = (int(part) for part in identity.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(parent_pid: int, signal_number: int) -> None:
    """Have the kernel send this process `signal_number` when its parent is gone (Linux; elsewhere nothing).

    Comes after `become`: a change of credentials clears the setting, see prctl(2).
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # It died before the line above.
        os._exit(REFUSED)


def main(arguments: list[str]) -> None:
    parent_pid, signal_number, identity, *program = arguments
    try:
        become(identity)
    except OSError as error:
        sys.stderr.write(f"cannot run as {identity}: {error}\n")
        sys.exit(REFUSED)
    die_with_parent(int(parent_pid), int(signal_number))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
