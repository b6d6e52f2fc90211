"""Programs over HTTP, on a real sandbox: `/v1/run`, code items, and the dialects of code sandboxes."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from reward_service.adapters import bubblewrap
from reward_service.assemble import build_app
from reward_service.settings import Settings
from tests.engine import need, unavailable
from tests.gateway.conftest import live

ADD = "def add(a, b):\n    return a + b\n"
ANSWER = f"Like this:\n```python\n{ADD}```"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """A service with bubblewrap as its sandbox: there on every machine that runs these tests."""
    need("bwrap")
    if lacking := bubblewrap.missing():
        unavailable(lacking)
    settings = Settings(processes=1, sandbox="bubblewrap", sandbox_places=2)
    with live(build_app(settings)) as base, httpx2.Client(base_url=base, timeout=60) as client:
        yield client


# The native routes


def run(http: httpx2.Client, **body: Any) -> list[dict[str, Any]]:
    reply = http.post("/v1/run", json=body)
    assert reply.status_code == 200, reply.text
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def test_a_program_on_inputs(http: httpx2.Client) -> None:
    program = "n = int(input())\nprint(n * 2)"
    results = run(http, program=program, runs=[{"stdin": "21\n"}, {"stdin": "x"}, {"stdin": "4"}])
    assert [result["status"] for result in results] == ["ok", "runtime_error", "ok"]
    assert [result["stdout"] for result in results] == ["42\n", "", "8\n"]
    assert "ValueError" in results[1]["stderr"] + results[1]["message"]
    assert results[0]["cpu_seconds"] > 0
    assert len(run(http, program=program, runs=[{"stdin": "x"}, {"stdin": "1"}], stop_early=True)) == 1


def test_a_function_on_arguments(http: httpx2.Client) -> None:
    results = run(
        http,
        program="def look(table, key, *, default=None):\n    return table.get(key, default)",
        function="look",
        runs=[
            {"arguments": [{"a": 2**70}, "a"]},
            {"arguments": [{}, "b"], "keywords": {"default": [1, None]}},
            {"arguments": [1, 2]},
        ],
    )
    assert [result["status"] for result in results] == ["ok", "ok", "runtime_error"]
    assert json.loads(results[1]["value"])["v"] == [1, None]
    assert json.loads(results[0]["value"])["v"] == {"i": hex(2**70)}


def test_limits_and_languages(http: httpx2.Client) -> None:
    (late,) = run(http, program="while True: pass", limits={"cpu_seconds": 0.3})
    assert late["status"] == "time_limit"
    (broken,) = run(http, program="def f(:")
    assert broken["status"] == "compile_error"
    reply = http.post("/v1/run", json={"program": "x", "language": "cobol"})
    assert reply.status_code == 503
    assert "cobol" in reply.json()["detail"]
    reply = http.post("/v1/run", json={"program": "x", "runs": [{"input": "1"}]})
    assert reply.status_code == 422


def test_the_example_of_the_document_works_when_pasted(http: httpx2.Client) -> None:
    operation = http.get("/openapi.json").json()["paths"]["/v1/run"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert [result["stdout"] for result in run(http, **example)] == ["42\n", "8\n"]


def test_code_items_among_others(http: httpx2.Client) -> None:
    gold = json.dumps({"functional": "assert add(1, 2) == 3\nassert add(0, 0) == 0"})
    code = {"data_source": "codegen__mbpp", "ground_truth": gold}
    items = [
        {**code, "response": ANSWER},
        {"data_source": "logic__graph", "response": "<answer>owl</answer>", "ground_truth": "owl"},
        {**code, "response": ANSWER.replace("+", "-")},
        {**code, "response": "```python\nimport os\nos._exit(0)\n```"},
        {**code, "response": "I can't."},
        {**code, "response": ANSWER, "ground_truth": "{"},
    ]
    results = http.post("/v1/score/batch", json={"items": items}).json()["results"]
    assert [result["score"] for result in results] == [1.0, 1.0, 0.0, 0.0, 0.0, None]
    assert results[0]["reason"] == "tests_passed"
    assert results[0]["sandbox_ms"] > 0
    assert results[5]["reason"] == "malformed_ground_truth"
    assert http.get("/v1/info").json()["state"]["reward_service_sandbox_places"] == 2


def test_every_example_of_the_handlers_with_a_sandbox(http: httpx2.Client) -> None:
    from reward_service.registry import load

    sources = [
        (source.name.replace("*", "example"), source.example)
        for handler in load().handlers.values()
        for source in handler.sources
        if handler.judge is not None and "cpp" not in source.example.response
    ]
    items = [
        {
            "data_source": name,
            "response": example.response,
            "ground_truth": example.ground_truth,
            "extra_info": dict(example.extra_info),
        }
        for name, example in sources
    ]
    results = http.post("/v1/score/batch", json={"items": items}).json()["results"]
    for result, (name, example) in zip(results, sources, strict=True):
        assert result["score"] == pytest.approx(example.score), (name, result)


def test_without_a_sandbox_code_is_an_error_that_says_what_to_install() -> None:
    item = {
        "data_source": "codegen__mbpp",
        "response": ANSWER,
        "ground_truth": {"functional": "assert add(1, 2) == 3"},
    }
    with live(build_app(Settings(processes=1, sandbox="none"))) as base:
        result = httpx2.post(f"{base}/v1/score", json=item).json()
        assert (result["status"], result["score"], result["reason"]) == ("error", None, "sandbox_unavailable")
        assert result["retryable"]
        assert "bubblewrap" in result["detail"]["message"]
        assert httpx2.post(f"{base}/v1/run", json={"program": "print(1)"}).status_code == 503
        # verl tries again on 504, and on nothing else.
        assert httpx2.post(f"{base}/run_code", json={"code": "print(1)"}).status_code == 504


# SandboxFusion


def run_code(http: httpx2.Client, code: str, **more: Any) -> dict[str, Any]:
    """As verl's client sends it."""
    body = {
        "compile_timeout": 10, "run_timeout": 5, "code": code, "stdin": None, "memory_limit_MB": 1024,
        "language": "python", "files": {}, "fetch_files": [], **more,
    }  # fmt: skip
    reply = http.post("/run_code", json=body)
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    assert set(value) == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    return value


