"""The host's end of an agent's stream: what a broken or hostile agent can do is to be unavailable, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reward_service.adapters.agent import AgentConnection, AgentSession, agent_files, preload
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunStatus, Style

PROGRAM = Program("python", "print(1)", limits=RunLimits(output_bytes=1000))
FUNCTION = Program("python", "", style=Style.FUNCTION, entry_point="f")
ASSERT = Program("python", "", style=Style.ASSERT, tests="assert f()")

Say = Callable[[dict[str, Any], bytes], Awaitable[None]]


def frame(header: Any, blob: bytes = b"", *, announced: int | None = None) -> bytes:
    """A frame as an agent would send it."""
    if isinstance(header, dict):
        header = {"blob": len(blob) if announced is None else announced} | header
    text = json.dumps(header).encode()
    return struct.pack(">I", len(text)) + text + blob


HELLO = frame({"op": "hello", "version": 1, "languages": ["python"], "python": "3.11"})


def results(*facts: dict[str, Any], blob: bytes = b"", **more: Any) -> bytes:
    """A frame with results."""
    return frame({"op": "results", "results": list(facts), "final": True} | more, blob)


OK = {"status": "ok", "cpu": 0.1, "wall": 0.2, "memory": 5, "exit": 0}


@asynccontextmanager
async def streams(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[AgentConnection]:
    """A connection whose other end is this coroutine."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def whole() -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    task = asyncio.create_task(whole())
    ours_reader, ours_writer = await asyncio.open_connection(sock=ours)
    found = AgentConnection(ours_reader, ours_writer)
    try:
        yield found
    finally:
        found.close()
        await task
        with contextlib.suppress(ConnectionError):
            await ours_writer.wait_closed()


