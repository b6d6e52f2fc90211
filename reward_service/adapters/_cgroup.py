"""A control group for one sandbox without a container engine: memory, processes and one CPU, where that can be had.

What is decided here: version 2 if its controllers are delegated to us, else version 1; and that a machine that gives
us neither runs without (the agent's own watch on memory and CPU time stays, see `bubblewrap.py`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000


class Cgroup:
    """One group, in one directory (version 2) or one for each controller (version 1)."""

    def __init__(self, directories: list[Path]) -> None:
        self._directories = directories

    @classmethod
    def create(cls, name: str, *, memory_bytes: int, processes: int) -> Cgroup | None:
        """A new group with these limits and one CPU; None where there can't be one."""
        group = cls([])
        try:
            if (ROOT / "cgroup.controllers").exists():
                group._version_2(name, memory_bytes, processes)
            else:
                group._version_1(name, memory_bytes, processes)
        except OSError:
            group.remove()
            return None
        return group

    def _version_2(self, name: str, memory_bytes: int, processes: int) -> None:
        path = ROOT / name
        path.mkdir()
        self._directories.append(path)
        (path / "memory.max").write_text(str(memory_bytes))
        (path / "pids.max").write_text(str(processes))
        (path / "cpu.max").write_text(f"{_PERIOD} {_PERIOD}")
        with contextlib.suppress(OSError):
            (path / "memory.swap.max").write_text("0")

    def _version_1(self, name: str, memory_bytes: int, processes: int) -> None:
        for controller, file, value in (
            ("memory", "memory.limit_in_bytes", str(memory_bytes)),
            ("pids", "pids.max", str(processes)),
            ("cpu", "cpu.cfs_quota_us", str(_PERIOD)),
        ):
            if not (ROOT / controller / "tasks").exists():
                raise FileNotFoundError(controller)
            path = ROOT / controller / name
            path.mkdir()
            self._directories.append(path)
            (path / file).write_text(value)
        with contextlib.suppress(OSError):  # kernels without swap accounting
            (ROOT / "memory" / name / "memory.memsw.limit_in_bytes").write_text(str(memory_bytes))

    def add(self, pid: int) -> None:
        """Move a process into the group."""
        for path in self._directories:
            (path / "cgroup.procs").write_text(str(pid))

    def remove(self) -> bool:
        """Remove the group; False while processes are still ending in it."""
        for path in list(self._directories):
            try:
                path.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return False
            self._directories.remove(path)
        return True


def remove_stale(prefix: str) -> None:
    """Remove the empty groups `prefix-<pid>-…` of services that were killed."""
    for path in (*ROOT.glob(f"{prefix}-*"), *ROOT.glob(f"*/{prefix}-*")):
        pid = path.name.removeprefix(f"{prefix}-").partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                path.rmdir()
