"""The runner: the one process that may make containers, and what it says to the service.

    python -m reward_service.runner --socket PATH [--options JSON] [--parent FD]

What is decided here: who holds the engine's socket. Whoever can create containers is root on the host, so the
gateway and the workers can't; they ask this process, over a Unix socket that only their user can open, to run
programs, and it makes containers of one fixed specification and of no other. It holds the bubblewrap adapter as
well, so nothing else of the service ever starts anything for a program that nobody trusts.

The wire: 4 bytes of length (big endian) and a JSON object, both ways; many leases over one connection.
    {"op": "open", "id": n, "program": […]}                  -> {"id": n} when there is a place
    {"op": "run", "id": n, "runs": […], "stop_early": bool}  -> {"id": n, "results": […]}
    {"op": "close", "id": n}                                 (no answer)
    an answer is {"id": n, "error": "…"} if the sandbox failed; {"status": {…}} comes by itself, once a second
A connection that ends gives back all its leases. With --parent, the end of that pipe ends the runner.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reward_service.adapters.runner import RunnerOptions, frame, read_frame
from reward_service.engine.channel import result_to_plain, work_from_plain
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program

if TYPE_CHECKING:
    from reward_service.adapters import bubblewrap
    from reward_service.engine.ports import Session

STATUS_SECONDS = 1.0
_DRAIN_BYTES = 1 << 20


class Backend(Protocol):
    """A sandbox (`engine.ports.Sandbox`) that can say how it does."""

    def session(self, program: Program) -> AbstractAsyncContextManager[Session]:
        """See `Sandbox`."""
        ...

    def languages(self) -> Sequence[str]:
        """See `Sandbox`."""
        ...

    def status(self) -> dict[str, Any]:
        """Numbers and texts for metrics."""
        ...


class NoBackend:
    """Where neither an engine nor bubblewrap is: every session says so. Untrusted code never runs unisolated."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def __aenter__(self) -> NoBackend:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    @asynccontextmanager
    async def session(self, program: object) -> AsyncIterator[Session]:
        """See `Sandbox`: there can't be a place."""
        raise SandboxUnavailable(self._reason)
        yield

    def languages(self) -> tuple[str, ...]:
        """See `Sandbox`."""
        return ()

    def status(self) -> dict[str, Any]:
        """See `Backend`."""
        return {
            "places": 0,
            "containers": 0,
            "busy": 0,
            "waiting": 0,
            "recycled": {},
            "engines": {},
            "trouble": self._reason,
        }


def choose(options: RunnerOptions) -> AbstractAsyncContextManager[Any]:
    """The backend that the options ask for, or the best that this machine has."""
    if options.backend not in ("auto", "docker", "bubblewrap"):
        raise ValueError(f"no backend {options.backend!r}: auto, docker or bubblewrap")
    trouble = []
    if options.backend != "bubblewrap":
        from reward_service.adapters.docker_api import EngineApi, EngineError, hosts

        try:
            if options.backend == "auto":
                EngineApi(hosts(options.docker.hosts)[0], seconds=10).info()
            from reward_service.adapters.docker import DockerSandbox

            return DockerSandbox(options.docker)
        except EngineError as error:
            trouble.append(str(error))
    from reward_service.adapters import bubblewrap

    if not (reason := bubblewrap.missing()):
        places = options.places or len(os.sched_getaffinity(0))
        return Counting(bubblewrap.BubblewrapSandbox(places=places), places)
    return NoBackend(f"no sandbox: {'; '.join([*trouble, reason])}. See `reward-service sandbox status`")


class Counting:
    """A backend that doesn't count its leases, counted."""

    def __init__(self, sandbox: bubblewrap.BubblewrapSandbox, places: int) -> None:
        self._sandbox = sandbox
        self._places = places
        self._waiting = self._busy = 0

    async def __aenter__(self) -> Counting:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._sandbox.__aexit__(*error)

    @asynccontextmanager
    async def session(self, program: Program) -> AsyncIterator[Session]:
        """See `Sandbox`."""
        self._waiting += 1
        try:
            lease = self._sandbox.session(program)
            session = await lease.__aenter__()
        finally:
            self._waiting -= 1
        self._busy += 1
        async with AsyncExitStack() as stack:
            stack.push_async_exit(lease)
            stack.callback(self._leave)
            yield session

    def _leave(self) -> None:
        self._busy -= 1

    def languages(self) -> Sequence[str]:
        """See `Sandbox`."""
        return self._sandbox.languages()

    def status(self) -> dict[str, Any]:
        """See `Backend`."""
        counts = {
            "places": self._places,
            "containers": self._places,
            "busy": self._busy,
            "waiting": self._waiting,
        }
        return counts | {"recycled": {}, "engines": {"bubblewrap": "ok"}}


