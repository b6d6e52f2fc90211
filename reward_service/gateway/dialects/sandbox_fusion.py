"""SandboxFusion's API: verl's and ROLL's `sandbox_fusion` URL (`http://host/run_code`), and its own PyPI client.

`/run_code` runs one program once; every verdict is 200 with `Success`, `Failed` or `SandboxError`. verl retries 504
and nothing else, and takes every other refusal for a wrong answer: so requests wait here for a place, and a sandbox that
fails is a 504 just before the client's own deadline (compile + run + 10 s). On this wire asserts are inside the code, so
a program that ends itself with exit code 0 passes: whoever can should use `/v1/score`, where that is impossible.

`/submit` scores a completion on the tests in `config.provided_data` through the code handler; `/run_jupyter` runs cells in
one process; data sets of our own there are none, so the rest answers emptily.

What we can't do is said, never passed over: `fetch_files` come back empty with a `message`, since the sandbox hands out
no files; binary files, tests with files and `custom_extract_logic` (which is code of the caller's to run inside the server) are
refused with a 400; a language that no sandbox has is SandboxFusion's own 422. Facts: reference/sandbox.md §1.1, §1.2, §2.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.scorer import Row, Scored
from reward_service.errors import SandboxUnavailable
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import patiently, reply
from reward_service.gateway.dialects.open_instruct import fenced
from reward_service.gateway.programs import language_of, run_program
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus
from reward_service.wire import bad_request

GRACE_SECONDS = 8.0
"""Less than the ten seconds that verl's client adds to the time limits."""
SIGXFSZ, SIGKILL = 25, 9
MAX_SECONDS = 300.0
Model = TypeVar("Model", bound=BaseModel)


class RunCode(BaseModel):
    """SandboxFusion's RunCodeRequest. Unknown fields are ignored, as there."""

    model_config = ConfigDict(extra="ignore")

    compile_timeout: float = Field(10.0, gt=0)
    run_timeout: float = Field(10.0, gt=0)
    memory_limit_MB: int = -1
    code: str
    stdin: str | None = None
    language: str = "python"
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)


class RunJupyter(BaseModel):
    """SandboxFusion's RunJupyterRequest."""

    model_config = ConfigDict(extra="ignore")

    cells: list[str]
    cell_timeout: float = 0.0
    total_timeout: float = Field(45.0, gt=0)
    memory_limit_MB: int = -1
    kernel: Literal["python3"] = "python3"
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)


class TestConfig(BaseModel):
    """SandboxFusion's TestConfig: what of it says how a completion is tested."""

    __test__ = False  # no test of pytest's
    model_config = ConfigDict(extra="ignore")

    dataset_type: str | None = None
    language: str | None = None
    run_timeout: float | None = None
    custom_extract_logic: str | None = None
    provided_data: dict[str, Any] | list[dict[str, Any]] | None = None
    extra: dict[str, Any] = Field(default_factory=dict)


class Submit(BaseModel):
    """SandboxFusion's SubmitRequest."""

    model_config = ConfigDict(extra="ignore")

    dataset: str = ""
    id: int | str = ""
    completion: str
    config: TestConfig = TestConfig()


