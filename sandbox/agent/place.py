"""The container as the agent uses it: forking, waiting with limits, proving that nothing is left.

What is decided here: a run ends with its main process, not with its output; CPU time decides and wall time is the
backstop; whatever the host sends while a run is going on ends that run.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import confine
import spool

TICK = 0.05
MAX_INODES = 50_000
ERRORS_KEPT = 4096
"""Bytes of standard error's end that survive when it is cut."""


class Job(BaseException):
    """What a forked child is to do, once the agent's frames are off its stack."""

    def __init__(self, work: Callable[[], int]) -> None:
        super().__init__()
        self.work = work


class Ended(NamedTuple):
    """How processes ended. reason: cpu, wall, memory, output, files, cancelled, or nothing of ours."""

    reason: str
    status: int
    cpu: float
    wall: float
    memory: int


class Failed(Exception):
    """The container doesn't work, or wasn't clean when a program came: to be thrown away."""


class Place:
    """The container as the agent uses it: users, files that are used again and again, processes that belong."""

    def __init__(self, users: confine.Users, host: int) -> None:
        self.users = users
        self.host = host
        self.known = {1, os.getpid()}
        self.out = spool.anonymous_file()
        self.err = spool.anonymous_file()
        self.stdin = spool.anonymous_file()
        self.inputs = spool.anonymous_file()
        self.results = spool.anonymous_file()
        self.program = spool.anonymous_file()
        self.tests = spool.anonymous_file()
        self.code = spool.anonymous_file()
        self.null = spool.high(os.open("/dev/null", os.O_RDWR))
        self.data = 0
        self.resident = 0
        self.tainted = ""
        """What a run has left that could not be removed. Its own fault: it is judged, and the container ends."""

    def refresh(self) -> None:
        """After loading: what a fork starts with."""
        self.data = confine.data_size()
        with open("/proc/self/statm") as file:
            self.resident = int(file.read().split()[1]) * resource.getpagesize()

    def fork(self, uid: int, limits: confine.Rlimits, fds: tuple[int, ...], work: Callable[[], int]) -> int:
        """Start `work` as `uid` with `fds` as its only descriptors 0, 1, 2 …; the pid."""
        pid = os.fork()
        if pid == 0:
            try:
                confine.confine(uid, limits, fds)
                os.chdir("/tmp")
            except BaseException:
                os._exit(125)
            raise Job(work)
        return pid

    def watch(self, pid: int, seconds: Callable[[], tuple[float, float]], limits: confine.Limits) -> Ended:
        """Wait until process `pid` has ended, or end it. Everything else of the run is killed as well.

        seconds: how much CPU and wall time it may use, as of now.
        """
        started = time.monotonic()
        gone = confine.Exit(pid)
        waiting = select.poll()
        waiting.register(gone.fd, select.POLLIN)
        waiting.register(self.host, select.POLLIN)
        reason = ""
        while not reason:
            cpu_limit, wall_limit = seconds()
            left = started + wall_limit - time.monotonic()
            events = dict(waiting.poll(max(0.0, min(left, TICK)) * 1000))
            if gone.fd in events and gone.has_come():
                break
            reason = (
                "cancelled" if self.host in events else self.excess(started, cpu_limit, wall_limit, limits)
            )
        gone.close()
        return self.end(pid, reason, started)

    def end(self, pid: int, reason: str, started: float) -> Ended:
        """Reap a main process, after killing it if there is a `reason`, and sweep."""
        if reason:
            os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        wall = time.monotonic() - started
        clean, more = confine.sweep(self.users, self.known)
        if not clean:
            self.tainted = "processes of a run could not be ended"
        memory = max(0, (used.ru_maxrss << 10) - self.resident)
        return Ended(reason, status, used.ru_utime + used.ru_stime + more, wall, memory)

    def excess(self, started: float, cpu: float, wall: float, limits: confine.Limits) -> str:
        """Which limit the processes of a run are over now; empty if none."""
        now = confine.usage(self.known)
        if now.cpu > cpu:
            return "cpu"
        if time.monotonic() - started >= wall:
            return "wall"
        # Pages shared between forks are counted in each of them: hence the second, wider limit for the sum.
        base = self.resident
        if (
            now.largest - base > limits.memory_bytes
            or now.total - base * now.processes > 2 * limits.memory_bytes
        ):
            return "memory"
        if os.fstat(self.out).st_size > limits.output_bytes:
            return "output"
        if os.fstat(self.err).st_size > 1 << 20:
            self.cut_errors()
        if any(_inodes(root) > MAX_INODES for root in confine.WIPED):
            return "files"
        return ""

    def cut_errors(self) -> None:
        """Make the file of error output small again, but for its end, which is what is shown."""
        size = os.fstat(self.err).st_size
        tail = os.pread(self.err, ERRORS_KEPT, max(0, size - ERRORS_KEPT))
        os.ftruncate(self.err, 0)
        # What the program writes meanwhile goes behind it: it has the file open for appending.
        os.write(self.err, tail)

    def tidy(self, roots: tuple[str, ...] = confine.WIPED) -> None:
        """Remove what a run left; `tainted` if that can't be done."""
        for _ in range(3):
            if confine.wipe(self.users, roots):
                return
        self.tainted = "files of a run could not be removed"

    def emit(self, source: int, start: int, size: int) -> int:
        """Append a part of a file to the results; how many bytes it was."""
        return spool.copy(source, start, size, self.results)


def _inodes(root: str) -> int:
    try:
        facts = os.statvfs(root)
    except OSError:
        return 0
    return facts.f_files - facts.f_ffree


def exit_facts(status: int) -> dict[str, Any]:
    """Exit code or signal of a wait status."""
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit": os.WEXITSTATUS(status)}
