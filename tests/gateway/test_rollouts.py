"""The simulated step of tests/load: what its rollouts must get is what the service gives them."""

from __future__ import annotations

from collections import Counter

from reward_service.client import Client
from reward_service.load.rollouts import KINDS, rollouts


def test_the_mix_is_guru_s() -> None:
    assert abs(sum(weight for _, weight, _ in KINDS) - 1.0) < 1e-9
    step = list(rollouts())
    assert len(step) == 8_192
    counts = Counter(rollout.domain for rollout in step)
    assert 0.53 < counts["math"] / len(step) < 0.65
    assert 0.14 < counts["code"] / len(step) < 0.26
    assert set(counts) == {"math", "code", "logic", "table", "science", "simulation"}
    # No cache helps: no response is written twice.
    assert len({rollout.item["response"] for rollout in step}) == len(step)
    assert step[:40] == list(rollouts(prompts=512))[:40]


def test_each_rollout_gets_what_it_must(url: str) -> None:
    step = [rollout for rollout in rollouts(seed=5, prompts=160, samples=3) if rollout.domain != "code"]
    assert {maker.__name__ for domain, _, maker in KINDS if domain != "code"} == {one.kind for one in step}
    with Client(url) as client:
        found = client.score([rollout.item for rollout in step])
    wrong = [
        (rollout.kind, reward.reason, rollout.item["response"][-80:])
        for rollout, reward in zip(step, found, strict=True)
        if reward.score is None or rollout.reward not in (None, reward.score)
    ]
    assert wrong == []
    assert {rollout.reward for rollout in step} >= {0.0, 1.0}