def test_run_code(http: httpx2.Client) -> None:
    good = run_code(http, "print(input()[::-1])", stdin="abc\n")
    assert good["status"] == "Success"
    assert good["compile_result"] is None
    ran = good["run_result"]
    assert (ran["status"], ran["return_code"], ran["stdout"], ran["stderr"]) == ("Finished", 0, "cba\n", "")
    assert ran["execution_time"] > 0
    assert http.post("/run_code", json={"code": "print(1)"}).json()["run_result"]["stdout"] == "1\n"


@pytest.mark.parametrize(
    ("code", "code_is", "in_stderr"),
    [
        ("import sys; print('x'); sys.exit(3)", 3, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, ""),
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("def f(:", 1, "SyntaxError"),
    ],
)
def test_run_code_failures(http: httpx2.Client, code: str, code_is: int, in_stderr: str) -> None:
    failed = run_code(http, code)
    assert failed["status"] == "Failed"
    assert (failed["run_result"]["status"], failed["run_result"]["return_code"]) == ("Finished", code_is)
    assert in_stderr in failed["run_result"]["stderr"]


def test_run_code_time_limit_keeps_the_output(http: httpx2.Client) -> None:
    late = run_code(http, "print('so far', flush=True)\nwhile True: pass", run_timeout=0.5)
    assert late["status"] == "Failed"
    assert late["run_result"]["status"] == "TimeLimitExceeded"
    assert late["run_result"]["return_code"] is None
    assert late["run_result"]["stdout"] == "so far\n"


def test_run_code_files_and_large_output(http: httpx2.Client) -> None:
    files = {
        "data/in.txt": base64.b64encode("äö".encode()).decode(),
        "skipped": None,
        "too": "IGNORE_THIS_FILE",
    }
    assert (
        run_code(http, "print(open('data/in.txt', encoding='utf-8').read())", files=files)["run_result"][
            "stdout"
        ]
        == "äö\n"
    )
    large = run_code(http, "for n in range(60_000): print(n)")
    assert large["run_result"]["stdout"] == "".join(f"{n}\n" for n in range(60_000))


def test_run_code_refuses_in_its_own_words(http: httpx2.Client) -> None:
    assert http.post("/run_code", json={"language": "python"}).status_code == 422
    assert "detail" in http.post("/run_code", json={"code": 1}).json()
    assert http.post("/run_code", json={"code": "1", "files": {"a": "not base64!"}}).status_code == 400


