"""What makes a forked process harmless, and what proves that it left nothing.

What is decided here: limits and the change of user, in the order in which they work; and the sweep after each run:
every process of the slot's users is killed as those users, until the kernel names no child of ours any more, and
every file is removed. Killing a process group isn't enough (setsid), and a recursive delete isn't either (3,000
nested directories). What can't be proved clean is reported, and the host throws the container away.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import stat
import time
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 4, 24, 36, 38
_STACK_OF_THREADS = 8 << 20
STACK = 512 << 20
"""Stack of a Python program's main thread in bytes: deep recursion through C (lru_cache) needs it."""
OPEN_FILES = 256
SLACK = 256 << 20
"""Data that may be allocated on top of the memory limit without being touched (stacks of threads, arenas)."""
WIPED = ("/tmp", "/var/tmp", "/dev/shm", "/build")
"""The directories that a program can write to."""
SWEEP_SECONDS = 5.0
_WALL = 0x40000000
"""Also children that were made with another exit signal than SIGCHLD."""


class Users(NamedTuple):
    """The two users of a slot (uid and gid are the same number). The agent is neither."""

    candidate: int
    tester: int


class Limits(NamedTuple):
    """Limits of a run, as the host sent them; see `reward_service/runs.py`."""

    cpu_seconds: float
    wall_seconds: float
    total_cpu_seconds: float
    compile_seconds: float
    memory_bytes: int
    output_bytes: int
    file_bytes: int
    processes: int


Rlimits = tuple[tuple[int, tuple[int, int]], ...]


def rlimits(
    limits: Limits,
    cpu: float,
    *,
    data: int = 0,
    reserve: int = SLACK,
    stack: int = STACK,
    file_bytes: int = 0,
) -> Rlimits:
    """Kernel limits of one process that may use `cpu` seconds.

    Data, not address space: reserving address space is what thread stacks, numpy and every runtime do. `data`:
    what the process starts with. CPU time is a backstop a second later than the agent's own clock.
    """
    memory = data + limits.memory_bytes + reserve
    size = file_bytes or file_size(limits)
    seconds = int(cpu) + 2
    return (
        (resource.RLIMIT_CPU, (seconds, seconds + 1)),
        (resource.RLIMIT_FSIZE, (size, size)),
        (resource.RLIMIT_DATA, (memory, memory)),
        (resource.RLIMIT_STACK, (stack, stack)),
        (resource.RLIMIT_NPROC, (limits.processes, limits.processes)),
    )


def file_size(limits: Limits) -> int:
    """How large a file of a run may grow: standard output is one too."""
    return max(limits.file_bytes, limits.output_bytes + (1 << 16))


_INHERITED: Rlimits = (
    (resource.RLIMIT_CORE, (0, 0)),
    (resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES)),
    (resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16)),
    (resource.RLIMIT_MSGQUEUE, (0, 0)),
)
"""The agent's own limits too."""


def prepare_agent() -> None:
    """Once, in the agent: nobody may look into it, no child can gain anything, threads get usual stacks.

    Its own capabilities stay with it; the bounding set is for what is executed later, which is to have none.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    for what, value in _INHERITED:
        try:
            resource.setrlimit(what, value)
        except ValueError:
            # gVisor lets nobody change this one. The seccomp profile allows no message queues anyway.
            if what != resource.RLIMIT_MSGQUEUE:
                raise
    _prepare_exits()
    attributes = ctypes.create_string_buffer(64)
    if not _libc.pthread_attr_init(attributes):
        _libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_OF_THREADS))
        _libc.pthread_setattr_default_np(attributes)


_wake: tuple[int, int] | None = None
"""A pipe that SIGCHLD writes to, where the kernel has no pidfds (gVisor before 2023)."""


def _prepare_exits() -> None:
    global _wake
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        _wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(_wake[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)


class Exit:
    """Tells when a child has ended: poll `fd`, and when it is readable ask `has_come`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid) if _wake is None else _wake[0]

    def has_come(self) -> bool:
        """Whether the child has ended, after `fd` became readable. It stays to be reaped."""
        if _wake is None:
            return True
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def close(self) -> None:
        """Give back what was opened."""
        if _wake is None:
            os.close(self.fd)


