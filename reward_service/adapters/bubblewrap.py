"""Sandbox for machines without a container engine: the same agent in namespaces that bubblewrap makes.

What is decided here:
- Each place is one long-lived `bwrap`: its own user, process, mount, network, IPC and host-name namespaces; the
  interpreter's directories read-only, small tmpfs to write in, the seccomp profile of the containers; the agent as
  its first process. It ends with its stream.
- **Three users, always**: agent, candidate and tester. Started as root, bwrap itself runs as an unprivileged user of
  ours and gets three of ours mapped. Started by anybody else, two more come from that user's range in /etc/subuid
  by `newuidmap`. Where neither works there is no sandbox: a candidate that shared its user with the agent or the
  tests would be one `/proc/…/mem` away from both.
- What an engine has and this hasn't always: a control group. Where none can be made (not root, mostly) memory is held
  by RLIMIT_DATA for each process and by the agent's look at all of them every 50 ms, and one CPU by affinity, which a
  program may widen up to its limit of CPU time. Where one can be made, memory, processes and CPU are held as in a
  container.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reward_service.adapters._cgroup import Cgroup, remove_stale
from reward_service.adapters._seccomp import compile_profile
from reward_service.adapters.agent import AgentConnection, AgentSession, Hello, agent_files, sandbox_files
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, RunLimits

UID_BASE = 900_000_000
"""First of the host's uids that are used when the service runs as root: three for each place."""
NAME = "reward-sandbox"
PROCESSES = 200
START_SECONDS = 30.0
RESERVE_BYTES = 512 << 20
"""Of a place's memory: for the agent, files, and what a program may allocate without touching it."""
FILE_BYTES = 64 << 20
CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SETPCAP", "CAP_SYS_ADMIN")
"""Of the first step, in its own user namespace; `sandbox/agent/enter.py` drops the last one before the agent starts."""
WRITABLE = (
    "/tmp:64m:1777:16384:",  # noqa: S108 inside
    "/dev/shm:16m:1777:1024:",  # noqa: S108 inside
    "/build:256m:1777:16384:exec",
    "/run:64m:0700:1024:",
)
"""Path, size, mode, inodes and flags of what can be written to."""
_PASSWD = b"root:x:0:0::/tmp:/bin/sh\ncandidate:x:1:1::/tmp:/bin/sh\ntester:x:2:2::/tmp:/bin/sh\n"
_serial = itertools.count()


def missing() -> str:
    """What has to be installed before this can work; empty if nothing is known to be missing."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian: apt-get install bubblewrap)"
    if os.getuid() != 0:
        if shutil.which("newuidmap") is None:
            return "newuidmap is not installed (Debian: apt-get install uidmap)"
        if _subordinate("/etc/subuid") is None or _subordinate("/etc/subgid") is None:
            return "this user has no range of at least two ids in /etc/subuid and /etc/subgid (usermod --add-subuids)"
    return ""


def interpreter() -> Path:
    """The Python that runs programs, unless a setting says so: Debian's 3.11 with its packages, else our own."""
    system = Path("/usr/bin/python3")
    if (system.parent / "python3.11").exists():
        return system.parent / "python3.11"
    own = Path(getattr(sys, "_base_executable", sys.executable))
    return own if own.is_file() else system


