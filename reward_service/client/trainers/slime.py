"""slime and miles as a Python function: `--custom-rm-path reward_service.client.trainers.slime.reward`.

For what the URL form (`--rm-type remote_rm --rm-url http://host/slime`) can't carry: the sample's metadata, and rewards of a whole
group. slime calls it with one sample, with `--group-rm` with the list of a group's samples. The row comes from `sample.label` (a
row, its JSON text, or a bare ground truth) and `sample.metadata` (`data_source`, `extra_info`, `ground_truth`); without either
`REWARD_SERVICE_DATA_SOURCE` decides. A sample that could not be judged gets `REWARD_SERVICE_FALLBACK` (0.0), and is told
apart by `sample.metadata["reward_service_valid"]` 0.0: an exception would end the rollout. Facts: reference/trainers.md §2.2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from reward_service.client.trainers.common import async_client, item, numbers
from reward_service.client.trainers.openrlhf import row_of

SECONDS = 280.0


async def reward(args: Any, sample: Any, **_: Any) -> float | list[float]:
    """The sample's reward; the rewards of a list of samples, in its order, in one request."""
    many = isinstance(sample, Sequence)
    samples = list(sample) if many else [sample]
    fallback = float(os.environ.get("REWARD_SERVICE_FALLBACK", "0"))
    found = await async_client(None, SECONDS).score([_row(one) for one in samples])
    values = [numbers(one, fallback) for one in found]
    for one, value in zip(samples, values, strict=True):
        if isinstance(getattr(one, "metadata", None), MutableMapping):
            one.metadata["reward_service_valid"] = value["valid"]
    scores = [value["score"] for value in values]
    return scores if many else scores[0]


def _row(sample: Any) -> dict[str, Any]:
    metadata = getattr(sample, "metadata", None)
    known: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    prompt = getattr(sample, "prompt", None)
    if known.get("data_source") is None and known.get("ground_truth") is None:
        row = row_of(sample.response, "", sample.label)
        return row if prompt is None else {**row, "prompt": prompt}
    source = known.get("data_source", os.environ.get("REWARD_SERVICE_DATA_SOURCE"))
    gold = known["ground_truth"] if known.get("ground_truth") is not None else sample.label
    return item(source, sample.response, gold, known.get("extra_info"), prompt)