class Prompts(BaseModel):
    """SandboxFusion's GetPromptsRequest and GetPromptByIdRequest."""

    model_config = ConfigDict(extra="ignore")

    dataset: str = ""
    id: int | str | None = None
    config: TestConfig = TestConfig()
    offset: int = Field(0, ge=0)
    limit: int = Field(1_000_000, ge=0)


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])

    @routes.post("/run_code", summary="SandboxFusion: run a program")
    async def run_code(request: Request) -> Response:
        asked = await read(gateway, request, RunCode)
        if isinstance(asked, Response):
            return asked
        files = text_files(asked.files)
        if files is None:
            return detail(400, "files are base64 of UTF-8 text; this server takes no others")
        language = language_of(asked.language)
        if (known := languages(gateway)) and language not in known:
            return detail(422, f"language {asked.language[:40]!r}: this server has {', '.join(known)}")
        program = Program(
            language,
            asked.code,
            files=files,
            limits=limits_of(asked.run_timeout, asked.memory_limit_MB, asked.compile_timeout),
        )
        seconds = min(asked.compile_timeout + asked.run_timeout, 2 * MAX_SECONDS) + GRACE_SECONDS
        result = await one_run(gateway, program, Run(asked.stdin or ""), seconds)
        if isinstance(result, Response):
            return result
        return reply(run_reply(result, program.language) | {"message": fetch_message(asked.fetch_files)})

    @routes.post("/run_jupyter", summary="SandboxFusion: run cells in one process")
    async def run_jupyter(request: Request) -> Response:
        asked = await read(gateway, request, RunJupyter)
        if isinstance(asked, Response):
            return asked
        files = text_files(asked.files)
        if files is None:
            return detail(400, "files are base64 of UTF-8 text; this server takes no others")
        program = Program(
            "python",
            NOTEBOOK,
            files={**files, CELLS: json.dumps(asked.cells)},
            limits=limits_of(asked.total_timeout, asked.memory_limit_MB, 10.0),
        )
        seconds = min(asked.total_timeout, MAX_SECONDS) + GRACE_SECONDS
        result = await one_run(gateway, program, Run(), seconds)
        if isinstance(result, Response):
            return result
        return reply(jupyter_reply(result) | {"message": fetch_message(asked.fetch_files)})

    @routes.post("/submit", summary="SandboxFusion: test a completion on provided data")
    async def submit(request: Request) -> Response:
        asked = await read(gateway, request, Submit)
        if isinstance(asked, Response):
            return asked
        data = provided(asked.config, asked.id)
        if data is None:
            return detail(
                400,
                f"unknown dataset {asked.dataset[:80]!r}: this server has none; send config.provided_data",
            )
        if asked.config.custom_extract_logic:
            return detail(400, "custom_extract_logic is not run on this server; extract the code before")
        rows = rows_of(asked, data)
        if not rows:
            return detail(
                400,
                "provided_data has no tests this server knows: test is [{input: {stdin}, output: {stdout}}], or code",
            )
        timeout = asked.config.run_timeout or 20.0
        scored = await patiently(gateway, rows, min(600.0, 30.0 + timeout * len(rows)))
        unjudged = [one.outcome for one in scored if one.outcome.score is None]
        if unjudged:
            lasting = next((outcome for outcome in unjudged if not outcome.retryable), unjudged[0])
            return detail(
                504 if lasting.retryable else 400, str(lasting.detail.get("message", lasting.reason))
            )
        return reply(submit_reply(asked, data, scored))

    @routes.post("/get_prompts", summary="SandboxFusion: prompts of provided data")
    async def get_prompts(request: Request) -> Response:
        asked = await read(gateway, request, Prompts)
        if isinstance(asked, Response):
            return asked
        data = asked.config.provided_data
        if data is None:
            return detail(400, f"unknown dataset {asked.dataset[:80]!r}")
        rows = data if isinstance(data, list) else [data]
        return reply([prompt_of(row) for row in rows[asked.offset : asked.offset + asked.limit]])

    @routes.post("/get_prompt_by_id", summary="SandboxFusion: one prompt of provided data")
    async def get_prompt_by_id(request: Request) -> Response:
        asked = await read(gateway, request, Prompts)
        if isinstance(asked, Response):
            return asked
        row = provided(asked.config, asked.id)
        return (
            detail(400, f"unknown dataset {asked.dataset[:80]!r}") if row is None else reply(prompt_of(row))
        )

    @routes.get("/v1/ping", summary="SandboxFusion: ping")
    async def ping() -> Response:
        return reply("pong")

    @routes.get("/list_datasets", summary="SandboxFusion: data sets (none)")
    async def list_datasets() -> Response:
        return reply([])

    @routes.post("/list_ids", summary="SandboxFusion: ids (none)")
    async def list_ids() -> Response:
        return reply([])

    @routes.post("/get_metrics", summary="SandboxFusion: metrics (none)")
    async def get_metrics() -> Response:
        return reply({})

    @routes.post("/get_metrics_function", summary="SandboxFusion: metrics function (none)")
    async def get_metrics_function() -> Response:
        return reply({"function": None})

    return routes


async def read(gateway: Gateway, request: Request, model: type[Model]) -> Model | Response:
    """The body as a model, or the 422 that FastAPI would answer."""
    try:
        return model.model_validate_json(await gateway.body(request))
    except ValidationError as error:
        return detail(422, bad_request(error).detail)


