"""OpenRLHF's Python-file form: `--reward.remote_url /path/to/reward_service/client/trainers/openrlhf.py`.

`reward_func(queries, prompts, labels)`: labels are rows (an object or its JSON text with `data_source` and `ground_truth`) or bare
ground truths of `REWARD_SERVICE_DATA_SOURCE`. The usual way is the URL form (`http://host/openrlhf`), which needs no file. Always
floats, always the same keys: anything else ends the training. Facts: reference/trainers.md §2.1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.client.trainers.common import client, item, numbers

SECONDS = 170.0


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
    """Rewards, scores in [0, 1], and numbers for the log, as lists of floats."""
    fallback = float(os.environ.get("REWARD_SERVICE_FALLBACK", "0"))
    rows = [row_of(*row) for row in zip(queries, prompts, labels, strict=True)]
    found = [numbers(reward, fallback) for reward in client(None, SECONDS).score(rows)]
    rewards = [one["score"] for one in found]
    return {
        "rewards": rewards,
        "scores": [min(1.0, max(0.0, reward)) for reward in rewards],
        "extra_logs": {name: [one[name] for one in found] for name in ("valid", "correct", "flagged")},
    }


OVERLAP = 48
BOS = 64


def response_of(query: str, prompt: str) -> str:
    """What follows the prompt, which may have a BOS token in front or be cut off on the left; else the whole query."""
    if not prompt:
        return query
    tail = prompt[-OVERLAP:]
    at = query.rfind(tail, 0, len(prompt) + BOS)
    return query[at + len(tail) :] if at >= 0 else query


def row_of(query: str, prompt: str, label: Any, data_source: str | None = None) -> dict[str, Any]:
    """An item from a transcript and a label: a row, its JSON text, or a bare ground truth of `data_source`."""
    response = response_of(query, prompt)
    source = data_source or os.environ.get("REWARD_SERVICE_DATA_SOURCE")
    row = label
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            row = json.loads(label)
        except (ValueError, RecursionError):
            pass
    if isinstance(row, Mapping):
        model = row.get("reward_model")
        gold = row.get("ground_truth", model.get("ground_truth") if isinstance(model, Mapping) else None)
        if gold is not None:
            return item(row.get("data_source", source), response, gold, row.get("extra_info"), prompt or None)
    return item(source, response, label, None, prompt or None)