def test_run_code_says_what_it_can_not_do(http: httpx2.Client) -> None:
    asked = run_code(http, "open('out.txt', 'w').write('x')", fetch_files=["out.txt"])
    assert (asked["status"], asked["files"]) == ("Success", {})
    assert asked["message"] == "fetch_files is not supported by this server: 1 not fetched"
    assert run_code(http, "print(1)")["message"] == ""
    # As SandboxFusion answers a language that it does not have: verl would try a 504 twice more, for nothing.
    reply = http.post("/run_code", json={"code": "x", "language": "racket"})
    assert reply.status_code == 422
    assert "racket" in reply.json()["detail"]


def test_run_code_while_nothing_is_free(http: httpx2.Client) -> None:
    # Two places, four sleepers: each waits for its turn, and waiting is not running.
    body = {"code": "import time; time.sleep(1)\nprint('done')", "compile_timeout": 1, "run_timeout": 3}
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: http.post("/run_code", json=body).json(), range(4)))
    assert [one["run_result"]["stdout"] for one in replies] == ["done\n"] * 4


async def test_run_code_without_a_place_is_504_before_the_client_gives_up() -> None:
    need("bwrap")
    if lacking := bubblewrap.missing():
        unavailable(lacking)
    app = build_app(Settings(processes=1, sandbox="bubblewrap", sandbox_places=1, max_in_flight=1))
    gateway = app.state.gateway
    with live(app) as base, httpx2.Client(base_url=base, timeout=30) as client:
        gateway.admission.under_way = 1  # somebody holds the only place
        began = time.monotonic()
        body = {"code": "print(1)", "compile_timeout": 0.1, "run_timeout": 0.1}
        reply = await asyncio.to_thread(client.post, "/run_code", json=body)
        gateway.admission.under_way = 0
    assert reply.status_code == 504
    assert time.monotonic() - began < 10.2


def test_run_jupyter(http: httpx2.Client) -> None:
    body = {"cells": ["x = 3", "print(x)\nx * 2", "1 / 0", "x"]}
    reply = http.post("/run_jupyter", json=body).json()
    assert reply["status"] == "Failed"
    assert [cell["stdout"] for cell in reply["cells"]] == ["", "3\n", ""]
    assert reply["cells"][1]["display"] == [{"text/plain": "6"}]
    assert reply["cells"][2]["error"][0]["ename"] == "ZeroDivisionError"
    assert http.post("/run_jupyter", json={"cells": ["print(1)"]}).json()["status"] == "Success"
    left = http.post("/run_jupyter", json={"cells": ["import os; os._exit(0)"], "fetch_files": ["x"]}).json()
    assert (left["status"], left["cells"]) == ("Failed", [])
    assert "fetch_files" in left["message"]


def test_submit_on_provided_data(http: httpx2.Client) -> None:
    data = {
        "id": 7,
        "content": "Add two numbers.",
        "labels": "{}",
        "test": [
            {"input": {"stdin": "1 2"}, "output": {"stdout": "3"}},
            {"input": {"stdin": "5 5"}, "output": {"stdout": "10"}},
            {"input": {"stdin": "5 6"}, "output": {"stdout": "11"}},
        ],
    }
    config = {"language": "python", "dataset_type": "CommonOJDataset", "provided_data": data}

    def submit(program: str, **extra: Any) -> dict[str, Any]:
        body = {
            "dataset": "mine", "id": 7, "completion": f"```python\n{program}\n```", "config": {**config, "extra": extra},
        }  # fmt: skip
        value: dict[str, Any] = http.post("/submit", json=body).json()
        return value

    right = submit("print(sum(map(int, input().split())))")
    assert (right["id"], right["accepted"], len(right["tests"])) == (7, True, 3)
    wrong = "print(3)"
    assert [test["passed"] for test in submit(wrong)["tests"]] == [True, False]
    assert [test["passed"] for test in submit(wrong, run_all_cases=True)["tests"]] == [True, False, False]
    assert '"11"' not in json.dumps(submit(wrong, run_all_cases=True))
    asserts = {
        "dataset": "mine",
        "id": 1,
        "completion": ANSWER,
        "config": {"provided_data": {"id": 1, "test": "assert add(2, 2) == 4"}},
    }
    assert http.post("/submit", json=asserts).json()["accepted"] is True
    asserts["completion"] = "```python\nimport sys\nsys.exit(0)\n```"
    assert http.post("/submit", json=asserts).json()["accepted"] is False
    assert http.post("/submit", json={"dataset": "theirs", "id": 1, "completion": ""}).status_code == 400
    unsupported: list[dict[str, Any]] = [
        {"custom_extract_logic": "submit_code_blocks([])", "provided_data": data},
        {
            "provided_data": {
                "id": 7,
                "test": [{"input": {"stdin": "1", "a.txt": "x"}, "output": {"stdout": ""}}],
            }
        },
        {"provided_data": {"id": 7, "test": "assert (", "labels": {}}},
    ]
    for config_of in unsupported:
        body = {"dataset": "mine", "id": 7, "completion": ANSWER, "config": config_of}
        assert http.post("/submit", json=body).status_code == 400  # its client would try a 504 five times
    prompt = http.post("/get_prompt_by_id", json={"dataset": "mine", "id": 7, "config": config}).json()
    assert prompt == {"id": 7, "prompt": "Add two numbers.", "labels": {}}
    assert http.post("/get_prompts", json={"dataset": "mine", "config": config}).json() == [prompt]
    assert http.get("/v1/ping").json() == "pong"