async def one_run(gateway: Gateway, program: Program, run: Run, seconds: float) -> RunResult | Response:
    """The result within `seconds`, waiting for a place included; or the 504 that says there is none."""
    try:
        async with asyncio.timeout(seconds):
            (result,) = await run_program(gateway, program, [run], stop_early=True, seconds=seconds)
    except SandboxUnavailable as error:
        return detail(504, error.detail)
    except TimeoutError:
        return detail(504, f"no place within {seconds:.0f} s")
    return result


def languages(gateway: Gateway) -> Sequence[str]:
    """What the sandbox can run, in order; nothing while it does not know."""
    sandbox = gateway.engine.sandbox
    return sorted(sandbox.languages()) if sandbox is not None else ()


def fetch_message(names: Sequence[str]) -> str:
    """What a reply says about files that were to be fetched: nothing if none were."""
    return f"fetch_files is not supported by this server: {len(names)} not fetched" if names else ""


def detail(status: int, text: str) -> Response:
    """An error as SandboxFusion writes it."""
    return reply({"detail": text}, status)


def limits_of(run_seconds: float, memory_mb: int, compile_seconds: float) -> RunLimits:
    """The run's limits: the time limit counts CPU time, and wall time with two seconds of grace."""
    seconds = min(run_seconds, MAX_SECONDS)
    limits = RunLimits(
        cpu_seconds=seconds,
        wall_seconds=seconds + 2.0,
        total_cpu_seconds=seconds + 1.0,
        compile_seconds=min(compile_seconds, MAX_SECONDS),
    )
    return limits if memory_mb <= 0 else RunLimits(
        limits.cpu_seconds, limits.wall_seconds, limits.total_cpu_seconds, limits.compile_seconds, memory_mb << 20
    )  # fmt: skip


def text_files(files: Mapping[str, str | None]) -> dict[str, str] | None:
    """The files as text; None if one is no text. Empty ones and those marked to be ignored are left out."""
    found: dict[str, str] = {}
    for name, content in files.items():
        if content is None or "IGNORE_THIS_FILE" in content:
            continue
        try:
            found[name.lstrip("/")] = base64.b64decode(content, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
    return found


def command(result: RunResult) -> dict[str, Any]:
    """A run as a CommandRunResult."""
    late = result.status is RunStatus.TIME_LIMIT
    code: int | None
    if late:
        code = None
    elif result.status is RunStatus.OK:
        code = 0
    elif result.status is RunStatus.OUTPUT_LIMIT:
        code = -SIGXFSZ
    elif result.status is RunStatus.MEMORY_LIMIT:
        code = -SIGKILL if not result.exit_code else result.exit_code
    else:
        code = -result.signal if result.signal else (result.exit_code or 1)
    return {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": result.wall_seconds,
        "cpu_time": result.cpu_seconds,
        "return_code": code,
        "stdout": result.stdout,
        "stderr": result.stderr or ("" if result.status is RunStatus.OK else result.message),
    }


def run_reply(result: RunResult, language: str) -> dict[str, Any]:
    """A run as a RunCodeResponse."""
    interpreted = language in ("python", "bash", "javascript")
    compiled: dict[str, Any] | None = None
    ran: dict[str, Any] | None = command(result)
    if not interpreted:
        compiled = {
            "status": "Finished", "execution_time": 0.0, "return_code": 0, "stdout": "", "stderr": "",
        }  # fmt: skip
        if result.status is RunStatus.COMPILE_ERROR:
            compiled, ran = {**compiled, "return_code": 1, "stderr": result.message}, None
    return {
        "status": "Success" if result.status is RunStatus.OK else "Failed",
        "message": "",
        "compile_result": compiled,
        "run_result": ran,
        "executor_pod_name": None,
        "files": {},
    }


CELLS = "reward_service_cells.json"
NOTEBOOK = """\
import ast, contextlib, io, json, sys, traceback

cells = json.load(open("reward_service_cells.json"))
real, names, replies = sys.stdout, {"__name__": "__main__"}, []
for number, source in enumerate(cells):
    out, err, display, errors = io.StringIO(), io.StringIO(), [], []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            tree = ast.parse(source, f"cell {number}")
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, f"cell {number}", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
                if value is not None:
                    display.append({"text/plain": repr(value)})
        except BaseException as error:
            frames = traceback.format_exception(error)
            errors.append({"ename": type(error).__name__, "evalue": str(error), "traceback": frames})
    replies.append({"stdout": out.getvalue(), "stderr": err.getvalue(), "display": display, "error": errors})
    if errors:
        break
real.write("\\n" + json.dumps(replies))
"""
"""Runs cells in one namespace and prints what each came to. It runs inside the sandbox, as the caller's own program."""


def jupyter_reply(result: RunResult) -> dict[str, Any]:
    """A run of the notebook as a RunJupyterResponse."""
    cells: Any = None
    if result.status is RunStatus.OK:
        try:
            cells = json.loads(result.stdout.rpartition("\n")[2])
        except (ValueError, RecursionError):
            pass  # a cell ended the process
    whole = isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)
    cells = cells if whole else []
    driver = {**command(result), "stdout": ""}
    failed = not whole or any(cell.get("error") for cell in cells)
    return {
        "status": "Failed" if failed else "Success",
        "message": "",
        "driver": driver,
        "cells": cells,
        "executor_pod_name": None,
        "files": {},
    }


