"""ms-swift's own plug-in loading and reward computation."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import pytest
import torch
from swift.rewards import orms
from swift.rl_core.data import GRPOSample
from swift.rl_core.grpo_algorithm import compute_rewards_per_func

from reward_service.client.trainers import ms_swift
from tests.trainers.conftest import Service, Wire
from tests.trainers.rows import CASES, MANY, Case, rewards


def compute(cases: list[Case], names: list[str]) -> Any:
    """Rewards as the trainer computes them, one column for each function."""
    spec = importlib.util.spec_from_file_location("plugin", ms_swift.__file__)  # as --external_plugins does
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    functions = [orms[name](args=None) for name in names]
    samples = [
        GRPOSample(
            messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": case.response}],
            extra={"data_source": case.data_source, "solution": case.ground_truth},
        )
        for case in cases
    ]
    return compute_rewards_per_func(samples, functions, None, torch.device("cpu"))


def test_rewards(wire: Wire) -> None:
    both = ["reward_service", "reward_service_async"]
    for cases in (CASES, MANY):
        table = compute(cases, both)
        for column in table.T.tolist():
            # A missing reward is NaN here, which swift leaves out.
            assert [None if value != value else value for value in column] == [one.reward for one in cases]


def test_refused_slow_and_restarted(service: Service, wire: Wire) -> None:
    wire.refuse, wire.delay = [503, 429], 0.2
    names = ["reward_service_async"]
    assert compute(MANY[:8], names)[:, 0].tolist() == rewards(MANY[:8], 0.0)
    service.stop()
    began = time.monotonic()
    service.start()
    assert compute(MANY[:8], names)[:, 0].tolist() == rewards(MANY[:8], 0.0)
    assert time.monotonic() - began < 90


def test_names_are_registered() -> None:
    ms_swift.register()
    assert orms["reward_service"] is ms_swift.RewardServiceORM
    with pytest.raises(KeyError):
        orms["reward_servise"]
