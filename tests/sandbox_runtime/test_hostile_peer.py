"""A program's process that speaks the protocol as it likes: the tester still decides, and never for it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sandbox_runtime import drive
from tests.sandbox_runtime.drive import Channel, forked, tester

TESTS = (
    "def check(candidate):\n    wanted = [1, 2]\n    assert candidate([2, 1]) == wanted\n    assert total(candidate(Box(3))) == 41\n"
    "    assert candidate(lambda x: x + 1) == 7\n    assert list(candidate('iter')) == [5, 6, 7]\n\ncheck(f)"
)
PREAMBLE = "class Box:\n    def __init__(self, value):\n        self.value = value\n    def open(self): return self.value\n\ndef total(box):\n    return box.value\n"


def verdict_on(frames: list[bytes], tests: str = TESTS) -> dict[str, Any]:
    """The verdict when the program's process has sent these frames, whatever it is asked."""
    program = {
        "language": "python", "source": "", "preamble": PREAMBLE, "entry_point": "f", "tests": tests, "framework": "script",
        "files": {}, "options": {},
    }  # fmt: skip
    ours, theirs = socket.socketpair()
    verdict, write = socket.socketpair()

    def peer() -> None:
        for end in (ours, verdict, write):
            end.close()
        for frame in frames:
            theirs.sendall(frame)
        while theirs.recv(1 << 16):
            pass

    def test() -> None:
        theirs.close()
        verdict.close()
        ours.settimeout(0.3)
        tester.run(ours, write, program)

    pids = [forked(peer), forked(test)]
    for end in (ours, theirs, write):
        end.close()
    result = Channel(verdict).receive()
    verdict.close()
    for pid in reversed(pids):
        os.waitpid(pid, 0)
    return result or {"status": "no verdict"}


def framed(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(body).to_bytes(4, "big") + body


READY = framed({"ready": True, "names": {"f": "f"}})
RIGHT = [
    {"v": [1, 2]}, {"v": {"o": 0}, "o": [["Box", {"value": 41}, None]]}, {"cb": 0, "a": [6], "k": {}, "o": []}, {"v": 7},
    {"v": {"h": [1, "iterator"]}}, {"v": {"h": [1, "iterator"]}}, {"e": ["TypeError"], "x": "no len"}, {"v": [5]}, {"v": [6, 7], "end": True},
]  # fmt: skip


def test_the_frames_of_a_right_program_are_right() -> None:
    assert verdict_on([READY, *map(framed, RIGHT)])["status"] == "ok"


HOSTILE = {
    "no frame": [],
    "not ready": [framed({"v": [1, 2]})],
    "failed": [framed({"failed": "runtime_error", "message": "x" * 100_000})],
    "failed in its own way": [framed({"failed": "ok"})],
    "names of a wrong type": [framed({"ready": True, "names": ["f"]})],
    "kinds of a wrong type": [framed({"ready": True, "names": {"f": {"a": 1}}})],
    "an exception class as the function": [framed({"ready": True, "names": {"f": "eSystemExit"}})],
    "no JSON": [READY, framed(b"{")],
    "no UTF-8": [READY, framed(b"\xff\xfe")],
    "a list": [READY, framed([1])],
    "too long": [READY, (1 << 30).to_bytes(4, "big")],
    "cut off": [READY, (100).to_bytes(4, "big") + b"abc"],
    "a float out of range": [READY, framed(b'{"v": 1e999}')],
    "nesting": [READY, framed(b'{"v": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")],
    "an unknown call-back": [READY, framed({"cb": 7, "a": [], "k": {}})],
    "a call-back that is none": [READY, framed({"cb": "x", "a": 1, "k": 2})],
    "an endless exception": [READY, framed({"e": ["X"] * 10_000, "x": 5})],
    "an exception of a wrong type": [READY, framed({"e": 5})],
    "SystemExit": [READY, framed({"e": ["SystemExit"], "x": "0"})],
    "KeyboardInterrupt": [READY, framed({"e": ["KeyboardInterrupt", "BaseException"], "x": ""})],
    "a skip": [READY, framed({"e": ["SkipTest", "Exception"], "x": ""})],
    "the tester's own exceptions": [READY, framed({"e": ["Verdict", "Gone", "Exception"], "x": "ok"})],
    "an unknown class": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["Link", {"value": 41}, None]]})],
    "a class of Python's": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["dict", {"value": 41}, None]]})],
    "a method replaced": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["Box", {"value": 41, "open": 1}, None]]})],
    "a class replaced": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["Box", {"__class__": 41}, None]]})],
    "the test's own object, changed": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["Box", {"value": 3}, 0]]})],
    "an object that never came": [READY, framed(RIGHT[0]), framed({"v": {"o": 0}, "o": [["Box", {"value": 3}, 99]]})],
    "changes nobody asked for": [READY, framed({"v": None, "m": {"a": [[1, 2]], "k": {}}})],
    "malformed changes": [READY, framed({"v": None, "m": [[1, 2]]})],
    "an iterator without end": [READY, *map(framed, RIGHT[:7]), *[framed({"v": [5, 6]})] * 200],
}  # fmt: skip


@pytest.mark.parametrize("frames", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_frames_fail(frames: list[bytes]) -> None:
    result = verdict_on(frames)
    assert result["status"] in ("tests_failed", "runtime_error", "compile_error"), result
    assert len(json.dumps(result)) < 10_000
    assert not {"missing_helper", "malformed_tests", "tests_call_nothing"} & set(result["flags"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from(["f", "Box", "value", "x", "ok", "nan", "<i8", "AAAA"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["v", "o", "m", "a", "k", "e", "x", "s", "c", "cb", "end", "h", "t", "d", "nd", "df", "i", "f"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JSON, max_size=6))
def test_no_chance_frames_pass(frames: list[Any]) -> None:
    result = verdict_on([READY, *map(framed, frames)])
    assert result["status"] in ("tests_failed", "runtime_error"), result


def test_a_refusal_stays_a_failure_whatever_the_tests_do() -> None:
    tests = "try:\n    assert f(1) == 2\nexcept BaseException:\n    pass\nassert f(2) == 3"
    assert (
        verdict_on([READY, framed({"v": {"h": [1, "E"]}}), framed({"v": 3})], tests)["status"]
        == "tests_failed"
    )
    assert drive.AGENT.is_dir()
