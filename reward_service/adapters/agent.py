"""The host's end of a sandbox agent: frames over a pair of streams, whatever carries them.

What is decided here: the agent's container runs programs that nobody trusts, so every frame is read as if one of
them had written it: sizes and types are checked before anything is done with them. What doesn't fit means that
the sandbox is broken (`SandboxUnavailable`), never that a program failed. The frames are described in
`sandbox/agent/agent.py`. Runs travel in chunks, so that one round trip carries many small tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style

VERSION = 1
MAX_HEADER = 1 << 20
REPLY_BYTES = 8 << 20
CHUNK_RUNS = 64
CHUNK_BYTES = 1 << 20
STDERR_BYTES = 4096
MESSAGE_CHARACTERS = 4000
PATIENCE = 60.0
"""Seconds on top of a run's limits that a frame may take: a starved machine, or heavy modules to be loaded."""

_LENGTH = struct.Struct(">I")
_STATUSES = {status.value: status for status in RunStatus}
_SCIENCE = re.compile(r"\b(?:pandas|scipy|sympy|networkx|sortedcontainers)\b")
_NUMPY = re.compile(r"\bnumpy\b")
_FLAG = re.compile(r"[a-z_]{1,40}(?::\w{1,60})?")


def sandbox_files() -> Path:
    """The directory with the agent, the image contexts and the seccomp profile."""
    package = Path(__file__).parents[1]
    shipped = package / "_sandbox"
    return shipped if shipped.is_dir() else package.parent / "sandbox"


def agent_files() -> dict[str, Path]:
    """File name in `/agent` -> where it lies here. `values.py` is the handlers' own file."""
    files = {path.name: path for path in sorted((sandbox_files() / "agent").glob("*.py"))}
    values = Path(__file__).parents[1] / "handlers" / "_values.py"
    if values.is_file():
        files["values.py"] = values
    return files


@dataclass(frozen=True, slots=True)
class Hello:
    """What an agent says first: the languages that it can run, and its Python's version."""

    languages: tuple[str, ...]
    python: str