class Connection:
    """One client of the runner, and its leases."""

    def __init__(self, backend: Backend, writer: asyncio.StreamWriter) -> None:
        self._backend = backend
        self._writer = writer
        self._leases: dict[int, Lease] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Until the client goes away; then every lease ends."""
        status = asyncio.create_task(self._tell_status())
        try:
            while True:
                message = await read_frame(reader)
                number = int(message["id"])
                match message["op"]:
                    case "open":
                        self._leases[number] = Lease(self, self._backend, number, message["program"])
                    case "run":
                        if lease := self._leases.get(number):
                            lease.requests.put_nowait((message["runs"], bool(message["stop_early"])))
                    case "close":
                        if lease := self._leases.pop(number, None):
                            lease.end()
        except (EOFError, ConnectionError):
            pass
        finally:
            status.cancel()
            leases = list(self._leases.values())
            for lease in leases:
                lease.end()
            await asyncio.gather(status, *(lease.task for lease in leases), return_exceptions=True)
            self._writer.close()

    async def _tell_status(self) -> None:
        while True:
            status = self._backend.status() | {"languages": list(self._backend.languages())}
            await self.send({"status": status})
            await asyncio.sleep(STATUS_SECONDS)

    async def send(self, message: Mapping[str, Any]) -> None:
        """One message to the client; waits if it doesn't read."""
        with suppress(ConnectionError):
            self._writer.write(frame(message))
            await self._writer.drain()


class Lease:
    """One session: a task that waits for a place, does what is asked, and gives it back."""

    def __init__(self, connection: Connection, backend: Backend, number: int, program: list[Any]) -> None:
        self._connection = connection
        self._backend = backend
        self._number = number
        self._program = program
        self._idle = False
        self.requests: asyncio.Queue[tuple[list[Any], bool] | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._hold())

    def end(self) -> None:
        """The client is done with it, or gone. A wait for a place, or a run, is broken off."""
        if self._idle:
            self.requests.put_nowait(None)
        else:
            self.task.cancel()

    async def _hold(self) -> None:
        number = self._number
        try:
            program = work_from_plain((self._program, [], None, True)).program
            async with self._backend.session(program) as session:
                await self._connection.send({"id": number})
                while (request := await self._next()) is not None:
                    runs = work_from_plain((self._program, request[0], None, True)).runs
                    results = await session.run(runs, stop_early=request[1])
                    await self._connection.send({"id": number, "results": [*map(result_to_plain, results)]})
        except SandboxUnavailable as error:
            await self._connection.send({"id": number, "error": error.detail})
        except (ValueError, TypeError, KeyError) as error:
            await self._connection.send(
                {"id": number, "error": f"the runner: {type(error).__name__}: {error}"}
            )

    async def _next(self) -> tuple[list[Any], bool] | None:
        self._idle = True
        try:
            return await self.requests.get()
        finally:
            self._idle = False


async def serve(options: RunnerOptions, path: Path, parent: int | None = None) -> None:
    """Serve on a Unix socket until SIGTERM, SIGINT, or the end of the parent's pipe."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if parent is not None:
        loop.add_reader(parent, stop.set)  # nobody writes: readable means closed
    connections: set[asyncio.Task[None]] = set()

    async with AsyncExitStack() as stack:
        sandbox: Backend
        try:
            sandbox = await stack.enter_async_context(choose(options))
        except SandboxUnavailable as error:
            sandbox = NoBackend(error.detail)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                connections.add(task)
                task.add_done_callback(connections.discard)
            writer.transport.set_write_buffer_limits(high=_DRAIN_BYTES)
            with suppress(
                asyncio.CancelledError
            ):  # at the end; asyncio would complain of a cancelled callback
                await Connection(sandbox, writer).serve(reader)

        old = os.umask(0o177)  # the socket is its owner's alone from the moment it exists
        try:
            server = await asyncio.start_unix_server(connected, path, limit=1 << 20, backlog=128)
        finally:
            os.umask(old)
        try:
            await stop.wait()
        finally:
            server.close()
            for task in list(connections):
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            os.unlink(path)  # noqa: PTH108 - one system call, at the end


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m reward_service.runner")
    parser.add_argument("--socket", required=True, type=Path, help="the Unix socket to serve on")
    parser.add_argument("--options", default="{}", help="RunnerOptions as JSON")
    parser.add_argument("--parent", type=int, help="descriptor of a pipe; its end ends the runner")
    arguments = parser.parse_args()
    work = serve(RunnerOptions.from_json(arguments.options), arguments.socket, arguments.parent)
    if sys.platform == "win32":
        raise SystemExit("the runner needs Unix sockets")
    import uvloop

    uvloop.run(work)


if __name__ == "__main__":
    main()
