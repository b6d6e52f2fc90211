"""EasyR1: `worker.reward.reward_function=/path/to/reward_service/client/trainers/easyr1.py:compute_score`.

One call per batch with `{"response", "response_length", "ground_truth"}` for each sample, and nothing else of the row: so
`ground_truth` is a row as JSON text (`{"data_source": …, "ground_truth": …}`), or bare with `data_source` in `reward_function_kwargs`. The answer has
`overall` and the same numeric keys for every sample. Facts: reference/trainers.md §2.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.client.trainers.common import client, item, numbers

SECONDS = 600.0
REWARD_NAME = "reward_service"
REWARD_TYPE = "batch"


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]],
    *,
    data_source: str | None = None,
    url: str | None = None,
    fallback: float = 0.0,
    **_: Any,
) -> list[dict[str, float]]:
    """`overall`, `valid`, `accuracy` and `flagged` for each sample, in their order."""
    rows = [_row(one["response"], one["ground_truth"], data_source) for one in reward_inputs]
    found = [numbers(reward, fallback) for reward in client(url, SECONDS).score(rows)]
    return [
        {
            "overall": one["score"],
            "accuracy": one["correct"],
            "valid": one["valid"],
            "flagged": one["flagged"],
        }
        for one in found
    ]


def _row(response: str, gold: Any, data_source: str | None) -> dict[str, Any]:
    if isinstance(gold, str) and gold.lstrip().startswith("{"):
        try:
            row = json.loads(gold)
        except ValueError:
            row = None
        if isinstance(row, dict) and "ground_truth" in row:
            return item(
                row.get("data_source", data_source), response, row["ground_truth"], row.get("extra_info")
            )
    return item(data_source, response, gold)
