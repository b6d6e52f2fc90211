"""Runs candidate.py and tester.py in two forked processes, joined as the agent joins them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward_service.handlers import _values

AGENT = Path(__file__).resolve().parents[2] / "sandbox" / "agent"
sys.modules.setdefault("values", _values)
if str(AGENT) not in sys.path:
    sys.path.append(str(AGENT))

import candidate  # noqa: E402
import tester  # noqa: E402
from frames import Channel  # noqa: E402


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a child, with the default action for alarms after 80 seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, where a test runner has threads
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(80)
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def run_tests(
    source: str,
    tests: str,
    entry_point: str = "f",
    preamble: str = "",
    framework: str = "script",
    **options: Any,
) -> dict[str, Any]:
    """The verdict on `source` by assert-style tests."""
    program = {
        "language": "python", "source": source, "preamble": preamble, "entry_point": entry_point, "tests": "",
        "framework": framework, "files": {}, "options": options,
    }  # fmt: skip
    ours, theirs = socket.socketpair()
    verdict, write = socket.socketpair()
    everything = (ours, theirs, verdict, write)

    def serve() -> None:
        for end in (ours, verdict, write):
            end.close()
        candidate.serve_tester(theirs, program)

    def test() -> None:
        theirs.close()
        verdict.close()
        tester.run(ours, write, {**program, "tests": tests})

    pids = [forked(serve), forked(test)]
    for end in (ours, theirs, write):
        end.close()
    result = Channel(verdict).receive()
    for pid in pids:
        os.waitpid(pid, 0)
    for end in everything:
        end.close()
    return result or {"status": "died"}


def call(
    source: str, arguments: list[Any], entry_point: str = "f", preamble: str = "", **options: Any
) -> list[Any]:
    """The agent's side of function style: the frames that come back for these tagged arguments."""
    program = {
        "language": "python", "source": source, "preamble": preamble, "entry_point": entry_point, "framework": "",
        "files": {}, "options": options,
    }  # fmt: skip
    ours, theirs = socket.socketpair()

    def serve() -> None:
        ours.close()
        candidate.serve(theirs, program)

    pid = forked(serve)
    theirs.close()
    channel = Channel(ours)
    frames = [channel.receive()]
    if frames[0] and "ready" in frames[0]:
        for number, values in enumerate(arguments):
            channel.send({"call": number, "arguments": {"a": values}})
            frames.append(channel.receive())
    ours.close()
    os.waitpid(pid, 0)
    return frames
