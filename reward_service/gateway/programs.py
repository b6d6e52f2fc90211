"""Running programs on request: for data preparation, and for the dialects of code sandboxes.

What is decided here: what a caller may ask. `POST /v1/run` runs a given program on given inputs, in the same sandbox and under
the same limits as rollouts, and says what came back, to validate reference solutions before a data set is used. It
compares nothing: a reward comes from `/v1/score`. Limits are clamped to what the service allows; a sandbox that
failed is a problem (503), never a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.executor import ATTEMPTS, NO_SANDBOX
from reward_service.errors import SandboxUnavailable
from reward_service.gateway.connection import while_connected
from reward_service.gateway.core import JSON, Gateway, asked_deadline
from reward_service.runs import Program, Run, RunLimits, RunResult, Style
from reward_service.wire import bad_request, encode

MAX_RUNS = 1_000
LANGUAGE_NAMES = {
    "py": "python", "python3": "python", "c++": "cpp", "cxx": "cpp", "js": "javascript", "node": "javascript",
    "nodejs": "javascript", "ts": "typescript", "golang": "go", "rs": "rust", "sh": "bash", "shell": "bash",
}  # fmt: skip
"""Names in the wild -> the sandbox's."""


class RunIn(BaseModel):
    """One input: a text on stdin, or the arguments of a call."""

    model_config = ConfigDict(extra="forbid")

    stdin: str = ""
    arguments: list[Any] | None = Field(
        None, description="With `function`: positional arguments, plain JSON."
    )
    keywords: dict[str, Any] = Field(default_factory=dict, description="With `function`: named arguments.")


class LimitsIn(BaseModel):
    """What each run may use; the service's own limits are the caps."""

    model_config = ConfigDict(extra="forbid")

    cpu_seconds: float = Field(10.0, gt=0, le=300)
    wall_seconds: float = Field(
        0.0, ge=0, le=1000, description="0: three times the CPU time and two seconds."
    )
    total_cpu_seconds: float = Field(60.0, gt=0, le=1800)
    memory_bytes: int = Field(1 << 30, ge=1 << 20, le=64 << 30)
    output_bytes: int = Field(4 << 20, ge=1, le=64 << 20)


class ProgramIn(BaseModel):
    """A program and what to run it on."""

    model_config = ConfigDict(extra="forbid")

    program: str
    language: str = "python"
    function: str = Field(
        "", description="Call this instead of running the program: `two_sum`, `Solution.twoSum`."
    )
    preamble: str = Field("", description="Source in front of the program, such as imports.")
    runs: list[RunIn] = Field(default_factory=lambda: [RunIn(stdin="")], max_length=MAX_RUNS)
    stop_early: bool = Field(False, description="Stop after the first run that is not `ok`.")
    limits: LimitsIn = LimitsIn()


class RunOut(BaseModel):
    """What one run came to. `value`: of a call, JSON text `{"v": tagged value}` as `handlers/_values.py` describes it."""

    status: Literal[
        "ok", "compile_error", "runtime_error", "time_limit", "memory_limit", "output_limit", "tests_failed"
    ]
    stdout: str
    stderr: str
    value: str | None
    exit_code: int | None
    signal: int | None
    message: str
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    flags: list[str]


class ProgramOut(BaseModel):
    """Results in the order of the runs; fewer with `stop_early`."""

    results: list[RunOut]


async def run_program(
    gateway: Gateway, program: Program, runs: Sequence[Run], *, stop_early: bool, seconds: float
) -> list[RunResult]:
    """The results, within `seconds` of waiting and running. SandboxUnavailable if there are none to be had."""
    sandbox = gateway.engine.sandbox
    if sandbox is None:
        raise SandboxUnavailable(NO_SANDBOX)
    known = sandbox.languages()
    if known and program.language not in known:
        raise SandboxUnavailable(f"the sandbox can't run {program.language}; it has {', '.join(known)}")
    await gateway.access.charge(1)
    async with while_connected(gateway.metrics.dropped.inc), gateway.admission.admit(1, wait=True):
        try:
            async with asyncio.timeout(seconds):
                for attempt in range(ATTEMPTS):
                    try:
                        async with sandbox.session(program) as session:
                            return await session.run(runs, stop_early=stop_early)
                    except SandboxUnavailable:
                        if attempt == ATTEMPTS - 1:
                            raise
        except TimeoutError:
            raise SandboxUnavailable(
                f"no result within {seconds:.0f} s", problem="overloaded", retry_after=5.0
            ) from None
    raise AssertionError("unreachable")


def tagged(value: Any) -> Any:
    """Plain JSON as the sandbox's tagged values: objects become dicts, large integers keep their digits."""
    if isinstance(value, Mapping):
        return {"d": [[key, tagged(entry)] for key, entry in value.items()]}
    if isinstance(value, list):
        return [tagged(entry) for entry in value]
    if type(value) is int and abs(value) >= 1 << 53:
        return {"i": hex(value)}
    return value


def language_of(name: str) -> str:
    """The sandbox's name of a language."""
    lower = name.strip().lower()
    return LANGUAGE_NAMES.get(lower, lower)


def result_out(result: RunResult) -> dict[str, Any]:
    """A run result as plain JSON values."""
    return {
        "status": result.status.value,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "value": result.value,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "message": result.message,
        "cpu_seconds": round(result.cpu_seconds, 6),
        "wall_seconds": round(result.wall_seconds, 6),
        "memory_bytes": result.memory_bytes,
        "flags": list(result.flags),
    }


EXAMPLE = {"program": "print(int(input()) * 2)", "runs": [{"stdin": "21\n"}, {"stdin": "4\n"}]}


def add_routes(app: FastAPI, gateway: Gateway, problem_responses: dict[int | str, dict[str, Any]]) -> None:
    """`POST /v1/run`."""

    @app.post(
        "/v1/run",
        summary="Run a program on given inputs (data preparation)",
        response_model=ProgramOut,
        responses={
            **problem_responses,
            503: {**problem_responses[429], "description": "no sandbox could run it"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/ProgramIn"}, "example": EXAMPLE}},
            }
        },
        tags=["run"],
    )
    async def run(request: Request) -> Response:
        seconds = gateway.deadline(asked_deadline(request))
        try:
            asked = ProgramIn.model_validate_json(await gateway.body(request))
        except ValidationError as error:
            raise bad_request(error) from None
        style = Style.FUNCTION if asked.function else Style.STDIO
        limits = RunLimits(
            asked.limits.cpu_seconds,
            asked.limits.wall_seconds,
            asked.limits.total_cpu_seconds,
            memory_bytes=asked.limits.memory_bytes,
            output_bytes=asked.limits.output_bytes,
        )
        program = Program(
            language_of(asked.language),
            asked.program,
            style,
            asked.preamble,
            asked.function,
            limits=limits,
        )
        runs = [
            Run(
                arguments={
                    "a": tagged(one.arguments or []),
                    "k": {k: tagged(v) for k, v in one.keywords.items()},
                }
            )
            if asked.function
            else Run(stdin=one.stdin)
            for one in asked.runs
        ]
        results = await run_program(gateway, program, runs, stop_early=asked.stop_early, seconds=seconds)
        return Response(encode({"results": [result_out(result) for result in results]}), media_type=JSON)


MODELS: tuple[type[BaseModel], ...] = (ProgramIn,)
"""Schemas that the OpenAPI document needs beside those that FastAPI finds."""
