"""Assert style: trusted tests in a process of their own, the program in another; two users, two processes.

What is decided here: only the tester's process ever opens the file with the tests, and only it and the agent hold the
verdict's socket. The verdict frame goes to the host as it is. A tester that ends without a verdict was stopped by what
the program sent it: that is a failure of the program, not of the sandbox.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from typing import Any

import calling
import confine
import spool
from calling import load_program
from place import TICK, Ended, Place
from python_program import read_all

tester: Any = None
"""The module that runs tests, in an agent that has loaded it."""

VERDICT_BYTES = 1 << 20
TESTER_SECONDS = 5.0
"""CPU seconds that the tests may use on top of the program's limit (starting a test framework)."""


def _testing() -> int:
    tests = read_all(6).decode("utf-8", "replace")
    os.close(6)
    directory = f"/tmp/tests-{os.urandom(12).hex()}"
    os.mkdir(directory, 0o700)
    os.chdir(directory)
    program = load_program(5) | {"tests": tests}
    tester.run(socket.socket(fileno=3), socket.socket(fileno=4), program)
    return 0


def _serving() -> int:
    sys.path.insert(0, "/tmp")
    calling.candidate.serve_tester(socket.socket(fileno=3), load_program(4))
    return 0


def run_tests(
    place: Place, limits: confine.Limits, rlimits: confine.Rlimits, cpu: float
) -> dict[str, Any] | Ended:
    """Run the tests once. A result with the verdict frame, or how the program ended."""
    for fd in (place.out, place.err):
        spool.clear(fd)
    begin = os.fstat(place.results).st_size
    theirs, between = spool.socket_pair()
    verdict, writer = spool.socket_pair()
    files = (
        place.null,
        place.null,
        place.null,
        between.fileno(),
        writer.fileno(),
        place.program,
        place.tests,
    )
    tests_limits = confine.rlimits(limits, cpu + TESTER_SECONDS, data=place.data)
    testing = place.fork(place.users.tester, tests_limits, files, _testing)
    fewer = (place.null, place.out, place.err, theirs.fileno(), place.program)
    program = place.fork(place.users.candidate, rlimits, fewer, _serving)
    for end in (theirs, between, writer):
        end.close()
    started = time.monotonic()
    size, reason = _verdict(place, limits, cpu, verdict, testing, program, started)
    verdict.close()
    before = {pid: confine.cpu_clock(pid) for pid in (testing, program)}
    os.kill(testing, signal.SIGKILL)
    os.waitpid(testing, 0)
    ended = place.end(program, reason or "done", started)
    place.tidy()
    used = {"cpu": ended.cpu + before[testing], "wall": ended.wall, "memory": ended.memory}
    if not reason:
        return {"status": "verdict", "reply": size} | used
    os.ftruncate(place.results, begin)
    os.lseek(place.results, begin, os.SEEK_SET)
    if reason == "no verdict":
        return {"status": "runtime_error", "flags": ["no_verdict"], "message": "the tests did not end"} | used
    return ended._replace(cpu=used["cpu"])


def _verdict(
    place: Place,
    limits: confine.Limits,
    cpu: float,
    verdict: socket.socket,
    testing: int,
    program: int,
    started: float,
) -> tuple[int, str]:
    """The size of the verdict frame, which is in the results; or why there is none."""
    waiting = select.poll()
    waiting.register(verdict, select.POLLIN)
    waiting.register(place.host, select.POLLIN)
    length, have, want = b"", 0, -1
    while want < 0 or have < want:
        left = started + limits.wall_seconds - time.monotonic()
        events = dict(waiting.poll(max(0.0, min(left, TICK)) * 1000))
        if verdict.fileno() in events:
            room = 4 - len(length) if want < 0 else min(want - have, len(spool.view))
            got = verdict.recv_into(spool.view, room)
            if not got:
                return 0, "no verdict"
            if want < 0:
                length += bytes(spool.view[:got])
                if len(length) == 4:
                    want = int.from_bytes(length, "big")
                    if want > VERDICT_BYTES:
                        return 0, "no verdict"
            else:
                spool.write_all(place.results, spool.view[:got])
                spool.zero(got)
                have += got
        elif place.host in events:
            return 0, "cancelled"
        else:
            if confine.cpu_clock(program) > cpu or confine.cpu_clock(testing) > cpu + TESTER_SECONDS:
                return 0, "cpu"
            reason = place.excess(started, 2 * cpu + TESTER_SECONDS, limits.wall_seconds, limits)
            if reason:
                return 0, reason
    return want, ""
