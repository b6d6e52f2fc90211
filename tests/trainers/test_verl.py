"""verl's own reward managers with our functions, and its sandbox_fusion client on our /run_code."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils.reward_score import default_compute_score, sandbox_fusion
from verl.workers.reward_manager import get_reward_manager_cls

from reward_service.client.trainers import verl as adapter
from tests.trainers.conftest import Service, Wire
from tests.trainers.rows import CASES, MANY, Case, rewards

MODULE = "pkg://reward_service.client.trainers.verl"


class Characters:
    """A tokenizer with a token for each character."""

    def decode(self, tokens: Any, **_: Any) -> str:
        return "".join(map(chr, tokens.tolist()))

    @property
    def eos_token(self) -> str:
        return "\x00"


def sample(case: Case) -> DataProto:
    """One rollout as verl's agent loop hands it over."""
    tokens = torch.tensor([[ord(letter) for letter in case.response]])
    batch = TensorDict(
        {
            "prompts": torch.ones((1, 3), dtype=torch.int64),
            "responses": tokens,
            "attention_mask": torch.ones((1, 3 + tokens.shape[1]), dtype=torch.int64),
        },
        batch_size=1,
    )
    others = {
        "data_source": np.array([case.data_source], dtype=object),
        "reward_model": np.array([{"ground_truth": case.ground_truth}], dtype=object),
        "extra_info": np.array([{"index": np.int64(3)}], dtype=object),
    }
    return DataProto(batch=batch, non_tensor_batch=others)


def manager(name: str, function: str, **kwargs: Any) -> Any:
    """The manager as the configuration in docs/trainers/verl.md makes it."""
    config = OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": {"path": MODULE, "name": function, "reward_kwargs": kwargs},
                "reward_manager": {"source": "register", "name": name},
                "max_concurrent": 64,
                "reward_kwargs": {},
            }
        }
    )
    return load_reward_manager(config, Characters())


async def scored(judge: Any, cases: list[Case]) -> list[dict[str, Any]]:
    results = await asyncio.gather(*(judge.run_single(sample(case)) for case in cases))
    # As the reward loop collects them: the keys of the first sample, from all.
    for key in results[0]["reward_extra_info"]:
        [one["reward_extra_info"][key] for one in results]
    return list(results)


@pytest.mark.parametrize("function", ["compute_score", "compute_score_sync"])
@pytest.mark.parametrize("name", ["naive", "dapo", "rate_limited"])
async def test_reward_loop(name: str, function: str) -> None:
    if name == "rate_limited" and function == "compute_score_sync":
        pytest.skip("this manager awaits coroutines only")
    results = await scored(manager(name, function, fallback=-1.0), CASES)
    assert [one["reward_score"] for one in results] == rewards(CASES, -1.0)
    valid = [one["reward_extra_info"]["valid"] for one in results]
    assert valid == [float(case.reward is not None) for case in CASES]


async def test_two_hundred_at_once(wire: Wire) -> None:
    results = await scored(manager("naive", "compute_score"), MANY)
    assert [one["reward_score"] for one in results] == rewards(MANY, 0.0)


async def test_a_restart_under_way(service: Service, wire: Wire) -> None:
    judge = manager("naive", "compute_score")
    service.stop()
    waiting = asyncio.create_task(scored(judge, MANY[:40]))
    await asyncio.sleep(3)
    await asyncio.to_thread(service.start)
    assert [one["reward_score"] for one in await waiting] == rewards(MANY[:40], 0.0)


async def test_slow_refused_and_gone(service: Service, wire: Wire) -> None:
    wire.delay, wire.refuse = 0.3, [429, 503, 502, 500]
    results = await scored(manager("naive", "compute_score"), MANY[:20])
    assert [one["reward_score"] for one in results] == rewards(MANY[:20], 0.0)
    began = time.monotonic()
    wire.delay, wire.refuse = 0.0, [503] * 1_000
    judge = manager("naive", "compute_score", deadline_seconds=2.0, fallback=0.25)
    results = await scored(judge, MANY[:20])
    assert time.monotonic() - began < 4
    assert [one["reward_score"] for one in results] == [0.25] * 20
    assert [one["reward_extra_info"]["valid"] for one in results] == [0.0] * 20


def test_legacy_batch_manager(wire: Wire) -> None:
    longest = max(len(case.response) for case in MANY)
    padded = [case._replace(response=case.response.ljust(longest)) for case in MANY]
    data = DataProto.concat([sample(case) for case in padded])
    judge = get_reward_manager_cls("batch")(Characters(), 0, adapter.compute_score_batch)
    found = judge(data, return_dict=True)
    assert found["reward_tensor"].sum(dim=1).tolist() == rewards(MANY, 0.0)
    assert found["reward_extra_info"]["valid"] == [1.0] * len(MANY)


# SandboxFusion's wire, by verl's own client

GOOD = "Thus:\n```python\nn = int(input())\nprint('ä' * n)\n```"
BAD = "```python\nprint('ä')\n```"
TESTS = {"inputs": ["1\n", "2\n", "3\n"], "outputs": ["ä", "ää", "äää"]}


def code(wire: Wire, completion: str, tests: dict[str, Any] | None = None, **more: Any) -> float:
    found = default_compute_score(
        "taco",
        completion,
        json.dumps(tests or TESTS),
        sandbox_fusion_url=f"{wire.url}/run_code",
        concurrent_semaphore=threading.Semaphore(8),
        memory_limit_mb=1024,
        **more,
    )
    return found if isinstance(found, float) else float(found[0])


def test_run_code(wire: Wire) -> None:
    assert code(wire, GOOD) == 1.0
    assert code(wire, BAD) == pytest.approx(1 / 3)
    assert code(wire, "```python\ndef f(:\n```") == 0.0
    assert code(wire, "no program") == 0.0
    calls = {"fn_name": "twice", "inputs": ["2", "[1]"], "outputs": ["4", "[1, 1]"]}
    assert code(wire, "```python\ndef twice(x):\n    return x * 2\n```", calls) == 1.0


def test_run_code_large_output(wire: Wire) -> None:
    text = "\n".join(map(str, range(30_000)))
    tests = {"inputs": [""], "outputs": [text]}
    assert code(wire, "```python\nfor n in range(30_000): print(n)\n```", tests) == 1.0


def test_run_code_error_codes(wire: Wire) -> None:
    def results(program: str, timeout: int = 5) -> list[Any]:
        found, _ = sandbox_fusion.utils.check_correctness(
            f"{wire.url}/run_code", {"inputs": [""], "outputs": ["1"]}, program, timeout=timeout
        )
        return list(found)

    assert results("print(1)") == [True]
    assert results("print(2)") == [False]
    assert results("raise SystemExit(3)") == [-2]
    assert results("while True: pass", timeout=1) == [-3]


def test_run_code_is_tried_again_by_504_and_by_nothing_else(wire: Wire) -> None:
    one = {"inputs": ["1\n"], "outputs": ["ä"]}
    wire.refuse = [504, 504]
    assert code(wire, GOOD, one) == 1.0
    wire.refuse = [503]  # which is why the service never answers that here
    assert code(wire, GOOD, one) == 0.0


def test_run_code_under_load(wire: Wire) -> None:
    """Forty programs at once on two places: all wait, none fails."""
    tests = {"inputs": [f"{n}\n" for n in range(40)], "outputs": ["ä" * n for n in range(40)]}
    assert code(wire, GOOD, tests) == 1.0
