"""verifiers: the NeMo Gym task of version 1 (as prime-rl uses it), and the rubric of 0.1 in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from verifiers.v1.tasksets.nemo_gym.taskset import NeMoGymData, NeMoGymTask, NeMoGymTaskConfig
from verifiers.v1.tasksets.nemo_gym.toolset import NeMoGymState
from verifiers.v1.types import AssistantMessage

from tests.trainers.conftest import ROOT, Wire
from tests.trainers.rows import CASES, Case, rewards


async def run(case: Case, url: str, headers: dict[str, str] | None = None) -> tuple[float, dict[str, Any]]:
    """Set up and score one rollout; the reward, and what the trace keeps."""
    row = {"responses_create_params": {"input": [{"role": "user", "content": "q"}]}, "id": 1, **case.row}
    data = NeMoGymData(idx=0, prompt="q", row=row)
    task = NeMoGymTask(data, NeMoGymTaskConfig(resources_url=url, headers=headers or {}))
    metrics: dict[str, float] = {}
    message = AssistantMessage(content=case.response, reasoning_content="no: \\boxed{0}")
    node = SimpleNamespace(message=message, sampled=True, timestamp=1.5)
    trace: Any = SimpleNamespace(
        id="t", state=NeMoGymState(), info={}, branches=[SimpleNamespace(nodes=[node])],
        record_metric=metrics.__setitem__,
    )  # fmt: skip
    await task.setup(trace, None)
    reward = await task.nemo_gym(trace)
    return reward, metrics | trace.info["nemo_gym"]


async def test_nemo_gym_task(wire: Wire) -> None:
    found = [await run(case, wire.url) for case in CASES]
    assert [reward for reward, _ in found] == rewards(CASES, 0.0)
    masked = found[5][1]
    assert (masked["mask_sample"], masked["failure_kind"]) == (1.0, "verifier_error")


async def test_with_a_key_of_a_server_in_the_path(wire: Wire) -> None:
    case = Case("", None, "\\boxed{0.5}", 1.0)
    row = {"responses_create_params": {"input": "q"}, "question": "q", "expected_answer": "1/2"}
    task = NeMoGymTask(
        NeMoGymData(idx=0, prompt="q", row=row),
        NeMoGymTaskConfig(
            resources_url=f"{wire.url}/nemo_gym/math_with_judge", headers={"Authorization": "Bearer k"}
        ),
    )
    node = SimpleNamespace(message=AssistantMessage(content=case.response), sampled=True, timestamp=1.5)
    trace: Any = SimpleNamespace(
        id="t", state=NeMoGymState(), info={}, branches=[SimpleNamespace(nodes=[node])],
        record_metric=lambda *_: None,
    )  # fmt: skip
    await task.setup(trace, None)
    assert await task.nemo_gym(trace) == 1.0


async def test_an_error_drops_the_trace(wire: Wire) -> None:
    wire.refuse = [503]
    with pytest.raises(httpx.HTTPStatusError):
        await run(CASES[0], wire.url)
    wire.refuse = []
    headers = {"X-On-Error": "status"}
    assert (await run(CASES[0], wire.url, headers=headers))[0] == 1.0
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        await run(CASES[5], wire.url, headers=headers)


LEGACY = """
import asyncio, json, sys
import verifiers as vf
from reward_service.client.trainers import verifiers as adapter
from tests.trainers.rows import CASES

def state(case):
    return {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": case.response}],
            "answer": case.ground_truth, "task": "t", "info": {"data_source": case.data_source}, "trajectory": [],
            "timing": {"scoring_ms": 0.0, "total_ms": 0.0}, "input": {}}

async def main():
    rubric = vf.Rubric(funcs=[adapter.reward, adapter.valid], weights=[1.0, 0.0])
    states = [state(case) for case in CASES]
    for one in states:
        await rubric.score_rollout(one)
    group = vf.Rubric(funcs=[adapter.group_reward], weights=[1.0])
    others = [state(case) for case in CASES]
    await group.score_group(others)
    print(json.dumps([[one["reward"] for one in states], [one["metrics"]["valid"] for one in states],
                      [one["reward"] for one in others]]))

asyncio.run(main())
"""


def test_rubric_of_version_0_1(wire: Wire) -> None:
    import json

    path = os.pathsep.join((str(ROOT / ".venv-trainers" / "legacy"), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", LEGACY],
        check=False,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    alone, valid, group = json.loads(done.stdout.splitlines()[-1])
    assert alone == group == rewards(CASES, 0.0)
    assert valid == [float(case.reward is not None) for case in CASES]
