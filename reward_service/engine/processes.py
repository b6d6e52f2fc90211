"""The supervisor's side of the zygote and its children: start, talk to, watch and end processes.

What is decided here: how processes come and go, not what they work on (`pool.py`). The zygote is a fresh
interpreter with an environment of its own (no secrets of the service reach a process that reads responses),
in a process group of its own, so that one signal ends it and all its children. A child counts as dead when
its connection has ended *and* the zygote has said how: what it had sent before is read first.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any, Protocol, cast

from reward_service.engine.channel import HEADER, IDLE, PROGRESS, SLOT_BYTES, pack, unpack
from reward_service.engine.child import FORK, REPORT

STOP_SECONDS = 1.0


class Owner(Protocol):
    """Who is told what happens to the processes."""

    def on_ready(self) -> None:
        """The zygote has loaded and warmed its handlers, and can fork."""

    def on_started(self, child: Child) -> None:
        """A child is up and idle."""

    def on_message(self, child: Child, message: tuple[Any, ...]) -> None:
        """A child sent a message."""

    def on_dead(self, child: Child) -> None:
        """A child is dead; `child.exit_code` says how (negative: the signal; None: it never started)."""


class Child(asyncio.Protocol):
    """One child process, as its supervisor sees it."""

    def __init__(self, zygote: Zygote, slot: int) -> None:
        self.slot = slot
        self.pid = 0
        self.exit_code: int | None = None
        self.ended = False
        self._zygote = zygote
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: the socket is open."""
        # uvloop's transports are no instances of asyncio.WriteTransport: no isinstance here.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Asyncio's: collect frames."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(buffer)[0]
            if len(buffer) < end:
                return
            body = bytes(buffer[HEADER.size : end])
            del buffer[:end]
            self._zygote.owner.on_message(self, unpack(body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's: nothing more will come."""
        self.ended = True
        self._zygote.child_changed(self)

    def send(self, message: Any) -> None:
        """Queue a frame."""
        if self._transport is not None:
            self._transport.write(pack(message))

    def retire(self) -> None:
        """Let an idle child end by itself."""
        if self._transport is not None:
            self._transport.close()

    def kill(self) -> None:
        """End the process now."""
        if self.pid and self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def begin(self) -> None:
        """Forget the progress of the last chunk, before a new one is sent."""
        self._zygote.write_progress(self.slot, IDLE, 0.0)

    def progress(self) -> tuple[int, float]:
        """(place in the chunk of the item that it is on or -1, monotonic time it started on it)."""
        return self._zygote.read_progress(self.slot)


class Zygote:
    """The process that forks children. One asyncio reader serves its reports."""

    def __init__(self, owner: Owner, loader: str, slots: int) -> None:
        self.owner = owner
        self._loop = asyncio.get_running_loop()
        self._free = list(range(slots - 1, -1, -1))
        self._children: dict[int, Child] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._reports = b""
        page_bytes = max(mmap.PAGESIZE, SLOT_BYTES * slots)
        with tempfile.TemporaryFile() as page_file:
            page_file.truncate(page_bytes)
            self._page = mmap.mmap(page_file.fileno(), page_bytes)
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                self._process = self._spawn(loader, theirs.fileno(), page_file.fileno(), page_bytes)
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._on_report)

    @staticmethod
    def _spawn(loader: str, control: int, page: int, page_bytes: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "reward_service.engine.child",
            str(control),
            str(page),
            str(page_bytes),
            loader,
        ]
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONHASHSEED": "0",
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            pass_fds=(control, page),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def children(self) -> list[Child]:
        """Every child that was asked for and is not known to be dead."""
        return list(self._children.values())

    @property
    def pid(self) -> int:
        """The zygote's own process id."""
        return self._process.pid

    def died(self) -> bool:
        """Has the zygote itself ended?"""
        return self._process.poll() is not None

    def fork(self) -> bool:
        """Ask for one more child. False if there is no free slot."""
        if not self._free:
            return False
        child = Child(self, self._free.pop())
        self._children[child.slot] = child
        task = self._loop.create_task(self._start(child))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return True

    async def _start(self, child: Child) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            ours.setblocking(False)
            await self._loop.create_connection(lambda: child, sock=ours)
            try:
                socket.send_fds(self._control, [FORK.pack(b"F", child.slot)], [theirs.fileno()])
            except OSError:
                child.exit_code = os.EX_OSERR
                child.retire()

    def child_changed(self, child: Child) -> None:
        """A child's connection ended or its exit was reported: with both, it is dead."""
        if child.ended and child.exit_code is not None and self._children.get(child.slot) is child:
            del self._children[child.slot]
            self._free.append(child.slot)
            self.owner.on_dead(child)

    def _on_report(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the zygote is dead: `died` says so to whoever asks
            self._loop.remove_reader(self._control.fileno())
            return
        self._reports += data
        while len(self._reports) >= REPORT.size:
            kind, slot, pid, code = REPORT.unpack_from(self._reports)
            self._reports = self._reports[REPORT.size :]
            child = self._children.get(slot)
            if kind == b"R":
                self.owner.on_ready()
            elif child is None:
                continue
            elif kind == b"S":
                child.pid = pid
                self.owner.on_started(child)
            elif kind == b"E":
                child.exit_code = os.EX_OSERR
                child.retire()
            elif child.pid == pid:
                child.exit_code = code
                self.child_changed(child)

    def read_progress(self, slot: int) -> tuple[int, float]:
        """A slot of the shared page."""
        place, started = PROGRESS.unpack_from(self._page, slot * SLOT_BYTES)
        return place, started

    def write_progress(self, slot: int, place: int, started: float) -> None:
        """Set a slot of the shared page."""
        PROGRESS.pack_into(self._page, slot * SLOT_BYTES, place, started)

    def stop(self) -> list[Child]:
        """End the zygote and every child at once; returns the children, which nobody else will report."""
        self._loop.remove_reader(self._control.fileno())
        self._control.close()  # the zygote then ends its children, waits for them, and ends
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        children = self.children
        self._children.clear()
        for child in children:
            child.retire()
        return children
