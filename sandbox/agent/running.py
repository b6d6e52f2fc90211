"""The three styles of running a program.

What is decided here: how the end of a run becomes a status; and that what a frame of the program says is not looked
at, but for whether it starts as an answer has to. Results are dicts of small facts; texts of the program go into the
spool and are read by the host.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import confine
import spool
from asserting import run_tests
from calling import Candidate
from languages import BUILD, Language
from place import Ended, Place, exit_facts
from python_program import CPU, compile_and_run, only_compile, read_all, run_program, write_files

STDERR_BYTES = 4096
COMPILED_BYTES = 256 << 20
SMALL = 64 << 10
"""Python programs up to this size are compiled by their first run: a process less."""


class Lease:
    """One program, its limits, and what its runs have used."""

    def __init__(self, place: Place, opening: dict[str, Any], language: Language | None) -> None:
        self.place = place
        self.limits = confine.Limits(*opening["limits"])
        self.style: str = opening["style"]
        self.language = language
        self.spent = 0.0
        # What was compiled stays for the next run; the tester's user owns it.
        self.roots = tuple(root for root in confine.WIPED if not (language and root == BUILD))
        self.broken: dict[str, Any] | None = None
        """Why the program can't be compiled."""
        self.candidate: Candidate | None = None
        # A process that answers calls lives through all of them.
        longest = self.limits.total_cpu_seconds if self.style == "function" else self.limits.cpu_seconds
        self.rlimits = confine.rlimits(self.limits, longest, data=place.data)
        if language:
            self.rlimits = confine.rlimits(
                self.limits, self.limits.cpu_seconds, reserve=language.reserve, stack=language.stack
            )

    # Compiling ----------------------------------------------------------------------------------------------

    def prepare(self, size: int) -> None:
        """Compile the program, if that is not left to its first run; `broken` if it can't be."""
        if self.style != "stdio":
            return
        if not self.language and size <= SMALL:
            spool.clear(self.place.code)
            return
        place, limits = self.place, self.limits
        for fd in (place.out, place.err, place.code):
            spool.clear(fd)
        rlimits = confine.rlimits(
            limits._replace(memory_bytes=max(limits.memory_bytes, 1 << 30)),
            limits.compile_seconds,
            data=place.data,
            reserve=max(1 << 30, self.language.reserve) if self.language else 1 << 30,
            stack=self.language.stack if self.language else confine.STACK,
            file_bytes=COMPILED_BYTES,
        )
        fds: tuple[int, ...]
        if self.language:
            work = _compiling(self.language)
            fds = (place.null, place.err, place.err, place.program)
            pid = place.fork(place.users.tester, rlimits, fds, work)
        else:
            fds = (place.null, place.err, place.err, place.program, place.code)
            pid = place.fork(place.users.candidate, rlimits, fds, lambda: only_compile(3, 4))
        ended = place.watch(pid, self._compile_limits, limits._replace(memory_bytes=4 << 30))
        if ended.reason or ended.status:
            self._not_compiled(ended)
        place.tidy(self.roots)

    def _compile_limits(self) -> tuple[float, float]:
        return self.limits.compile_seconds, 3 * self.limits.compile_seconds + 5

    def _not_compiled(self, ended: Ended) -> None:
        facts = {"status": "compile_error", "cpu": ended.cpu, "wall": ended.wall} | exit_facts(ended.status)
        self.broken = facts | {"message": f"compiling: {ended.reason} limit" if ended.reason else ""}
        if ended.reason == "cancelled":
            self.broken = {"status": "cancelled"}

    def _compiled_in(self) -> float | None:
        """CPU seconds that compiling the Python program took; None as long as it isn't done."""
        begin = spool.head(self.place.code, CPU.size)
        return CPU.unpack(begin)[0] if len(begin) == CPU.size else None

    def _unclean(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a run that left what can't be removed: no program may become unjudgeable that way."""
        flags = [*result.get("flags", []), "left_behind"]
        return result | {
            "status": "runtime_error",
            "broken": True,
            "flags": flags,
            "message": self.place.tainted,
        }

    def failure(self) -> dict[str, Any]:
        """The result of a run of a program that can't be compiled; the compiler's words are still in the file."""
        assert self.broken is not None
        size = os.fstat(self.place.err).st_size
        start = max(0, size - STDERR_BYTES)
        return self.broken | {"broken": True, "stderr": self.place.emit(self.place.err, start, size - start)}

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, start: int, size: int, index: int) -> dict[str, Any]:
        """One run with the input at `start` of the inputs; the result."""
        if self.broken is not None:
            return self.failure()
        if self.place.tainted:
            return self._unclean({})
        left = self.limits.total_cpu_seconds - self.spent
        if left <= 0:
            return {"status": "time_limit", "message": "the CPU time of all runs together is used up"}
        cpu = min(self.limits.cpu_seconds, left)
        if self.style == "stdio":
            result = self._stdio(start, size, cpu)
        elif self.style == "function":
            result = self._function(start, size, index, cpu)
        else:
            result = self._assert(cpu)
        self.spent += result.get("cpu", 0.0)
        return self._unclean(result) if self.place.tainted else result

    def _stdio(self, start: int, size: int, cpu: float) -> dict[str, Any]:
        place = self.place
        for fd in (place.out, place.err):
            spool.clear(fd)
        stdin = place.null
        if size:
            spool.clear(place.stdin)
            spool.copy(place.inputs, start, size, place.stdin)
            os.lseek(place.stdin, 0, os.SEEK_SET)
            stdin = place.stdin

        def seconds() -> tuple[float, float]:
            if self.language:
                return cpu, limits.wall_seconds
            compiling = self._compiled_in()
            if compiling is None:
                return self._compile_limits()
            return (compiling if first else 0.0) + cpu, limits.wall_seconds

        work: Callable[[], int]
        limits, rlimits = self.limits, self.rlimits
        first = not self.language and self._compiled_in() is None
        fds: tuple[int, ...] = (stdin, place.out, place.err)
        if first:
            fds += (place.program, place.code)
            file_bytes = confine.file_size(limits)
            rlimits = confine.rlimits(
                limits,
                limits.compile_seconds + cpu,
                data=place.data,
                file_bytes=max(file_bytes, COMPILED_BYTES),
            )
            work = lambda: compile_and_run(3, 4, cpu, file_bytes)  # noqa: E731
        elif self.language:
            fds += (place.program,)
            work = _executing(self.language)
        else:
            fds += (place.code,)
            work = _program
        ended = place.watch(place.fork(place.users.candidate, rlimits, fds, work), seconds, limits)
        if first:
            compiling = self._compiled_in()
            if compiling is None:
                self._not_compiled(ended)
                place.tidy(self.roots)
                return self.failure()
            ended = ended._replace(cpu=max(0.0, ended.cpu - compiling))
        result = self.judge(ended, cpu)
        place.tidy(self.roots)
        return result

    def judge(self, ended: Ended, cpu: float) -> dict[str, Any]:
        """Status and texts of a run on standard input and output."""
        place, limits = self.place, self.limits
        size = os.fstat(place.out).st_size
        errors = os.fstat(place.err).st_size
        result: dict[str, Any] = {"cpu": ended.cpu, "wall": ended.wall, "memory": ended.memory}
        result |= exit_facts(ended.status)
        exhausted = self.language.exhausted if self.language else (b"MemoryError",)
        killed = os.WIFSIGNALED(ended.status) and os.WTERMSIG(ended.status)
        if ended.reason == "cancelled":
            status = "cancelled"
        elif (
            ended.reason in ("memory", "files")
            or ended.memory > limits.memory_bytes
            or (killed == signal.SIGKILL and not ended.reason and ended.memory > limits.memory_bytes // 2)
            or (ended.status and not ended.reason and spool.tail_has(place.err, errors, exhausted))
        ):
            status = "memory_limit"
        elif ended.reason == "output" or size > limits.output_bytes:
            status = "output_limit"
        elif ended.reason in ("cpu", "wall") or ended.cpu > cpu or killed == signal.SIGXCPU:
            status = "time_limit"
        elif ended.status:
            status = "runtime_error"
        else:
            status = "ok"
        result["status"] = status
        if ended.reason:
            result["message"] = f"{ended.reason} limit"
        if status != "cancelled":
            result["stdout"] = place.emit(place.out, 0, min(size, limits.output_bytes))
            begin = max(0, errors - STDERR_BYTES)
            result["stderr"] = place.emit(place.err, begin, errors - begin)
        return result

    def _function(self, start: int, size: int, index: int, cpu: float) -> dict[str, Any]:
        if self.candidate is None:
            self.candidate = Candidate(self.place, self.limits, self.rlimits)
            failure = self.candidate.load(cpu)
            if failure is not None:
                return self._lost(failure, cpu, loading=True)
        result = self.candidate.call(start, size, index, cpu)
        return self._lost(result, cpu, loading=False) if isinstance(result, Ended) else result

    def _lost(self, how: Ended | dict[str, Any], cpu: float, loading: bool) -> dict[str, Any]:
        """The candidate process is gone, or of no use: the result of the run that it was on."""
        if self.candidate is not None:
            self.candidate.end()
            self.candidate = None
        result = self.judge(how, cpu) if isinstance(how, Ended) else dict(how)
        if result["status"] == "ok":  # it ended by itself before it had answered
            result["status"] = "runtime_error"
            result.setdefault("flags", []).append("exit_before_result")
        if loading and result["status"] != "cancelled":
            result["broken"] = True
        return result

    def _assert(self, cpu: float) -> dict[str, Any]:
        result = run_tests(self.place, self.limits, self.rlimits, cpu)
        return self.judge(result, cpu) if isinstance(result, Ended) else result

    def end_request(self) -> None:
        """After the last run of a request: no process and no file is left."""
        if self.candidate is not None:
            self.candidate.end()
            self.candidate = None


def _program() -> int:
    return run_program(3)


def _compiling(language: Language) -> Callable[[], int]:
    def work() -> int:
        """Write the source and run the compilers, as the tester's user."""
        fields = json.loads(read_all(3))
        os.close(3)
        os.umask(0o022)
        os.mkdir(f"{BUILD}/program", 0o755)
        os.chdir(f"{BUILD}/program")
        with open(language.source, "w", encoding="utf-8", newline="") as file:
            if fields.get("preamble"):
                file.write(fields["preamble"] + "\n")
            file.write(fields["source"])
        os.environ.update(language.environment, TMPDIR=BUILD)
        for arguments in language.compile:
            status = os.spawnvp(os.P_WAIT, arguments[0], list(arguments))
            if status:
                return status if 0 < status < 126 else 1
        return 0

    return work


def _executing(language: Language) -> Callable[[], int]:
    arguments = [part.replace("{build}", f"{BUILD}/program") for part in language.run]

    def work() -> int:
        """Become the program."""
        if os.fstat(3).st_size < 1 << 22:
            files = json.loads(read_all(3)).get("files")
            if files:
                write_files(files)
        os.close(3)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.environ.update(language.environment)
        os.execvp(arguments[0], arguments)
        return 127

    return work
