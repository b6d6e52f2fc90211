"""SkyRL-gym's own registry and environment protocol."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import skyrl_gym
from skyrl_gym.envs.registration import register, registry

from tests.trainers.conftest import Wire
from tests.trainers.rows import CASES, MANY, Case, rewards

if "reward_service" not in registry:
    register(id="reward_service", entry_point="reward_service.client.trainers.skyrl:environment")


def play(case: Case) -> dict[str, Any]:
    """One trajectory, as SkyRL's generator plays it."""
    extras = {
        "data_source": case.data_source,
        "reward_spec": {"method": "rule", "ground_truth": case.ground_truth},
    }
    env = skyrl_gym.make("reward_service", env_config={"fallback": -1.0}, extras=extras)
    prompt, _ = env.init([{"role": "user", "content": "q"}])
    assert prompt == [{"role": "user", "content": "q"}]
    step: dict[str, Any] = env.step(case.response)
    assert step["done"] is True
    assert env.get_metrics() == {"turns": 1}
    env.close()
    return step


def test_environment(wire: Wire) -> None:
    steps = [play(case) for case in CASES]
    assert [step["reward"] for step in steps] == rewards(CASES, -1.0)
    assert [step["metadata"]["valid"] for step in steps] == [float(one.reward is not None) for one in CASES]


def test_thirty_two_threads(wire: Wire) -> None:
    wire.refuse = [503] * 5
    with ThreadPoolExecutor(32) as threads:
        steps = list(threads.map(play, MANY))
    assert [step["reward"] for step in steps] == rewards(MANY, -1.0)
