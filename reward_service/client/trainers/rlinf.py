"""RLinf: `register_reward("reward_service", RewardServiceReward)`, then `reward.reward_type: reward_service`.

`get_reward(responses, references[, prompts])` once per batch; references are rows (an object or its JSON text with `data_source` and
`ground_truth`) or bare ground truths of `data_source` in the configuration. RLinf has no mask: an unjudged sample gets `fallback` (0.0),
and `valid` of the last call tells which. Facts: reference/trainers.md §2.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.client.trainers.common import client, numbers
from reward_service.client.trainers.openrlhf import row_of

SECONDS = 600.0


class RewardServiceReward:
    """Judges a batch in few requests."""

    def __init__(self, config: Any = None) -> None:
        known: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
        self._url = known.get("url")
        self._source = known.get("data_source")
        self._fallback = float(known.get("fallback", 0.0))
        self.valid: list[bool] = []

    def get_reward(
        self, responses: Sequence[str], references: Sequence[Any], prompts: Sequence[Any] | None = None
    ) -> list[float]:
        """Rewards in the order of the responses. ValueError if the lists differ in length."""
        rows = [
            row_of(response, "", reference, self._source)
            for response, reference in zip(responses, references, strict=True)
        ]
        if prompts is not None:
            rows = [{**row, "prompt": prompt} for row, prompt in zip(rows, prompts, strict=True)]
        found = client(self._url, SECONDS).score(rows)
        self.valid = [reward.valid for reward in found]
        return [numbers(reward, self._fallback)["score"] for reward in found]