class AgentConnection:
    """One agent. Not for use by two tasks at once.

    broken: why it must not be used again; empty while it may. interrupted: a request was abandoned, so `recover`
    comes before the next one.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frame: asyncio.Task[tuple[dict[str, Any], bytes]] | None = None
        self._blob_limit = 1 << 20
        self.broken = ""
        self.interrupted = False
        self.runs = 0

    async def start(self, seconds: float = 30.0) -> Hello:
        """Wait for the agent's first frame. SandboxUnavailable if it doesn't come in time."""
        header, _ = await self._receive(seconds)
        languages = header.get("languages")
        if header.get("op") != "hello" or header.get("version") != VERSION or not isinstance(languages, list):
            raise self._break(f"no agent of version {VERSION} answers: {str(header)[:200]}")
        return Hello(tuple(map(str, languages[:100])), str(header.get("python", ""))[:40])

    async def ping(self, seconds: float = 5.0) -> None:
        """One round trip. SandboxUnavailable if it fails. Cancels a request that is being carried out."""
        self._send({"op": "ping", "blob": 0})
        while (await self._receive(seconds))[0].get("op") != "pong":
            continue
        self.interrupted = False

    async def recover(self) -> None:
        """After a request was abandoned: stop it, and use the agent again. SandboxUnavailable if that fails."""
        await self.ping(10.0)

    def close(self) -> None:
        """Close the stream: the agent ends, and all of its processes with it."""
        self.broken = self.broken or "closed"
        if self._frame is not None:
            self._frame.cancel()
        self._writer.close()

    async def run(
        self, program: Program, runs: Sequence[Run], *, opened: bool, stop_early: bool
    ) -> list[RunResult]:
        """Results of these runs; `opened`: the agent has this program already. See `Session.run`."""
        if self.broken or self.interrupted:
            raise SandboxUnavailable(f"the sandbox can't be used: {self.broken or 'a request was abandoned'}")
        results: list[RunResult] = []
        self.interrupted = True
        for first, chunk, more in _chunks(program, runs):
            self._send_runs(None if opened else program, first, chunk, stop_early, more)
            opened = True
            await self._drain()
            if await self._results(program, first, len(chunk), stop_early, results):
                break
        self.interrupted = False
        self.runs += len(results)
        if results and len(results) < len(runs) and not stop_early:
            # The program is of no use at all: what was said about the first run holds for the others.
            results += [results[-1]] * (len(runs) - len(results))
        return results

    def _send_runs(
        self, opening: Program | None, first: int, chunk: Sequence[bytes], stop_early: bool, more: bool
    ) -> None:
        header: dict[str, Any] = {
            "op": "run",
            "first": first,
            "sizes": [len(data) for data in chunk],
            "stop_early": stop_early,
            "more": more,
        }
        blobs: list[bytes] = []
        if opening is not None:
            body, tests = _program_blob(opening), opening.tests.encode("utf-8", "surrogatepass")
            header["open"] = {
                "language": opening.language,
                "style": opening.style.value,
                "preload": preload(opening),
                "limits": _limits(opening.limits),
                "program": len(body),
                "tests": len(tests),
            }
            self._blob_limit = opening.limits.output_bytes + 2 * CHUNK_BYTES + REPLY_BYTES + (1 << 16)
            blobs = [body, tests]
        self._send(header | {"blob": sum(map(len, blobs)) + sum(header["sizes"])}, *blobs, *chunk)

    async def _results(
        self, program: Program, first: int, expected: int, stop_early: bool, results: list[RunResult]
    ) -> bool:
        """Read the results of one frame of runs. Whether they end the whole request."""
        limits = program.limits
        allowed = limits.wall + 3 * limits.compile_seconds + PATIENCE
        start = len(results)
        while True:
            header, blob = await self._receive(allowed)
            found = header.get("results")
            if header.get("op") != "results" or not isinstance(found, list):
                raise self._break(f"unexpected frame {header.get('op')!r}")
            if len(found) > expected - (len(results) - start):
                raise self._break("more results than runs")
            at, ended = 0, False
            for facts in found:
                if not isinstance(facts, dict) or ended:
                    raise self._break("a result that is none")
                result, at = self._result(facts, blob, at, program, first + len(results) - start)
                results.append(result)
                ended = bool(facts.get("broken")) or (stop_early and result.status is not RunStatus.OK)
            if at != len(blob):
                raise self._break("a blob of another size than its parts")
            if header.get("final") is True:
                if not ended and len(results) - start != expected:
                    raise self._break("fewer results than runs")
                if header.get("tainted"):
                    self._break(f"to be replaced: {str(header['tainted'])[:200]}")
                return ended
            if ended:
                raise self._break("results after the last one")

    def _result(
        self, facts: Mapping[str, Any], blob: bytes, at: int, program: Program, index: int
    ) -> tuple[RunResult, int]:
        """One result, and where the next one's texts begin."""
        parts: list[bytes] = []
        for name, cap in (
            ("stdout", program.limits.output_bytes),
            ("stderr", STDERR_BYTES),
            ("reply", REPLY_BYTES),
        ):
            size = facts.get(name, 0)
            if type(size) is not int or not 0 <= size <= min(cap, len(blob) - at):
                raise self._break(f"a {name} of impossible size")
            parts.append(blob[at : at + size])
            at += size
        stdout, stderr, reply = parts
        flags = [str(flag) for flag in _listed(facts.get("flags")) if _FLAG.fullmatch(str(flag))]
        message = str(facts.get("message") or "")[:MESSAGE_CHARACTERS]
        status, value = str(facts.get("status")), None
        if status == "cancelled":
            raise self._break("the agent cancelled a request that nobody had cancelled")
        if program.style is Style.FUNCTION and reply:
            status, value, message, flags = _answer(reply, status, index, message, flags)
        elif reply:
            status, value, message, flags = _verdict(reply, flags)
        elif status in ("not_ready", "verdict"):
            status, flags = "runtime_error", [*flags, "protocol_violation"]
        if status not in _STATUSES:
            raise self._break(f"unknown status {status[:40]!r}")
        errors = stderr.decode("utf-8", "replace")
        result = RunResult(
            status=_STATUSES[status],
            stdout=stdout.decode("utf-8", "replace"),
            stderr=errors,
            value=value,
            exit_code=_whole(facts.get("exit")),
            signal=_whole(facts.get("signal")),
            message=message or (errors[-MESSAGE_CHARACTERS:] if status == "compile_error" else ""),
            cpu_seconds=_number(facts.get("cpu")),
            wall_seconds=_number(facts.get("wall")),
            memory_bytes=_whole(facts.get("memory")) or 0,
            flags=tuple(flags),
        )
        return result, at

    # Frames -------------------------------------------------------------------------------------------------

    def _send(self, header: dict[str, Any], *blobs: bytes) -> None:
        text = json.dumps(header, separators=(",", ":")).encode()
        try:
            self._writer.write(b"".join((_LENGTH.pack(len(text)), text, *blobs)))
        except (OSError, RuntimeError) as error:
            raise self._break(f"the agent is gone: {error}") from error

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise self._break(f"the agent takes no request: {error}") from error

    async def _receive(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        """The next frame. Reading goes on if the caller is cancelled, so that no frame is read by halves."""
        if self._frame is None:
            self._frame = asyncio.ensure_future(self._read())
        try:
            async with asyncio.timeout(seconds):
                header, blob = await asyncio.shield(self._frame)
        except TimeoutError as error:
            raise self._break(f"no answer within {seconds:.0f} s") from error
        except (OSError, EOFError, ValueError, RecursionError) as error:
            raise self._break(
                f"the stream of the agent is broken: {error or type(error).__name__}"
            ) from error
        self._frame = None
        if header.get("op") == "failed":
            raise self._break(f"the agent gave up: {str(header.get('message'))[:200]}")
        return header, blob

    async def _read(self) -> tuple[dict[str, Any], bytes]:
        (size,) = _LENGTH.unpack(await self._reader.readexactly(4))
        if size > MAX_HEADER:
            raise ValueError("a header that is too large")
        header = json.loads(await self._reader.readexactly(size))
        blob = header.get("blob", 0) if isinstance(header, dict) else None
        if type(blob) is not int or not 0 <= blob <= self._blob_limit:
            raise ValueError("a frame that is none")
        return header, await self._reader.readexactly(blob)

    def _break(self, why: str) -> SandboxUnavailable:
        self.broken = self.broken or why
        return SandboxUnavailable(f"sandbox: {why}")


class AgentSession:
    """A lease on an agent for one program; the program is sent with its first run."""

    def __init__(self, connection: AgentConnection, program: Program) -> None:
        self._connection = connection
        self._program = program
        self._opened = False

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        """See `engine.ports.Session`."""
        if not runs:
            return []
        results = await self._connection.run(self._program, runs, opened=self._opened, stop_early=stop_early)
        self._opened = True
        return results


def preload(program: Program) -> str:
    """Which agent is to fork this program: one that has loaded what it names. A wrong guess costs time only."""
    if program.language != "python":
        return "plain"
    texts = (program.source, program.preamble, program.tests)
    kind = "plain"
    if any(map(_SCIENCE.search, texts)):
        kind = "science"
    elif any(map(_NUMPY.search, texts)):
        kind = "numpy"
    return kind if program.style is Style.STDIO else f"{kind}+calls"


def _chunks(program: Program, runs: Sequence[Run]) -> Iterator[tuple[int, list[bytes], bool]]:
    """(index of the first run, inputs, whether more follow)."""
    chunk: list[bytes] = []
    size = first = 0
    for index, run in enumerate(runs):
        if program.style is Style.FUNCTION:
            data = json.dumps(run.arguments, separators=(",", ":")).encode()
        else:
            data = run.stdin.encode("utf-8", "surrogatepass") if program.style is Style.STDIO else b""
        if chunk and (len(chunk) == CHUNK_RUNS or size + len(data) > CHUNK_BYTES):
            yield first, chunk, True
            first, chunk, size = index, [], 0
        chunk.append(data)
        size += len(data)
    if chunk:
        yield first, chunk, False


def _program_blob(program: Program) -> bytes:
    fields = {
        "source": program.source,
        "preamble": program.preamble,
        "entry_point": program.entry_point,
        "framework": program.framework,
        "files": dict(program.files),
        "options": dict(program.options),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _limits(limits: RunLimits) -> list[float]:
    return [
        limits.cpu_seconds,
        limits.wall,
        limits.total_cpu_seconds,
        limits.compile_seconds,
        limits.memory_bytes,
        limits.output_bytes,
        limits.file_bytes,
        limits.processes,
    ]


def _answer(
    reply: bytes, status: str, index: int, message: str, flags: list[str]
) -> tuple[str, str | None, str, list[str]]:
    """Status, value, message and flags of a frame that the program's process sent. A value is not looked into."""
    violation = ("runtime_error", None, message, [*flags, "protocol_violation"])
    try:
        text = reply.decode()
    except UnicodeDecodeError:
        return violation
    if status == "ok":
        for prefix in (f'{{"call":{index},"value":', f'{{"call": {index}, "value": '):
            if text.startswith(prefix) and text[-1] == "}":
                return status, text[len(prefix) : -1], message, flags
        return violation
    frame = _small_object(text)
    if frame is None:
        return violation
    if status == "not_ready":
        kind = frame.get("failed")
        status = kind if kind in ("compile_error", "runtime_error") else "runtime_error"
        return status, None, str(frame.get("message", ""))[:MESSAGE_CHARACTERS], flags
    said = f"{frame.get('raised', '')}: {frame.get('message', '')}"[:MESSAGE_CHARACTERS]
    if frame.get("raised") == "MemoryError":
        status = "memory_limit"
    return status, None, said, flags


GOT_CHARACTERS = 1_000
"""Of the value that a failed test got: for explanations only."""


def _verdict(reply: bytes, flags: list[str]) -> tuple[str, str | None, str, list[str]]:
    """Status, counts (and what a failed test got) as JSON, message and flags of the tester's verdict. Its texts come from the program."""
    frame = _small_object(reply.decode("utf-8", "replace"))
    allowed = ("ok", "tests_failed", "compile_error", "runtime_error", "time_limit", "memory_limit")
    if frame is None or frame.get("status") not in allowed:
        return "runtime_error", None, "the tests gave no verdict", [*flags, "no_verdict"]
    more = [str(flag) for flag in _listed(frame.get("flags")) if _FLAG.fullmatch(str(flag))]
    told: dict[str, Any] = {name: _whole(frame.get(name)) or 0 for name in ("passed", "failed")}
    got = frame.get("got")
    if isinstance(got, str) and len(got) <= GOT_CHARACTERS:
        told["got"] = got
    return (
        frame["status"],
        json.dumps(told),
        str(frame.get("message") or "")[:MESSAGE_CHARACTERS],
        flags + more,
    )


def _small_object(text: str) -> dict[str, Any] | None:
    if len(text) > 1 << 18:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _listed(value: object) -> list[Any]:
    return value[:20] if isinstance(value, list) else []


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 62 else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e9 else 0.0
