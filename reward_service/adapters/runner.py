"""The client of the runner: the `Sandbox` port for processes that may not make containers themselves.

What is decided here: where the runner lives. Given a socket, somebody else runs it; given none, it is started as a
child with an environment of its own and the reading end of a pipe, whose writing end only this process has, so it
never outlives this process, however that ends. A connection that breaks costs the sessions on it
(`SandboxUnavailable`), is made again by itself, and the child started again if it died.

The wire is described in `reward_service/runner.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reward_service.adapters.docker_spec import DockerOptions
from reward_service.engine.channel import result_from_plain, work_to_plain
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunResult, Work

if TYPE_CHECKING:
    from reward_service.engine.ports import Session

LENGTH = struct.Struct(">I")
MAX_FRAME = 256 << 20
_CONNECT_SECONDS = 10.0
"""How long a session waits for a runner that is not there (yet, or again)."""
_STOP_SECONDS = 30.0
_DRAIN_BYTES = 1 << 16
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """What the runner holds. backend: `docker`, `bubblewrap`, or `auto`: Docker if an engine answers, else bubblewrap.

    places: of the bubblewrap adapter, 0 is one per core; Docker's are in its own options.
    """

    backend: str = "auto"
    places: int = 0
    docker: DockerOptions = field(default_factory=DockerOptions)

    def to_json(self) -> str:
        """As a command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RunnerOptions:
        """What `to_json` was called on."""
        fields = json.loads(text)
        docker = fields.pop("docker", {})
        return cls(**fields, docker=DockerOptions(**{**docker, "hosts": tuple(docker.get("hosts", ()))}))


def frame(message: Mapping[str, Any]) -> bytes:
    """A message on the wire."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message. EOFError at the end, ValueError for what is no message."""
    try:
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > MAX_FRAME:
            raise ValueError(f"a frame of {size} bytes")
        message = json.loads(await reader.readexactly(size))
    except asyncio.IncompleteReadError as error:
        raise EOFError("the connection ended") from error
    if not isinstance(message, dict):
        raise ValueError("a frame that is no object")
    return message


class _Child:
    """The runner as a child of this process, in embedded mode."""

    def __init__(self, options: RunnerOptions) -> None:
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="reward-service-")  # mode 0700
        self.path = Path(self._folder.name) / "runner.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    @property
    def pid(self) -> int | None:
        """Its process id, while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def ensure(self) -> None:
        """Start it, unless it lives."""
        if self.pid is not None:
            return
        self._let_go()
        self.path.unlink(missing_ok=True)
        theirs, self._pipe = os.pipe()
        command = [sys.executable, "-m", "reward_service.runner", "--socket", str(self.path)]
        kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(("DOCKER_", "OPENBLAS_"))}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, "--options", self._options.to_json(), "--parent", str(theirs)],
                env=kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs,),
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def _let_go(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def stop(self) -> None:
        """End it by closing the pipe, and wait until its containers are gone; by force if it doesn't end."""
        self._let_go()
        if self._process is not None:
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


