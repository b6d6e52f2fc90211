"""CPU time of a live service, by process, from /proc: wall time means nothing on a shared machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """CPU seconds: of the service's own process, and of the processes below it (dead ones included)."""

    own: float
    below: float

    def __sub__(self, other: object) -> Cpu:
        if not isinstance(other, Cpu):
            return NotImplemented
        return Cpu(self.own - other.own, self.below - other.below)

    @property
    def total(self) -> float:
        """Both."""
        return self.own + self.below


def parents() -> dict[int, int]:
    """Every process's parent."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found


def ticks(pid: int) -> tuple[int, int]:
    """(own, reaped children's) clock ticks of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def cpu_of(pid: int) -> Cpu:
    """CPU time of a process and of all below it."""
    family = parents()
    own, below = ticks(pid)
    for child in family:
        above, steps = child, 0
        while above in family and above != pid and steps < 20:
            above, steps = family[above], steps + 1
        if above == pid and child != pid:
            try:
                below += sum(ticks(child))
            except OSError:
                continue
    return Cpu(own / TICK, below / TICK)


def rss(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(loader: str, **environment: str) -> Iterator[tuple[str, int]]:
    """A service in a process of its own; yields its URL and process id."""
    with serving(["tests.load.serve", loader], **environment) as found:
        yield found


@contextmanager
def serving(module: Sequence[str], **environment: str) -> Iterator[tuple[str, int]]:
    """A module that serves on the port that is its last argument, in a process of its own; yields its URL and process id."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *module, str(port)],
        env={
            **os.environ,
            **{f"REWARD_SERVICE_{name.upper()}": value for name, value in environment.items()},
        },
    )
    try:
        until = time.monotonic() + 90
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(60)
