"""torchforge and rllm: plain functions.

torchforge calls `(prompt, response, target) -> float` synchronously inside an actor: `reward`. The target is a row as JSON text
(`{"data_source": …, "ground_truth": …}`) or a bare ground truth of `REWARD_SERVICE_DATA_SOURCE`. It averages whatever it gets, so an
unjudged sample is `REWARD_SERVICE_FALLBACK` (0). rllm's `(task_info, action) -> RewardOutput`: `rllm_reward` answers an object with `reward`,
`is_correct` and `metadata`. Facts: reference/trainers.md §1, §2.9.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reward_service.client.trainers.common import GOLD_COLUMNS, client, item, numbers
from reward_service.client.trainers.openrlhf import row_of

SECONDS = 60.0


def reward(prompt: Any, response: str, target: Any) -> float:
    """The sample's score."""
    row = row_of(response, "", target)
    if prompt is not None:
        row["prompt"] = prompt
    fallback = float(os.environ.get("REWARD_SERVICE_FALLBACK", "0"))
    return numbers(client(None, SECONDS).score_one(row), fallback)["score"]


@dataclass
class RewardOutput:
    """rllm's, field by field."""

    reward: float
    is_correct: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def rllm_reward(task_info: Mapping[str, Any], action: Any) -> RewardOutput:
    """The action's reward; `metadata["valid"]` is 0.0 if it could not be judged."""
    gold = next((task_info[name] for name in GOLD_COLUMNS if task_info.get(name) is not None), None)
    row = item(
        task_info.get("data_source"), action, gold, task_info.get("extra_info"), task_info.get("question")
    )
    found = client(None, SECONDS).score_one(row)
    fallback = float(os.environ.get("REWARD_SERVICE_FALLBACK", "0"))
    values = numbers(found, fallback)
    return RewardOutput(values["score"], found.correct, {**values, "reason": found.reason.value})