@asynccontextmanager
async def connection(*answers: bytes, close: bool = True) -> AsyncIterator[AgentConnection]:
    """A connection to an agent that answers each request with the next of these bytes, then closes the stream."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        for answer in answers:
            (size,) = struct.unpack(">I", await reader.readexactly(4))
            header = json.loads(await reader.readexactly(size))
            await reader.readexactly(header["blob"])
            writer.write(answer)
        if not close:
            await reader.read()

    async with streams(serve) as found:
        assert (await found.start(5)).languages == ("python",)
        yield found


async def test_a_result_and_its_texts() -> None:
    facts = OK | {"stdout": 3, "stderr": 2, "message": "m", "flags": ["left_behind", "Not A Flag", 5]}
    async with connection(results(facts, blob=b"a\xff\n" + b"e\xfe")) as agent:
        (found,) = await AgentSession(agent, PROGRAM).run([Run()])
    assert (found.status, found.stdout, found.stderr) == (RunStatus.OK, "a\ufffd\n", "e\ufffd")
    assert (found.exit_code, found.signal, found.message, found.flags) == (0, None, "m", ("left_behind",))
    assert (found.cpu_seconds, found.wall_seconds, found.memory_bytes) == (0.1, 0.2, 5)


async def test_results_in_several_frames_and_one_for_all() -> None:
    first = frame({"op": "results", "results": [OK], "final": False})
    async with connection(first + results(OK, OK)) as agent:
        assert len(await AgentSession(agent, PROGRAM).run([Run()] * 3)) == 3
    broken = {"status": "compile_error", "broken": True, "stderr": 3}
    async with connection(results(broken, blob=b"why")) as agent:
        found = await AgentSession(agent, PROGRAM).run([Run()] * 3, stop_early=False)
    assert [(one.status, one.message) for one in found] == [(RunStatus.COMPILE_ERROR, "why")] * 3


HOSTILE: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("half a length", b"\0\0"),
    ("an endless header", struct.pack(">I", 1 << 31)),
    ("no JSON", struct.pack(">I", 3) + b"{]}"),
    ("no UTF-8", struct.pack(">I", 2) + b"\xff\xfe"),
    ("deep JSON", struct.pack(">I", 200_000) + b"[" * 200_000),
    ("a list", frame([1, 2])),
    ("no operation", frame({})),
    ("another operation", frame({"op": "hello"})),
    ("a huge blob", frame({"op": "results", "results": [], "final": True}, announced=1 << 40)),
    ("a negative blob", frame({"op": "results", "results": [], "final": True}, announced=-1)),
    ("a blob that is text", frame({"op": "results", "results": [], "final": True, "blob": "5"})),
    ("a blob that ends", frame({"op": "results", "results": [OK], "final": True}, b"abc", announced=10)),
    ("no results", results()),
    ("results that are no list", frame({"op": "results", "results": {"a": 1}, "final": True})),
    ("a result that is none", frame({"op": "results", "results": [5], "final": True})),
    ("too many results", results(OK, OK)),
    ("an unknown status", results(OK | {"status": "great"})),
    ("a status that is a list", results(OK | {"status": ["ok"]})),
    ("text beyond the blob", results(OK | {"stdout": 10}, blob=b"abc")),
    ("more text than allowed", results(OK | {"stdout": 1001}, blob=b"x" * 1001)),
    ("a size that is true", results(OK | {"stdout": True}, blob=b"x")),
    ("a negative size", results(OK | {"stdout": -1})),
    ("a blob that nobody owns", results(OK, blob=b"abc")),
    ("cancelled by itself", results({"status": "cancelled"})),
    ("it gave up", frame({"op": "failed", "message": "x" * 10_000})),
    ("results after the last", frame({"op": "results", "results": [OK | {"status": "runtime_error"}], "final": False}) + results(OK)),
]  # fmt: skip


@pytest.mark.parametrize("answer", [case[1] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
async def test_a_hostile_agent_is_unavailable(answer: bytes) -> None:
    async with connection(answer) as agent:
        session = AgentSession(agent, PROGRAM)
        with pytest.raises(SandboxUnavailable):
            await asyncio.wait_for(session.run([Run()]), 5)
        assert agent.broken
        with pytest.raises(SandboxUnavailable):
            await session.run([Run()])


async def test_odd_facts_are_dropped() -> None:
    facts = {"status": "ok", "cpu": "much", "wall": -1, "memory": 1 << 80, "exit": True, "signal": 1.5, "flags": "x", "message": ["m"]}  # fmt: skip
    async with connection(results(facts)) as agent:
        (found,) = await AgentSession(agent, PROGRAM).run([Run()])
    assert (found.cpu_seconds, found.wall_seconds, found.memory_bytes) == (0.0, 0.0, 0)
    assert (found.exit_code, found.signal, found.flags) == (None, None, ())


REPLIES: list[tuple[str, Program, str, bytes, RunStatus, str | None, tuple[str, ...]]] = [
    ("a value", FUNCTION, "ok", b'{"call":0,"value":{"v":[1, 2]}}', RunStatus.OK, '{"v":[1, 2]}', ()),
    ("a value with spaces", FUNCTION, "ok", b'{"call": 0, "value": 5}', RunStatus.OK, "5", ()),
    ("a value is not read", FUNCTION, "ok", b'{"call":0,"value":junk}', RunStatus.OK, "junk", ()),
    ("another call's value", FUNCTION, "ok", b'{"call":1,"value":5}', RunStatus.RUNTIME_ERROR, None, ("protocol_violation",)),
    ("no UTF-8", FUNCTION, "ok", b'{"call":0,"value":"\xff"}', RunStatus.RUNTIME_ERROR, None, ("protocol_violation",)),
    ("raised", FUNCTION, "runtime_error", b'{"call":0,"raised":"KeyError","message":"k"}', RunStatus.RUNTIME_ERROR, None, ()),
    ("no memory", FUNCTION, "runtime_error", b'{"call":0,"raised":"MemoryError","message":""}', RunStatus.MEMORY_LIMIT, None, ()),
    ("raised, deep", FUNCTION, "runtime_error", b'{"call":0,"raised":' + b"[" * 100_000, RunStatus.RUNTIME_ERROR, None, ("protocol_violation",)),
    ("not compiled", FUNCTION, "not_ready", b'{"failed":"compile_error","message":"m"}', RunStatus.COMPILE_ERROR, None, ()),
    ("failed as it likes", FUNCTION, "not_ready", b'{"failed":"ok"}', RunStatus.RUNTIME_ERROR, None, ()),
    ("not ready, no frame", FUNCTION, "not_ready", b"5", RunStatus.RUNTIME_ERROR, None, ("protocol_violation",)),
    ("passed", ASSERT, "verdict", b'{"status":"ok","passed":2,"failed":0,"flags":["stack_inspection"]}', RunStatus.OK, '{"passed": 2, "failed": 0}', ("stack_inspection",)),
    ("failed", ASSERT, "verdict", b'{"status":"tests_failed","passed":1,"failed":1}', RunStatus.TESTS_FAILED, '{"passed": 1, "failed": 1}', ()),
    ("failed with a value", ASSERT, "verdict", b'{"status":"tests_failed","passed":1,"failed":1,"got":"[1]"}', RunStatus.TESTS_FAILED, '{"passed": 1, "failed": 1, "got": "[1]"}', ()),
    ("failed with no value", ASSERT, "verdict", b'{"status":"tests_failed","passed":1,"failed":1,"got":[1]}', RunStatus.TESTS_FAILED, '{"passed": 1, "failed": 1}', ()),
    ("odd counts", ASSERT, "verdict", b'{"status":"ok","passed":"x","failed":1e9}', RunStatus.OK, '{"passed": 0, "failed": 0}', ()),
    ("no verdict", ASSERT, "verdict", b"[]", RunStatus.RUNTIME_ERROR, None, ("no_verdict",)),
    ("an unknown verdict", ASSERT, "verdict", b'{"status":"paid"}', RunStatus.RUNTIME_ERROR, None, ("no_verdict",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "said", "reply", "status", "value", "flags"),
    [case[1:] for case in REPLIES],
    ids=[case[0] for case in REPLIES],
)
async def test_frames_of_the_program_and_the_tester(
    program: Program, said: str, reply: bytes, status: RunStatus, value: str | None, flags: tuple[str, ...]
) -> None:
    async with connection(results({"status": said, "reply": len(reply)}, blob=reply)) as agent:
        (found,) = await AgentSession(agent, program).run([Run(arguments={"a": []})])
        assert not agent.broken, "whatever a program says is a result"
    assert (found.status, found.value, found.flags) == (status, value, flags)


@pytest.mark.parametrize("said", ["not_ready", "verdict"])
async def test_an_answer_that_is_missing_is_the_program_s_failure(said: str) -> None:
    async with connection(results({"status": said})) as agent:
        (found,) = await AgentSession(agent, FUNCTION).run([Run(arguments={"a": []})])
    assert found.status is RunStatus.RUNTIME_ERROR


async def test_what_is_tainted_is_used_no_more_but_its_results_count() -> None:
    facts = {"status": "runtime_error", "broken": True, "flags": ["left_behind"]}
    async with connection(results(facts, tainted="files were left"), close=False) as agent:
        found = await AgentSession(agent, PROGRAM).run([Run()] * 2, stop_early=False)
        assert [one.flags for one in found] == [("left_behind",)] * 2
        assert "files were left" in agent.broken


async def test_an_abandoned_request_is_recovered_from() -> None:
    cancelled = frame({"op": "results", "results": [{"status": "cancelled"}], "final": True})
    async with connection(b"", cancelled + frame({"op": "pong"}), results(OK), close=False) as agent:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(AgentSession(agent, PROGRAM).run([Run()]), 0.1)
        assert agent.interrupted
        with pytest.raises(SandboxUnavailable):
            await AgentSession(agent, PROGRAM).run([Run()])
        await agent.recover()
        (found,) = await AgentSession(agent, PROGRAM).run([Run()])
        assert found.status is RunStatus.OK


@pytest.mark.parametrize("answer", [frame({"op": "hello", "version": 2, "languages": ["python"]}), b""])
async def test_another_version_or_silence_is_no_agent(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    async with streams(serve) as agent:
        with pytest.raises(SandboxUnavailable):
            await agent.start(0.2)


def test_what_is_preloaded() -> None:
    stdio = Style.STDIO
    for source, style, expected in (
        ("print(1)", stdio, "plain"),
        ("import numpy as np", stdio, "numpy"),
        ("from scipy.stats import norm", stdio, "science"),
        ("x = 'pandas'", stdio, "science"),
        ("numpyish = 1", stdio, "plain"),
        ("def f(): pass", Style.FUNCTION, "plain+calls"),
        ("import numpy", Style.ASSERT, "numpy+calls"),
    ):
        assert preload(Program("python", source, style=style)) == expected
    assert preload(Program("cpp", "// numpy")) == "plain"


def test_the_agent_s_files_are_there() -> None:
    assert {"agent.py", "spool.py", "candidate.py", "tester.py", "values.py"} <= set(agent_files())
