"""SandboxFusion's own PyPI client on our dialect."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sandbox_fusion import (
    GetPromptByIdRequest,
    GetPromptsRequest,
    RunCodeRequest,
    RunJupyterRequest,
    SubmitRequest,
    TestConfig,
    get_prompt_by_id,
    get_prompts,
    run_code,
    run_code_async,
    run_jupyter,
    submit,
    submit_async,
    summary_run_code_result,
)
from sandbox_fusion.models import SummaryMapping

from tests.trainers.conftest import Service, Wire


def test_run_code(wire: Wire) -> None:
    found = run_code(
        RunCodeRequest(code="print(input() + 'ä🙂')", language="python", stdin="鶴"), endpoint=wire.url
    )
    assert (found.status, found.run_result.stdout) == ("Success", "鶴ä🙂\n")
    failed = run_code(RunCodeRequest(code="raise ValueError", language="python"), endpoint=wire.url)
    assert (failed.status, failed.run_result.return_code) == ("Failed", 1)
    mapping = SummaryMapping(RunTimeout="late", RunFailed="crashed", CompileFailed="compile")
    assert summary_run_code_result(failed, mapping) == "crashed"
    request = RunCodeRequest(code="while True: pass", language="python", run_timeout=0.5)
    assert summary_run_code_result(run_code(request, endpoint=wire.url), mapping) == "late"


def test_files(wire: Wire) -> None:
    files = {"in.txt": base64.b64encode("é".encode()).decode()}
    request = RunCodeRequest(
        code="print(open('in.txt', encoding='utf-8').read())",
        language="python",
        files=files,
        fetch_files=["x"],
    )
    found = run_code(request, endpoint=wire.url)
    assert found.run_result.stdout == "é\n"
    assert (found.files, "fetch_files is not supported" in found.message) == ({}, True)


def test_bash(wire: Wire) -> None:
    found = run_code(RunCodeRequest(code="echo $((6 * 7))", language="bash"), endpoint=wire.url)
    assert found.run_result.stdout == "42\n"


def test_large_output(wire: Wire) -> None:
    request = RunCodeRequest(code="print('ab' * 100_000)", language="python")
    assert len(run_code(request, endpoint=wire.url).run_result.stdout) == 200_001


async def test_async(wire: Wire) -> None:
    found = await run_code_async(RunCodeRequest(code="print(1)", language="python"), endpoint=wire.url)
    assert found.run_result.stdout == "1\n"


def test_jupyter(wire: Wire) -> None:
    found = run_jupyter(RunJupyterRequest(cells=["a = 20", "print('ä')\na + 22"]), endpoint=wire.url)
    assert found.status == "Success"
    assert [cell.stdout for cell in found.cells] == ["", "ä\n"]
    assert found.cells[1].display == [{"text/plain": "42"}]


DATA = {
    "id": 3,
    "content": "Add.",
    "labels": {"level": "1"},
    "test": [
        {"input": {"stdin": "1 2"}, "output": {"stdout": "3"}},
        {"input": {"stdin": "4 5"}, "output": {"stdout": "9"}},
    ],
}


def config(**more: Any) -> TestConfig:
    return TestConfig(
        language="python", dataset_type="CommonOJDataset", provided_data=DATA, run_timeout=5, **more
    )


def test_submit(wire: Wire) -> None:
    good = "```python\nprint(sum(map(int, input().split())))\n```"
    request = SubmitRequest(dataset="mine", id=3, completion=good, config=config())
    found = submit(request, endpoint=wire.url)
    assert (found.accepted, [test.passed for test in found.tests]) == (True, [True, True])
    request = SubmitRequest(dataset="mine", id=3, completion="```python\nprint(3)\n```", config=config())
    found = submit(request, endpoint=wire.url)
    assert (found.accepted, [test.passed for test in found.tests]) == (False, [True, False])


async def test_submit_async(wire: Wire) -> None:
    request = SubmitRequest(dataset="mine", id=3, completion="print(1)", config=config())
    assert (await submit_async(request, endpoint=wire.url)).accepted is False


def test_prompts(wire: Wire) -> None:
    prompts = get_prompts(GetPromptsRequest(dataset="mine", config=config()), endpoint=wire.url)
    assert [(one.id, one.prompt, one.labels) for one in prompts] == [(3, "Add.", {"level": "1"})]
    one = get_prompt_by_id(GetPromptByIdRequest(dataset="mine", id=3, config=config()), endpoint=wire.url)
    assert one.prompt == "Add."


def test_tried_again(service: Service, wire: Wire) -> None:
    wire.refuse = [504, 503]
    assert run_code(RunCodeRequest(code="print(1)", language="python"), endpoint=wire.url).status == "Success"


def test_an_unknown_data_set_is_refused(wire: Wire) -> None:
    request = SubmitRequest(dataset="humaneval", id=1, completion="x", config=TestConfig())
    with pytest.raises(Exception, match="unknown dataset 'humaneval'"):
        submit(request, endpoint=wire.url, max_attempts=1)