class BubblewrapSandbox:
    """Places for programs, each in a `bwrap` of its own. See `engine.ports.Sandbox`.

    places: how many runs at once (0: one for each CPU). python: the interpreter of the programs (numpy and the like
    are those that it has). lifetime: runs after which a place is made anew. memory_bytes: of one place at most.
    """

    def __init__(
        self,
        *,
        places: int = 0,
        python: Path | None = None,
        lifetime: int = 2000,
        memory_bytes: int = 2 << 30,
    ) -> None:
        self._count = places or len(os.sched_getaffinity(0))
        self._python = python or interpreter()
        self._lifetime = lifetime
        self._memory_bytes = memory_bytes
        self._places: asyncio.Queue[_Place | None] = asyncio.Queue()
        self._all: set[_Place] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seccomp = b""
        self._languages: tuple[str, ...] = ()
        self._closed = False

    async def __aenter__(self) -> BubblewrapSandbox:
        lacking = missing()
        if lacking:
            raise SandboxUnavailable(f"sandbox: {lacking}")
        try:
            self._seccomp = await asyncio.to_thread(compile_profile, sandbox_files() / "seccomp.json")
        except (OSError, ValueError) as error:
            raise SandboxUnavailable(f"sandbox: no seccomp filter (Debian: libseccomp2): {error}") from error
        await asyncio.to_thread(remove_stale, NAME)
        try:
            first = await self._start()
        except SandboxUnavailable:
            await self.__aexit__()
            raise
        self._languages = first.hello.languages
        self._places.put_nowait(first)
        for _ in range(self._count - 1):
            self._background(self._replace(None))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(place.stop() for place in list(self._all)))
        self._all.clear()

    def languages(self) -> Sequence[str]:
        """See `engine.ports.Sandbox`."""
        return self._languages

    @contextlib.asynccontextmanager
    async def session(self, program: Program) -> AsyncIterator[AgentSession]:
        """See `engine.ports.Sandbox`."""
        if self._closed:
            raise SandboxUnavailable("sandbox: not started")
        if program.language not in self._languages:
            raise SandboxUnavailable(
                f"sandbox: no {program.language!r} here, only {', '.join(self._languages)}"
            )
        place = await self._places.get()
        try:
            if place is None or not place.alive():
                if place is not None:
                    self._background(self._discard(place))
                    place = None
                place = await self._start()
            yield AgentSession(place.connection, replace(program, limits=self._clamp(program.limits)))
        finally:
            self._give_back(place)

    def _clamp(self, limits: RunLimits) -> RunLimits:
        """The limits, as far as a place can grant them."""
        return replace(
            limits,
            memory_bytes=min(limits.memory_bytes, self._memory_bytes - RESERVE_BYTES),
            output_bytes=min(limits.output_bytes, FILE_BYTES),
            file_bytes=min(limits.file_bytes, FILE_BYTES),
            processes=min(limits.processes, PROCESSES - 40),
        )

    def _give_back(self, place: _Place | None) -> None:
        if place is None or self._closed:
            self._places.put_nowait(None)
        elif place.connection.broken or place.connection.runs >= self._lifetime:
            self._background(self._replace(place))
        elif place.connection.interrupted:
            self._background(self._recover(place))
        else:
            self._places.put_nowait(place)

    async def _recover(self, place: _Place) -> None:
        """A request was abandoned: the agent stops it, or the place is made anew."""
        try:
            await place.connection.recover()
        except SandboxUnavailable:
            await self._replace(place)
        else:
            self._places.put_nowait(place)

    async def _replace(self, old: _Place | None) -> None:
        """Put a new place in the queue; a promise of one, to be made by whoever waits for it, if that fails."""
        if old is not None:
            await self._discard(old)
        place = None
        try:
            place = await self._start()
        except SandboxUnavailable:
            pass
        finally:
            self._places.put_nowait(place)

    async def _discard(self, place: _Place) -> None:
        self._all.discard(place)
        await place.stop()

    async def _start(self) -> _Place:
        place = _Place(next(_serial), self._python, self._seccomp, self._memory_bytes)
        self._all.add(place)
        try:
            await place.start()
        except BaseException:
            await asyncio.shield(self._discard(place))
            raise
        return place

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Place:
    """One `bwrap` with an agent in it."""

    hello: Hello
    connection: AgentConnection

    def __init__(self, serial: int, python: Path, seccomp: bytes, memory_bytes: int) -> None:
        self._serial = serial
        self._name = f"{NAME}-{os.getpid()}-{serial}"
        self._uid = UID_BASE + (os.getpid() % 100_000) * 300 + serial % 100 * 3
        self._python = python
        self._seccomp = seccomp
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._cgroup: Cgroup | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stderr = -1

    def alive(self) -> bool:
        """Whether the process is there and the stream was not broken."""
        return self._process is not None and self._process.poll() is None and not self.connection.broken

    async def start(self) -> None:
        """Start it and hear its agent's first frame. SandboxUnavailable if that fails."""
        ours, theirs = socket.socketpair()
        try:
            try:
                await asyncio.to_thread(self._launch, theirs)
            finally:
                theirs.close()
            ours.setblocking(False)
            reader, self._writer = await asyncio.open_connection(sock=ours)
            self.connection = AgentConnection(reader, self._writer)
            self.hello = await self.connection.start(START_SECONDS)
        except (OSError, SandboxUnavailable, ValueError) as error:
            raise SandboxUnavailable(f"sandbox: bwrap did not start: {error}{self._said()}") from error
        finally:
            if self._writer is None:
                ours.close()

    async def stop(self) -> None:
        """Close the stream, kill what is left, and wait for its end."""
        if self._writer is not None:
            self.connection.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1
        for _ in range(100):
            if self._cgroup is None or self._cgroup.remove():
                return
            await asyncio.sleep(0.02)

    def _said(self) -> str:
        if self._stderr < 0:
            return ""
        text = os.pread(self._stderr, 2000, 0).decode("utf-8", "replace").strip()
        return f" ({text})" if text else ""

    def _launch(self, stream: socket.socket) -> None:
        """Start bwrap; while it waits for its users, give it those and its control group. Blocks some 10 ms."""
        info, info_end = os.pipe()
        block_end, block = os.pipe()
        given: list[int] = [info_end, block_end]
        self._stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)
        try:
            arguments = self._arguments(given, info_end, block_end)
            root = os.getuid() == 0
            user = self._uid if root else None
            self._process = subprocess.Popen(  # noqa: S603 our own arguments
                arguments,
                stdin=stream.fileno(),
                stdout=stream.fileno(),
                stderr=self._stderr,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                pass_fds=given,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if root else None,
            )
            os.close(info_end)
            given.remove(info_end)
            child = _child_pid(info)
            self._map_users(child, root)
            self._cgroup = Cgroup.create(self._name, memory_bytes=self._memory_bytes, processes=PROCESSES)
            if self._cgroup is not None:
                self._cgroup.add(child)
            else:
                cpus = sorted(os.sched_getaffinity(0))
                os.sched_setaffinity(child, {cpus[self._uid // 3 % len(cpus)]})
            os.write(block, b"1")
        finally:
            for fd in (info, block, *given):
                os.close(fd)

    def _map_users(self, child: int, root: bool) -> None:
        if root:
            for kind in ("uid", "gid"):
                Path(f"/proc/{child}/{kind}_map").write_text(f"0 {self._uid} 3\n")
            return
        for tool, file, own in (
            ("newuidmap", "/etc/subuid", os.getuid()),
            ("newgidmap", "/etc/subgid", os.getgid()),
        ):
            found = _subordinate(file)
            if found is None:
                raise SandboxUnavailable(missing())
            # Another pair for each place, as far as the range reaches: limits of processes are counted by user.
            first = found[0] + 2 * (self._serial % (found[1] // 2))
            ranges = ["0", str(own), "1", "1", str(first), "2"]
            subprocess.run([tool, str(child), *ranges], check=True, capture_output=True)  # noqa: S603

    def _arguments(self, given: list[int], info: int, block: int) -> list[str]:
        def data(content: bytes) -> str:
            fd = os.memfd_create("data")
            given.append(fd)
            os.write(fd, content)
            os.lseek(fd, 0, os.SEEK_SET)
            return str(fd)

        arguments = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
        arguments += [
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--die-with-parent",
            "--as-pid-1",
            "--clearenv",
        ]
        arguments += ["--uid", "0", "--gid", "0", "--hostname", "sandbox", "--cap-drop", "ALL"]
        for capability in CAPABILITIES:
            arguments += ["--cap-add", capability]
        arguments += ["--info-fd", str(info), "--userns-block-fd", str(block)]
        for directory in ("/usr", *_directories(self._python)):
            arguments += ["--ro-bind", directory, directory]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if Path("/", name).is_symlink():
                arguments += ["--symlink", f"usr/{name}", f"/{name}"]
            else:
                arguments += ["--ro-bind-try", f"/{name}", f"/{name}"]
        for path in ("/etc", "/agent"):  # the files alone would make directories that only root may enter
            arguments += ["--perms", "0755", "--dir", path]
        for path in (
            "/etc/alternatives",
            "/etc/ld.so.cache",
            "/etc/localtime",
            *map(str, Path("/etc").glob("java-*")),
        ):
            arguments += ["--ro-bind-try", path, path]
        arguments += ["--perms", "0444", "--ro-bind-data", data(_PASSWD), "/etc/passwd"]
        for name, file in agent_files().items():
            arguments += ["--perms", "0444", "--ro-bind-data", data(file.read_bytes()), f"/agent/{name}"]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        for path in ("/tmp", "/dev/shm", "/build", "/run"):  # noqa: S108 inside
            arguments += ["--perms", "0755", "--dir", path]
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
        python = [str(self._python), "-I", "-S", "-B"]
        arguments += ["--", *python, "/agent/enter.py", data(self._seccomp), *WRITABLE]
        return [*arguments, "--", *python, "/agent/agent.py", "--candidate-uid", "1", "--tester-uid", "2"]


def _child_pid(info: int) -> int:
    """The process id that bwrap writes to its info descriptor, as JSON in several pieces."""
    text = b""
    waiting = select.poll()
    waiting.register(info, select.POLLIN)
    while b"}" not in text:
        piece = os.read(info, 4096) if waiting.poll(START_SECONDS * 1000) else b""
        if not piece:
            raise SandboxUnavailable("it ended at once")
        text += piece
    return int(json.loads(text)["child-pid"])


def _directories(python: Path) -> list[str]:
    """Where an interpreter's files are, as far as that isn't under /usr."""
    question = "import sys; print(sys.prefix); print(sys.base_prefix)"
    if python.resolve() == Path(sys.executable).resolve():
        found = {sys.base_prefix, sysconfig.get_path("stdlib")}
    else:
        answer = subprocess.run([python, "-I", "-c", question], capture_output=True, text=True, check=True)  # noqa: S603
        found = set(answer.stdout.split("\n"))
    found |= {str(python.parent.parent), str(python.resolve().parent.parent)}
    return sorted(
        path for path in found if path and path not in ("/", "/usr") and not path.startswith("/usr/")
    )


def _subordinate(file: str) -> tuple[int, int] | None:
    """First id and size of this user's range of at least two, or None."""
    import pwd

    names = {str(os.getuid())}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    with contextlib.suppress(OSError, ValueError):
        for line in Path(file).read_text().splitlines():
            name, first, count = line.split(":")
            if name in names and int(count) >= 2:
                return int(first), int(count)
    return None
