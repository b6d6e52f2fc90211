"""OpenEnv: a rubric for the inside of an environment server.

    rubric = ServiceRubric("math__dapo")
    reward = await rubric.forward(action, observation)

OpenEnv's `Rubric.forward(action, observation)` may be a coroutine. The ground truth is the observation's `ground_truth` (or its
`metadata["ground_truth"]`), the response the action's `message`, `text`, `content` or `answer`, or the action itself if it is a text. What
could not be judged is None, since a missing reward is no 0.0 there. Facts: reference/trainers.md §1, §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_service.client.trainers.common import async_client, item

SECONDS = 120.0
TEXTS = ("message", "text", "content", "answer", "response")


class ServiceRubric:
    """Judges an action against the ground truth that its observation carries."""

    def __init__(self, data_source: str | None = None, url: str | None = None) -> None:
        self._source = data_source
        self._url = url

    async def forward(self, action: Any, observation: Any) -> float | None:
        """The score, or None if it could not be judged."""
        response = action if isinstance(action, str) else _first(action, TEXTS)
        fields = _first(observation, ("metadata",))
        known: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
        gold = _first(observation, ("ground_truth",))
        source = _first(observation, ("data_source",)) or known.get("data_source") or self._source
        row = item(
            source, response, known.get("ground_truth") if gold is None else gold, known.get("extra_info")
        )
        return (await async_client(self._url, SECONDS).score_one(row)).score


def _first(value: Any, names: tuple[str, ...]) -> Any:
    """The first of these entries or attributes that there is."""
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None