def provided(config: TestConfig, identity: int | str | None) -> dict[str, Any] | None:
    """The row in provided_data with this id, or the only one."""
    data = config.provided_data
    if isinstance(data, list):
        return next(
            (row for row in data if str(row.get("id")) == str(identity)), data[0] if len(data) == 1 else None
        )
    return data


def rows_of(asked: Submit, data: Mapping[str, Any]) -> list[Row]:
    """One row for each test of a CommonOJDataset, or one for the test code of an AutoEvalDataset."""
    extra: dict[str, Any] = {"language": language_of(asked.config.language or "python")}
    if asked.config.run_timeout:
        extra["time_limit"] = min(asked.config.run_timeout, MAX_SECONDS)
    response = asked.completion if "```" in asked.completion else fenced(asked.completion)
    tests = data.get("test")
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError):
            return [Row("codegen__mbpp", response, {"functional": tests}, extra_info=extra)]
    golds: list[Any] = []
    for test in tests if isinstance(tests, list) else []:
        stdin, stdout = _text(test, "input", "stdin"), _text(test, "output", "stdout")
        if stdin is None or stdout is None:
            return []
        golds.append({"inputs": [stdin], "outputs": [stdout]})
    return [Row("codegen__taco", response, gold, extra_info=extra) for gold in golds]


def _text(test: Any, name: str, inner: str) -> str | None:
    """The text of a stream; None also if files stand beside it: a test without its files would be another test."""
    value = test.get(name) if isinstance(test, Mapping) else None
    if isinstance(value, Mapping):
        value = value.get(inner, "") if value.keys() <= {inner} else None
    return value if isinstance(value, str) else None


def submit_reply(asked: Submit, data: Mapping[str, Any], scored: list[Scored]) -> dict[str, Any]:
    """Scores as an EvalResult. No expected value is told."""
    outcomes = [one.outcome for one in scored]
    if not asked.config.extra.get("run_all_cases"):
        first = next((at for at, outcome in enumerate(outcomes) if not outcome.correct), len(outcomes))
        outcomes = outcomes[: first + 1]
    accepted = all(outcome.correct for outcome in outcomes)
    code = outcomes[0].extracted or ""
    return {
        "id": asked.id,
        "accepted": accepted,
        "extracted_code": code,
        "full_code": code,
        "test_code": None,
        "tests": [
            {
                "passed": bool(outcome.correct),
                "exec_info": {
                    "status": "Success" if outcome.correct else "Failed",
                    "message": outcome.reason.value,
                    "compile_result": None,
                    "run_result": None,
                    "executor_pod_name": None,
                    "files": {},
                },
                "test_info": None,
            }
            for outcome in outcomes
        ],
        "extracted_type": "fenced" if "```" in asked.completion else "heuristic",
        "extra": {"id": data.get("id")},
    }


def prompt_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of provided data as a Prompt."""
    labels = row.get("labels")
    if isinstance(labels, str):
        try:
            labels = json.loads(labels)
        except (ValueError, RecursionError):
            labels = {}
    return {
        "id": row.get("id", 0),
        "prompt": str(row.get("content", row.get("prompt", ""))),
        "labels": labels if isinstance(labels, Mapping) else {},
    }