def confine(uid: int, limits: Rlimits, fds: tuple[int, ...]) -> None:
    """In a forked child: `fds` become 0, 1, 2 … and nothing else stays open; then limits, then the user."""
    # Written for few touched pages: each is copied in every run, and that is most of what a run costs.
    os.setsid()
    if _wake is not None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    dup2 = os.dup2
    number = 0
    for fd in fds:
        if fd < 8:  # it could be in the way of one that comes later
            fds = tuple(fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in fds)
            break
    for fd in fds:
        dup2(fd, number)
        number += 1
    os.closerange(number, 1 << 16)
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"1000")
        os.close(fd)
    except OSError:
        pass
    setrlimit = resource.setrlimit
    for what, value in limits:
        setrlimit(what, value)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def data_size() -> int:
    """Bytes of private data of this process, which a forked child starts with."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData"):
                return int(line.split()[1]) << 10
    return 0


class Usage(NamedTuple):
    """CPU seconds and memory of all processes of a run now; processes: their number."""

    cpu: float
    largest: int
    total: int
    processes: int


_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def usage(known: set[int]) -> Usage:
    """What every process in the container but the `known` ones uses."""
    cpu, largest, total, count = 0.0, 0, 0, 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in known:
            continue
        try:
            fd = os.open(f"/proc/{name}/stat", os.O_RDONLY)
        except OSError:
            continue
        try:
            fields = os.read(fd, 2048).rpartition(b")")[2].split()
        except OSError:
            continue
        finally:
            os.close(fd)
        if len(fields) < 22:
            continue
        cpu += sum(map(int, fields[11:15])) * _TICK
        resident = int(fields[21]) * _PAGE
        largest = max(largest, resident)
        total += resident
        count += 1
    return Usage(cpu, largest, total, count)


def cpu_clock(pid: int) -> float:
    """CPU seconds of one process, to the nanosecond; 0 if it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def children(known: set[int]) -> list[int]:
    """Our children that still exist, but for the `known` ones."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as file:
            return [int(pid) for pid in file.read().split() if int(pid) not in known]
    except FileNotFoundError:  # a kernel without this file, gVisor
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in known:
                try:
                    with open(f"/proc/{name}/stat", "rb") as file:
                        fields = file.read().rpartition(b")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == me:
                    found.append(int(name))
        return found


def sweep(users: Users, known: set[int]) -> tuple[bool, float]:
    """Kill and reap all that is left of a run. Whether nothing is left, and the CPU seconds of what was."""
    cpu = 0.0
    deadline = 0.0
    while True:
        while True:
            try:
                pid, _, used = os.wait4(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                return True, cpu
            if not pid:
                break
            if pid not in known:
                cpu += used.ru_utime + used.ru_stime
            else:
                return False, cpu
        if not children(known):
            return True, cpu
        now = time.monotonic()
        deadline = deadline or now + SWEEP_SECONDS
        if now > deadline:
            return False, cpu
        kill_all(users)
        time.sleep(0.001)


def kill_all(users: Users) -> None:
    """SIGKILL to every process of both users, by a process that neither of them may signal."""
    try:
        pid = os.fork()
    except OSError:  # no process to be had: the agent does it, and its own helpers die too
        os.kill(-1, signal.SIGKILL)
        return
    if pid == 0:
        try:
            os.setresgid(users.tester, users.tester, users.tester)
            os.setresuid(users.tester, users.candidate, users.tester)
            for _ in range(20):
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def wipe(users: Users, roots: tuple[str, ...] = WIPED) -> bool:
    """Remove all files that a run left. Whether every one of the writable directories is empty now."""
    clean = True
    for root in roots:
        try:
            names = os.listdir(root)
        except OSError:
            continue
        if not names:
            continue
        for name in names:
            # The directories are the agent's and sticky, so it may remove what others put there, if it is no tree.
            path = f"{root}/{name}"
            try:
                os.unlink(path)
            except IsADirectoryError:
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            except OSError:
                pass
        if os.listdir(root):
            for uid in users:
                _as_user(uid, root)
            clean = clean and not os.listdir(root)
    return clean


def _as_user(uid: int, root: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            flatten(root)
        finally:
            os._exit(0)
    waiting = select.poll()
    ended = Exit(pid)
    waiting.register(ended.fd, select.POLLIN)
    deadline = time.monotonic() + 20.0
    while not (waiting.poll(max(0.0, deadline - time.monotonic()) * 1000) and ended.has_come()):
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            break
    ended.close()
    os.waitpid(pid, 0)


def flatten(root: str) -> None:
    """Remove this user's files below `root` without recursion: directories are moved up before they are emptied."""
    os.chdir(root)
    me = os.geteuid()
    again = True
    while again:
        again = False
        for name in os.listdir("."):
            try:
                found = os.lstat(name)
                if found.st_uid != me:
                    continue
                if not stat.S_ISDIR(found.st_mode):
                    os.unlink(name)
                    continue
                os.chmod(name, 0o700)
                for inner in os.listdir(name):
                    path = f"{name}/{inner}"
                    try:
                        os.unlink(path)
                    except IsADirectoryError:
                        os.chmod(path, 0o700)
                        os.rename(path, os.urandom(12).hex())
                        again = True
                os.rmdir(name)
            except OSError:
                continue


def left_in_kernel() -> bool:
    """Whether System V objects exist, which outlive processes. The seccomp profile allows none."""
    for kind in ("shm", "sem", "msg"):
        try:
            with open(f"/proc/sysvipc/{kind}") as file:
                if len(file.readlines()) > 1:
                    return True
        except OSError:
            continue
    return False
