"""open-instruct's code API: `--code_api_url http://host/test_program`.

`POST /test_program {"program", "tests": [assert, …], "max_execution_time": 1.0}` and `POST /test_program_stdio` (tests
`[{"input", "output"}, …]`) answer `{"results": [0 or 1, …], "runtimes": [seconds, -1.0 where failed]}`, one for every test; `GET
/health`. Tests may come as a list, as JSON text, or as base64 of zlib of a pickle: that is read by a decoder that admits
built-in values and no class.

Each test is scored as an item of its own through the code handler, so what a program can't cheat there it can't cheat
here. The client turns every failure into 0.0 and retries nothing: so a passing failure is waited out for nearly all of the
thirty seconds or more that it waits, and only then answered 503; tests that nobody can judge are a 422, which its log
shows. Facts: reference/sandbox.md §1.3, trainers.md §2.9.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickle
import zlib
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.channel import unpack_foreign
from reward_service.engine.scorer import Row, Scored
from reward_service.errors import BadRequest, Overloaded
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import json_object, patiently, reply

MAX_TESTS = 1_000
MAX_DECODED = 64 << 20
MAX_VALUES = 100_000
SOURCE = "codegen__mbpp"
STDIO_SOURCE = "codegen__taco"


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])

    @routes.get("/health", summary="open-instruct: health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @routes.post("/test_program", summary="open-instruct: a program against asserts")
    async def test_program(request: Request) -> Response:
        return await answer(gateway, request, stdio=False)

    @routes.post("/test_program_stdio", summary="open-instruct: a program against inputs and outputs")
    async def test_program_stdio(request: Request) -> Response:
        return await answer(gateway, request, stdio=True)

    return routes


async def answer(gateway: Gateway, request: Request, *, stdio: bool) -> Response:
    """Results and run times of one request."""
    body = await json_object(gateway, request)
    program, limit = body.get("program"), body.get("max_execution_time", 1.0)
    if (
        not isinstance(program, str)
        or isinstance(limit, bool)
        or not isinstance(limit, int | float)
        or not limit > 0
    ):
        raise BadRequest("the body has program (text), tests and max_execution_time (seconds)")
    tests = decode_tests(body.get("tests"))
    extra = {"time_limit": min(float(limit), 300.0), "language": "python"}
    rows = [
        Row(
            STDIO_SOURCE if stdio else SOURCE,
            fenced(program),
            gold(test, stdio=stdio),
            extra_info=extra,
        )
        for test in tests
    ]
    seconds = max(30.0, min(300.0, 10.0 * limit)) - 3.0
    scored = await patiently(gateway, rows, seconds)
    for place, one in enumerate(scored):
        if one.outcome.score is None:
            text = f"test {place}: {one.outcome.detail.get('message', one.outcome.reason)}"
            if not one.outcome.retryable:
                raise BadRequest(text)
            raise Overloaded(text, problem="not-ready", retry_after=1.0)
    return reply(
        {
            "results": [int(bool(one.outcome.correct)) for one in scored],
            "runtimes": [runtime(one) for one in scored],
        }
    )


def runtime(scored: Scored) -> float:
    """Seconds of a test that passed; -1.0 for one that failed."""
    return scored.outcome.sandbox_ms / 1e3 if scored.outcome.correct else -1.0


def fenced(program: str) -> str:
    """The program as a response holds it: in a fence that nothing in it can close."""
    ticks = "`" * 3
    while ticks in program:
        ticks += "`"
    return f"{ticks}python\n{program}\n{ticks}"


def gold(test: Any, *, stdio: bool) -> Any:
    """A test as the code handler's ground truth. BadRequest if it is none."""
    if stdio:
        if not isinstance(test, dict) or "input" not in test or "output" not in test:
            raise BadRequest('a stdio test is {"input": text, "output": text}')
        return {"inputs": [str(test["input"])], "outputs": [str(test["output"])]}
    if not isinstance(test, str):
        raise BadRequest("a test is an assert statement")
    return {"functional": test}


def decode_tests(tests: Any) -> list[Any]:
    """The tests: a list, its JSON text, or its compressed pickle. BadRequest if they are none of these."""
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError):
            tests = unpickled(tests)
    if not isinstance(tests, list) or not tests or len(tests) > MAX_TESTS:
        raise BadRequest(f"tests is a list of 1 to {MAX_TESTS} tests")
    return tests


def unpickled(text: str) -> Any:
    """The plain value in base64 of zlib of a pickle. BadRequest for anything else, classes and functions included."""
    try:
        machine = zlib.decompressobj()
        data = machine.decompress(base64.b64decode(text, validate=True), MAX_DECODED)
        if machine.unconsumed_tail or not machine.eof:
            raise ValueError
        value = unpack_foreign(data)
    except (
        binascii.Error, zlib.error, pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
        MemoryError, OverflowError, RecursionError,
    ):  # fmt: skip
        raise BadRequest("tests is neither a list, nor its JSON, nor a pickle of plain values") from None
    if count(value) > MAX_VALUES:
        raise BadRequest("the tests hold too many values")
    return value


def count(value: Any) -> int:
    """Values in nested lists and dicts, each time they are met: a pickle may name one list a million times."""
    stack, found = [value], 0
    while stack and found <= MAX_VALUES:
        top = stack.pop()
        found += 1
        if isinstance(top, dict):
            stack += [*top.keys(), *top.values()][: MAX_VALUES + 1]
        elif isinstance(top, list | tuple | set | frozenset):
            stack += list(top)[: MAX_VALUES + 1]
    return found
