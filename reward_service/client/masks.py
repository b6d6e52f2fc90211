"""What to do with rewards when some could not be computed: mask them, and leave them out of every statistic.

A 0 in place of a missing reward teaches the policy something that nobody measured; a group mean that contains it
shifts every advantage of the group.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from reward_service.client.protocol import Reward


class Group(NamedTuple):
    """Statistics of one group over its valid samples. mean, std (population): NaN without any; constant: no signal."""

    valid: int
    mean: float
    std: float

    @property
    def constant(self) -> bool:
        """Do all valid samples have the same score (no advantage to learn from)?"""
        return not self.std > 0.0


def scores(rewards: Sequence[Reward], missing: float = math.nan) -> list[float]:
    """The scores as floats, `missing` where there is none."""
    return [missing if reward.score is None else reward.score for reward in rewards]


def valid_mask(rewards: Sequence[Reward]) -> list[bool]:
    """True where the response was judged."""
    return [reward.score is not None for reward in rewards]


def group_statistics(rewards: Sequence[Reward], groups: Sequence[Hashable]) -> dict[Hashable, Group]:
    """Statistics per group (samples of one prompt) over the valid samples only. ValueError if lengths differ."""
    members: dict[Hashable, list[float]] = {}
    for reward, group in zip(rewards, groups, strict=True):
        kept = members.setdefault(group, [])
        if reward.score is not None:
            kept.append(reward.score)
    found: dict[Hashable, Group] = {}
    for group, values in members.items():
        if not values:
            found[group] = Group(0, math.nan, math.nan)
            continue
        mean = math.fsum(values) / len(values)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        found[group] = Group(len(values), mean, std)
    return found


def advantages(
    rewards: Sequence[Reward], groups: Sequence[Hashable], *, epsilon: float = 1e-6
) -> list[float]:
    """GRPO advantages `(score - mean) / (std + epsilon)` within groups; 0 (no gradient) for what was not judged."""
    statistics = group_statistics(rewards, groups)
    return [
        0.0
        if reward.score is None or statistics[group].constant
        else (reward.score - statistics[group].mean) / (statistics[group].std + epsilon)
        for reward, group in zip(rewards, groups, strict=True)
    ]
