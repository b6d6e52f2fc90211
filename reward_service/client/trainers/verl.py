"""verl: `reward.custom_reward_function.path=pkg://reward_service.client.trainers.verl`.

Names: `compute_score` (asynchronous, a sample per call: the reward loop, managers naive, dapo, limited), `compute_score_sync`
(the `remote` manager), `compute_score_batch` (legacy manager `batch`), `compute_score_float` (legacy `prime`, which takes
dicts for 0). The manager aggregates by the keys of sample 0 and dies of an exception or a None: so the keys are constant, numeric,
and an unjudged sample has `valid` 0 and `fallback` as its score. Facts: reference/trainers.md §2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward_service.client.trainers.common import async_client, client, item, numbers

SECONDS = 280.0
"""Below the 300 s after which verl's rate-limited manager gives up."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    *,
    url: str | None = None,
    fallback: float = 0.0,
    deadline_seconds: float = SECONDS,
    **_: Any,
) -> dict[str, float]:
    """One sample's score, and `valid`, `correct`, `flagged` as numbers."""
    row = item(data_source, solution_str, ground_truth, extra_info)
    return numbers(await async_client(url, deadline_seconds).score_one(row), fallback)


def compute_score_sync(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    *,
    url: str | None = None,
    fallback: float = 0.0,
    deadline_seconds: float = SECONDS,
    **_: Any,
) -> dict[str, float]:
    """The same for managers that call from threads or processes."""
    row = item(data_source, solution_str, ground_truth, extra_info)
    return numbers(client(url, deadline_seconds).score_one(row), fallback)


def compute_score_float(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **more: Any
) -> float:
    """Only the number."""
    return compute_score_sync(data_source, solution_str, ground_truth, extra_info, **more)["score"]


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Any] | None = None,
    *,
    url: str | None = None,
    fallback: float = 0.0,
    deadline_seconds: float = SECONDS,
    **_: Any,
) -> list[dict[str, float]]:
    """A whole batch in few requests, in its order."""
    extras = extra_infos if extra_infos is not None else [None] * len(data_sources)
    rows = [item(*row) for row in zip(data_sources, solution_strs, ground_truths, extras, strict=True)]
    return [numbers(reward, fallback) for reward in client(url, deadline_seconds).score(rows)]
