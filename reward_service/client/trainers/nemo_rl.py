"""NeMo-RL without NeMo Gym: an environment actor around the service.

`step(message_log_batch, metadata)` as `nemo_rl.environments.interfaces.EnvironmentInterface` has it; wrap it with `ray.remote` where the
training starts it. metadata holds a row per sample (`data_source`, `ground_truth`, `extra_info`). With NeMo Gym use the service as
its resource server instead (docs/trainers/nemo-gym.md): there unjudged samples are masked. Here they get `fallback` and are in
`metadata[i]["valid"]`. Facts: reference/trainers.md §2.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reward_service.client.trainers.common import client, completion_text, item, numbers

SECONDS = 600.0


class EnvironmentReturn(NamedTuple):
    """NeMo-RL's, field by field; rewards are a torch tensor where torch is installed, else a list."""

    observations: list[dict[str, str]]
    metadata: list[dict[str, Any]]
    next_stop_strings: list[list[str] | None]
    rewards: Any
    terminateds: Any
    answers: list[str | None] | None


class RewardServiceEnvironment:
    """Judges the last message of every conversation in one request."""

    def __init__(self, cfg: Mapping[str, Any] | None = None) -> None:
        config = cfg or {}
        self._url = config.get("url")
        self._fallback = float(config.get("fallback", 0.0))
        self._seconds = float(config.get("deadline_seconds", SECONDS))

    def step(
        self, message_log_batch: Sequence[Any], metadata: Sequence[Mapping[str, Any]]
    ) -> EnvironmentReturn:
        """Rewards in the order of the conversations; every episode is over."""
        rows = [
            item(
                row.get("data_source"),
                completion_text(list(log)),
                row.get("ground_truth"),
                row.get("extra_info"),
            )
            for log, row in zip(message_log_batch, metadata, strict=True)
        ]
        found = client(self._url, self._seconds).score(rows)
        values = [numbers(reward, self._fallback) for reward in found]
        observations = [
            {"role": "environment", "content": f"Environment: {reward.reason.value}"} for reward in found
        ]
        return EnvironmentReturn(
            observations,
            [{**row, **value} for row, value in zip(metadata, values, strict=True)],
            [None] * len(rows),
            tensor([value["score"] for value in values]),
            tensor([True] * len(rows)),
            [reward.extracted for reward in found],
        )

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """The batch as it is, and no metrics beyond the trainer's own."""
        return batch, {}

    def shutdown(self) -> None:
        """Nothing to shut down."""


def tensor(values: list[Any]) -> Any:
    """A torch tensor, or the list where torch isn't installed."""
    try:
        import torch  # type: ignore[import-not-found]
    except ImportError:
        return values
    return torch.tensor(values)
