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


def row_of(query: str, prompt: str, label: Any) -> dict[str, Any]:
    """An item from a transcript and a label."""
    response = query[len(prompt) :] if prompt and query.startswith(prompt) else query
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = json.loads(label)
        except ValueError:
            pass
    if isinstance(label, Mapping) and "ground_truth" in label:
        source = label.get("data_source", os.environ.get("REWARD_SERVICE_DATA_SOURCE"))
        return item(source, response, label["ground_truth"], label.get("extra_info"), prompt)
    return item(os.environ.get("REWARD_SERVICE_DATA_SOURCE"), response, label, None, prompt)
