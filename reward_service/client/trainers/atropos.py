"""Atropos: score a group inside an environment's `score` method.

    from reward_service.client.trainers.atropos import score_group
    rewards = await score_group(self.config.data_source, item["answer"], [text for text, _ in rollouts])
    if rewards is None: return None        # Atropos drops the group

Atropos has no mask for one sample of a group, but drops a group for which `score` returns None: so does this when any of its
samples could not be judged. Facts: reference/trainers.md §1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward_service.client.trainers.common import async_client, item

SECONDS = 120.0


async def score_group(
    data_source: str,
    ground_truth: Any,
    responses: Sequence[Any],
    extra_info: Any = None,
    *,
    url: str | None = None,
) -> list[float] | None:
    """The scores of one group in their order, or None if one could not be judged."""
    rows = [item(data_source, response, ground_truth, extra_info) for response in responses]
    scores = [reward.score for reward in await async_client(url, SECONDS).score(rows)]
    return (
        None if any(score is None for score in scores) else [score for score in scores if score is not None]
    )
