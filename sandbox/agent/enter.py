"""The last step into a sandbox that bubblewrap made: what an engine does and `bwrap` has no option for.

    python3 -I -S /agent/enter.py SECCOMP_FD PATH:SIZE:MODE:INODES:FLAGS... -- COMMAND...

What is decided here: writable directories are tmpfs with a limit of inodes and, but for `exec` among their flags,
without execution; then every capability goes but the agent's four, also from the bounding set; then the seccomp
filter, read from a descriptor as a BPF program; then the command. Any failure ends it: no half sandbox.
"""

from __future__ import annotations

import ctypes
import os
import sys

KEPT = {5, 6, 7, 8}
"""CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP."""
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_PR_SET_SECCOMP, _MODE_FILTER, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 2, 24, 38

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def check(result: int, what: str) -> None:
    """Raise the C library's error if a call failed."""
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(description: str) -> None:
    """Mount one tmpfs over an existing directory."""
    path, size, mode, inodes, flags = description.split(":")
    options = f"size={size},mode={mode},nr_inodes={inodes}"
    how = _NOSUID | _NODEV | (0 if "exec" in flags else _NOEXEC)
    check(
        _libc.mount(b"tmpfs", path.encode(), b"tmpfs", ctypes.c_ulong(how), options.encode()),
        f"mounting {path}",
    )


def drop_capabilities() -> None:
    """Keep the agent's own. They come back at the exec: the bounding set is what counts."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        if capability not in KEPT:
            check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), f"dropping capability {capability}")


def filter_calls(fd: int) -> None:
    """Install the filter of the descriptor, for good."""
    program = os.pread(fd, 1 << 20, 0)
    os.close(fd)
    check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    loaded = _Program(len(program) // 8, program)
    check(_libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(loaded), 0, 0), "seccomp")


def main(argv: list[str]) -> None:
    """Do all of it, and become the command."""
    at = argv.index("--")
    for description in argv[1:at]:
        mount(description)
    drop_capabilities()
    filter_calls(int(argv[0]))
    os.execv(argv[at + 1], argv[at + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
