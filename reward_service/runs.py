"""What a handler may ask of a sandbox, and what comes back.

What is decided here: the words between handlers, engine and sandboxes. A handler that can't decide by itself
returns `Work`: one program, some runs of it, and notes to itself. The engine has the runs done in one lease and
hands notes and results to the handler's `judge`, which decides or asks for more runs of the same program. So a
handler stops at the first failing test, no handler does I/O, and tests of handlers need no sandbox: they hand
recorded results to `judge`.

Nothing in a `Program` or `Run` is an expected value, but for `Program.tests`, which only the tester process sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Style(StrEnum):
    """How a program is used."""

    STDIO = "stdio"
    """A fresh process for each run: `stdin` goes in, `stdout` comes out."""
    FUNCTION = "function"
    """One process answers all runs of one request in their order: `arguments` go in, `value` comes out."""
    ASSERT = "assert"
    """Trusted tests run in a tester process; what they call lives in the program's own process."""


class RunStatus(StrEnum):
    """How a run ended. A broken sandbox is no status: it raises `SandboxUnavailable`."""

    OK = "ok"
    """stdio: exit code 0; function: the call returned; assert: the tests passed."""
    TESTS_FAILED = "tests_failed"
    """assert only: a test failed."""
    COMPILE_ERROR = "compile_error"
    """The program did not compile, or (function, assert) did not import or lacks what is to be called."""
    RUNTIME_ERROR = "runtime_error"
    """An exception, another exit code than 0, or a signal."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run, and all runs of an item, may use. CPU time decides; wall time is a backstop.

    wall_seconds: 0 means `3 * cpu_seconds + 2`. total_cpu_seconds: over all runs of one lease, compiling aside.
    compile_seconds: CPU time of one compilation. output_bytes: of stdout (stderr is cut, never a failure).
    """

    cpu_seconds: float = 10.0
    wall_seconds: float = 0.0
    total_cpu_seconds: float = 60.0
    compile_seconds: float = 30.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 4 << 20
    file_bytes: int = 16 << 20
    processes: int = 64

    @property
    def wall(self) -> float:
        """The wall seconds of one run."""
        return self.wall_seconds or 3 * self.cpu_seconds + 2


@dataclass(frozen=True, slots=True)
class Program:
    """A program to be run any number of times in one lease; compiled once.

    preamble: trusted source of the task in front of the program (imports, helper classes). entry_point: what
    function runs call and assert tests use (`two_sum`, `Solution.twoSum`, several joined by `,`); tests: the
    trusted source of assert-style tests; framework: how they are run (`script`: executed as they stand;
    `check`: then `check(entry_point)` is called; `pytest`; `unittest`). files: name -> text, readable in the
    run's directory. options: what else the candidate's or tester's runtime should know (plain data).
    """

    language: str
    source: str
    style: Style = Style.STDIO
    preamble: str = ""
    entry_point: str = ""
    tests: str = ""
    framework: str = "script"
    files: Mapping[str, str] = field(default_factory=dict)
    limits: RunLimits = RunLimits()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. stdio: `stdin`. function: `arguments`, tagged values (`handlers/_values.py`); assert: neither."""

    stdin: str = ""
    arguments: Any = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came back. stdout, stderr: text (undecodable bytes as U+FFFD), stderr cut to its last 4 kB.

    value: function style, the tagged return value as the JSON text that the program's process sent: hostile, to be
    decoded under caps in the pool (`handlers/_values.py`). message: for people, what went wrong (compiler
    output, exception, the failing test without its expected value). cpu_seconds, wall_seconds: of this run;
    memory_bytes: peak. flags: what looked like an attack.
    """

    status: RunStatus
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    memory_bytes: int = 0
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What a handler needs to know before it can decide: runs of one program, in this order.

    notes: plain data (JSON-like), handed back to `judge` with the results. Later work of the same item must ask
    for the same program. stop_early: the rest of the runs is skipped after the first that is not `OK`; results
    are then fewer than runs.
    """

    program: Program
    runs: tuple[Run, ...]
    notes: Any = None
    stop_early: bool = True
