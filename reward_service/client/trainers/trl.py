"""TRL's GRPOTrainer and RLOOTrainer: `reward_funcs=[reward]`; the same functions for axolotl and unsloth.

The data set needs a column with the ground truth (`ground_truth`, `answer`, `solution`, …) and one with `data_source`, or
`REWARD_SERVICE_DATA_SOURCE` for all rows. A sample that could not be judged is None, which TRL masks. Plain functions with
names, because older versions know callable objects neither as coroutines nor by name. Facts: reference/trainers.md §2.4.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from reward_service.client.protocol import Reward
from reward_service.client.trainers.common import async_client, client, items_from_columns

SECONDS = 600.0


def reward(
    prompts: Sequence[Any] | None = None, completions: Sequence[Any] = (), **columns: Any
) -> list[float | None]:
    """A score or None for each completion, in their order."""
    rows = _rows(prompts, completions, columns)
    return _scores(client(None, SECONDS).score(rows), columns.get("log_metric"))


async def reward_async(
    prompts: Sequence[Any] | None = None, completions: Sequence[Any] = (), **columns: Any
) -> list[float | None]:
    """The same as a coroutine: several such functions are awaited at once."""
    rows = _rows(prompts, completions, columns)
    return _scores(await async_client(None, SECONDS).score(rows), columns.get("log_metric"))


def _rows(
    prompts: Sequence[Any] | None, completions: Sequence[Any], columns: dict[str, Any]
) -> list[dict[str, Any]]:
    return items_from_columns(completions, columns, prompts, os.environ.get("REWARD_SERVICE_DATA_SOURCE"))


def _scores(
    rewards: Sequence[Reward], log_metric: Callable[[str, float], object] | None
) -> list[float | None]:
    if log_metric is not None and rewards:
        log_metric("reward_service/unjudged", sum(not one.valid for one in rewards) / len(rewards))
        log_metric("reward_service/flagged", sum(bool(one.flags) for one in rewards) / len(rewards))
    return [one.score for one in rewards]
