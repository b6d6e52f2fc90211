"""Function style: one process of the program answers the calls of a request, one after the other.

What is decided here: what goes wrong between two frames is the program's fault; a call's CPU time is the process'
own clock before and after. Frames are 4 bytes of length and JSON: `{"call": n, "arguments": …}` goes in, and
`{"ready": true}` or `{"failed": …}`, then `{"call": n, "value": …}` or `{"call": n, "raised": …}` come out. The agent
looks at their first bytes only; the host gets the frame as it is.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import confine
import spool
from place import TICK, Ended, Failed, Place
from python_program import read_all, write_files

candidate: Any = None
"""The module that serves calls, in an agent that has loaded it."""

REPLY_BYTES = 8 << 20
_LENGTH = struct.Struct(">I")
_READY = b'{"ready":true'


def load_program(fd: int) -> dict[str, Any]:
    """In a child: the program's fields; its files lie in the current directory."""
    program: dict[str, Any] = json.loads(read_all(fd))
    os.close(fd)
    write_files(program.get("files") or {})
    return program


def _serving() -> int:
    sys.path.insert(0, "/tmp")
    connection = socket.socket(fileno=3)
    candidate.serve(connection, load_program(4))
    return 0


class Gone(Exception):
    """The exchange is over. reason: as in `Ended`; empty if the process ended or closed its channel."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Violation(Exception):
    """A frame that is none."""


class Candidate:
    """The program's process and the agent's end of its channel."""

    def __init__(self, place: Place, limits: confine.Limits, rlimits: confine.Rlimits) -> None:
        self.place = place
        self.limits = limits
        for fd in (place.out, place.err):
            spool.clear(fd)
        ours, theirs = spool.socket_pair()
        fds = (place.null, place.out, place.err, theirs.fileno(), place.program)
        self.pid = place.fork(place.users.candidate, rlimits, fds, _serving)
        theirs.close()
        ours.setblocking(False)
        self.channel = ours
        self.exit = confine.Exit(self.pid)
        self.waiting = select.poll()
        self.waiting.register(self.exit.fd, select.POLLIN)
        self.waiting.register(place.host, select.POLLIN)
        self.started = time.monotonic()
        self.cpu_before = 0.0
        self.cpu_limit = 0.0
        self.cpu_of_all: float | None = 0.0

    def load(self, cpu: float) -> dict[str, Any] | Ended | None:
        """Wait until the program is loaded: None if it is; else its frame as a result, or how it ended."""
        self.cpu_limit = cpu
        begin = os.fstat(self.place.results).st_size
        try:
            size = self._receive()
        except Gone as gone:
            return self._ended(gone.reason)
        except Violation:
            return self._violation(begin)
        if _beginning(self.place.results, begin).startswith(_READY):
            self._forget(begin)
            return None
        return {"status": "not_ready", "reply": size} | self._used()

    def call(self, start: int, size: int, index: int, cpu: float) -> dict[str, Any] | Ended:
        """One call with the arguments at `start` of the inputs."""
        self.started = time.monotonic()
        self.cpu_before = confine.cpu_clock(self.pid)
        self.cpu_limit = cpu
        self.cpu_of_all = None
        begin = os.fstat(self.place.results).st_size
        prefix = b'{"call":%d,"arguments":' % index
        prefix = _LENGTH.pack(len(prefix) + size + 1) + prefix
        try:
            for piece in _pieces(prefix, self.place.inputs, start, size, b"}"):
                self._send(piece)
            length = self._receive()
        except Gone as gone:
            self._forget(begin)
            return self._ended(gone.reason)
        except Violation:
            return self._violation(begin)
        known = _beginning(self.place.results, begin)
        used = self._used()
        if used["cpu"] > cpu:
            self._forget(begin)
            return {"status": "time_limit"} | used
        if known.startswith(b'{"call":%d,"value":' % index):
            return {"status": "ok", "reply": length} | used
        if known.startswith(b'{"call":%d,"raised":' % index):
            return {"status": "runtime_error", "reply": length} | used
        return self._violation(begin)

    def end(self) -> None:
        """Kill it, if it is still there, and prove that nothing is left."""
        if self.pid:
            self._ended("done")

    def _used(self) -> dict[str, Any]:
        return {
            "cpu": confine.cpu_clock(self.pid) - self.cpu_before,
            "wall": time.monotonic() - self.started,
        }

    def _violation(self, begin: int) -> dict[str, Any]:
        self._forget(begin)
        used = self._used()
        self._ended("violation")
        return {"status": "runtime_error", "flags": ["protocol_violation"]} | used

    def _forget(self, begin: int) -> None:
        os.ftruncate(self.place.results, begin)
        os.lseek(self.place.results, begin, os.SEEK_SET)

    def _ended(self, reason: str) -> Ended:
        """The process is ended and reaped, and everything that it had started."""
        pid, self.pid = self.pid, 0
        if not pid:
            return Ended(reason, 0, 0.0, 0.0, 0)
        if not reason:  # it closed its end: usually because it is about to exit
            dying = select.poll()
            dying.register(self.exit.fd, select.POLLIN)
            dying.poll(200)
        before = self.cpu_before
        self.channel.close()
        self.exit.close()
        ended = self.place.end(pid, reason, self.started)
        self.place.tidy()
        return ended._replace(cpu=max(0.0, ended.cpu - before))

    def _await(self, event: int) -> None:
        """Until the channel is ready for `event`. Gone if the program or the host is, or a limit is passed."""
        self.waiting.register(self.channel, event)
        while True:
            left = self.started + self.limits.wall_seconds - time.monotonic()
            events = dict(self.waiting.poll(max(0.0, min(left, TICK)) * 1000))
            if self.channel.fileno() in events:
                return
            if self.place.host in events:
                raise Gone("cancelled")
            if self.exit.fd in events and self.exit.has_come():
                raise Gone("")
            if self.cpu_of_all is None:  # what processes of earlier calls had used before this one
                mine = confine.cpu_clock(self.pid) - self.cpu_before
                self.cpu_of_all = confine.usage(self.place.known).cpu - mine
            reason = self.place.excess(
                self.started, self.cpu_of_all + self.cpu_limit, self.limits.wall_seconds, self.limits
            )
            if reason:
                raise Gone(reason)

    def _send(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self.channel.send(data) :]
            except BlockingIOError:
                self._await(select.POLLOUT)
            except OSError:
                raise Gone("") from None

    def _receive(self) -> int:
        """One frame of the program, appended to the results; its length."""
        want, have = -1, 0
        length = bytearray()
        while want < 0 or have < want:
            self._await(select.POLLIN)
            room = 4 - len(length) if want < 0 else min(want - have, len(spool.view))
            try:
                got = self.channel.recv_into(spool.view, room)
            except BlockingIOError:
                continue
            except OSError:
                raise Gone("") from None
            if not got:
                raise Gone("")
            if want < 0:
                length += spool.view[:got]
                if len(length) == 4:
                    (want,) = _LENGTH.unpack(length)
                    if want > REPLY_BYTES:
                        raise Violation
            else:
                spool.write_all(self.place.results, spool.view[:got])
                spool.zero(got)
                have += got
        return want


def _beginning(fd: int, at: int) -> bytes:
    """The first bytes of a frame without spaces: enough to tell what kind it is."""
    return os.pread(fd, 48, at).replace(b" ", b"")


def _pieces(prefix: bytes, source: int, start: int, size: int, suffix: bytes) -> Iterator[memoryview]:
    """A frame in pieces, each in the one buffer and zeroed when it was used."""
    at = len(prefix)
    spool.view[:at] = prefix
    done = 0
    while done < size:
        got = os.preadv(
            source, [spool.view[at : at + min(size - done, len(spool.view) - at - 1)]], start + done
        )
        if not got:
            raise Failed("the inputs are shorter than announced")
        done += got
        at += got
        if done < size:
            yield spool.view[:at]
            spool.zero(at)
            at = 0
    spool.view[at : at + 1] = suffix
    yield spool.view[: at + 1]
    spool.zero(at + 1)