class RunnerSandbox:
    """The `Sandbox` port over a runner. Use as an asynchronous context manager.

    path: the socket of a runner that somebody else started; None starts one as a child, with `options`.
    """

    def __init__(self, path: Path | None = None, options: RunnerOptions | None = None) -> None:
        self._path = path
        self._options = options or RunnerOptions()
        self._child: _Child | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._trouble = "it has not started yet"
        self._status: dict[str, Any] = {}

    async def __aenter__(self) -> RunnerSandbox:
        if self._path is None:
            self._child = _Child(self._options)
            self._child.ensure()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._child is not None:
            await asyncio.to_thread(self._child.stop)

    @property
    def pid(self) -> int | None:
        """The child's process id, in embedded mode."""
        return self._child.pid if self._child is not None else None

    def status(self) -> dict[str, Any]:
        """What the runner last said of itself, at most a second or so ago: places, busy, waiting, recycled, engines.

        trouble: why it can't be used now, if it can't.
        """
        if self._up.is_set():
            return dict(self._status)
        return {
            "places": 0,
            "containers": 0,
            "busy": 0,
            "waiting": 0,
            "recycled": {},
            "engines": {},
            "trouble": self._trouble,
        }

    def languages(self) -> Sequence[str]:
        """See `Sandbox`; empty while that isn't known yet."""
        return tuple(self._status.get("languages", ()))

    def session(self, program: Program) -> AbstractAsyncContextManager[Session]:
        """See `Sandbox`."""
        return self._session(program)

    @asynccontextmanager
    async def _session(self, program: Program) -> AsyncIterator[Session]:
        number = next(self._numbers)
        plain = work_to_plain(Work(program, ()))[0]
        writer = await self._connected()
        try:
            await self.ask(writer, {"op": "open", "id": number, "program": plain})
            yield _RunnerSession(self, writer, number)
        finally:
            with suppress(OSError, RuntimeError):
                writer.write(frame({"op": "close", "id": number}))

    # The connection --------------------------------------------------------------------------------------------

    async def _connected(self) -> asyncio.StreamWriter:
        if not self._up.is_set():
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._up.wait()
            except TimeoutError:
                raise SandboxUnavailable(f"the runner can't be reached: {self._trouble}") from None
        if self._writer is None:
            raise SandboxUnavailable(f"the runner can't be reached: {self._trouble}")
        return self._writer

    async def ask(self, writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message and its answer. SandboxUnavailable if the sandbox failed, or the connection did."""
        number = message["id"]
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if writer is not self._writer:
            raise SandboxUnavailable("the connection to the runner broke")
        self._pending[number] = answer
        try:
            data = frame(message)
            if len(data) > MAX_FRAME:
                raise SandboxUnavailable(f"a request of {len(data)} bytes is too large for the runner")
            writer.write(data)
            if len(data) > _DRAIN_BYTES:
                with suppress(ConnectionError):  # then the reader notices too, and says so
                    await writer.drain()
            reply = await answer
        finally:
            self._pending.pop(number, None)
        if "error" in reply:
            raise SandboxUnavailable(str(reply["error"]))
        return reply

    async def _keep(self) -> None:
        """Connect, read, and when that ends start again, for ever."""
        started = time.monotonic()
        while True:
            path = self._path or (self._child.path if self._child else Path())
            try:
                reader, self._writer = await asyncio.open_unix_connection(path, limit=1 << 20)
                try:
                    await self._read(reader)
                finally:
                    self._lose("the connection to the runner broke")
            except (OSError, EOFError, ValueError) as error:
                self._trouble = f"{path}: {error}"
            if self._child is not None and self._child.pid is None:
                self._trouble = "the runner's process died"
                self._child.ensure()
            await asyncio.sleep(0.02 if time.monotonic() - started < _CONNECT_SECONDS else 0.25)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            message = await read_frame(reader)
            if "status" in message:  # the first one says that it serves
                self._status = message["status"]
                self._up.set()
            elif (answer := self._pending.get(message["id"])) is not None and not answer.done():
                answer.set_result(message)

    def _lose(self, why: str) -> None:
        self._trouble = why
        self._up.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for answer in self._pending.values():
            if not answer.done():
                answer.set_result({"error": why})


class _RunnerSession:
    """The `Session` port on one lease of the runner."""

    def __init__(self, runner: RunnerSandbox, writer: asyncio.StreamWriter, number: int) -> None:
        self._runner = runner
        self._writer = writer
        self._number = number
        self._over = False

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        """See `Session`."""
        if self._over:
            raise SandboxUnavailable("the lease is over")
        message = {
            "op": "run",
            "id": self._number,
            "runs": [(run.stdin, run.arguments) for run in runs],
            "stop_early": stop_early,
        }
        try:
            reply = await self._runner.ask(self._writer, message)
        except SandboxUnavailable:
            self._over = True
            raise
        return [_result(plain) for plain in reply["results"]]


def _result(plain: list[Any]) -> RunResult:
    *rest, flags = plain
    return result_from_plain((*rest, tuple(flags)))