# open-instruct


def encoded_as(kind: str, tests: list[Any]) -> Any:
    if kind == "list":
        return tests
    if kind == "json":
        return json.dumps(tests)
    return base64.b64encode(zlib.compress(pickle.dumps(tests))).decode()


@pytest.mark.parametrize("kind", ["list", "json", "pickle"])
def test_open_instruct(http: httpx2.Client, kind: str) -> None:
    asserts = ["assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert add(0, 0) == 0"]
    body = {"program": ADD, "tests": encoded_as(kind, asserts), "max_execution_time": 2.0}
    reply = http.post("/test_program", json=body).json()
    assert reply["results"] == [1, 0, 1]
    assert [runtime > 0 for runtime in reply["runtimes"]] == [True, False, True]
    assert reply["runtimes"][1] == -1.0
    pairs = [{"input": "1 2\n", "output": "3\n"}, {"input": "4 4\n", "output": "9\n"}]
    body = {
        "program": "import os\nprint(sum(map(int, input().split())))",
        "tests": encoded_as(kind, pairs),
        "max_execution_time": 2.0,
    }
    assert http.post("/test_program_stdio", json=body).json()["results"] == [1, 0]


def test_open_instruct_is_not_fooled(http: httpx2.Client) -> None:
    for program in ("import sys\nsys.exit(0)", "print('```')", "def add(a, b):\n    raise SystemExit(0)"):
        body = {"program": program, "tests": ["assert add(1, 2) == 3"], "max_execution_time": 1.0}
        assert http.post("/test_program", json=body).json() == {"results": [0], "runtimes": [-1.0]}
    late = {
        "program": "print(1)\nimport sys; sys.exit(3)",
        "tests": [{"input": "", "output": "1"}],
        "max_execution_time": 1.0,
    }
    assert http.post("/test_program_stdio", json=late).json()["results"] == [0]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def bomb() -> Any:
    value: Any = ["x"]
    for _ in range(40):
        value = [value, value]
    return value


def test_open_instruct_says_which_test_is_none(http: httpx2.Client) -> None:
    body = {"program": ADD, "tests": ["assert add(1, 2) == 3", "assert ("], "max_execution_time": 1.0}
    reply = http.post("/test_program", json=body)
    assert reply.status_code == 422
    assert "test 1" in reply.json()["detail"]


@pytest.mark.parametrize(
    "tests",
    [
        [],
        None,
        7,
        "junk",
        encoded_as("pickle", [Evil()]),
        encoded_as("pickle", bomb()),
        ["ok", 7],
        "[" * 90_000,
    ],
)
def test_open_instruct_refuses_what_is_no_test(http: httpx2.Client, tests: Any) -> None:
    body = {"program": ADD, "tests": tests, "max_execution_time": 1.0}
    assert http.post("/test_program", json=body).status_code == 422


def test_open_instruct_health(http: httpx2.Client) -> None:
    assert http.get("/health").json() == {"status": "healthy"}
