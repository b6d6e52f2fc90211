"""verifiers 0.1 rubrics and prime-rl: `vf.Rubric(funcs=[reward])`.

`answer` is the ground truth, `info` holds `data_source` and `extra_info`; with `answers` and `completions` verifiers treats a function as
one of the whole group. verifiers turns every exception into 0.0: so none is raised, and an unjudged sample gets `fallback` and is counted
by the second function, `valid`, which belongs into the rubric with weight 0. With verifiers v1 use its NeMoGym task set with
`resources_url`, where an unjudged sample is dropped. Facts: reference/trainers.md §2.8, §2.9.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.client.protocol import Reward
from reward_service.client.trainers.common import async_client, item

SECONDS = 120.0


async def reward(
    completion: Any, answer: Any, prompt: Any = None, info: Any = None, state: Any = None, **_: Any
) -> float:
    """The sample's score; `REWARD_SERVICE_FALLBACK` (0) if it could not be judged."""
    found = await _judged(completion, answer, prompt, info, state)
    return float(os.environ.get("REWARD_SERVICE_FALLBACK", "0")) if found.score is None else found.score


async def valid(
    completion: Any, answer: Any, prompt: Any = None, info: Any = None, state: Any = None, **_: Any
) -> float:
    """1.0 if the sample was judged: a metric (weight 0) beside `reward`."""
    return float((await _judged(completion, answer, prompt, info, state)).valid)


async def group_reward(
    completions: Sequence[Any],
    answers: Sequence[Any],
    prompts: Sequence[Any] | None = None,
    infos: Sequence[Any] | None = None,
    **_: Any,
) -> list[float]:
    """The scores of a whole group in one request."""
    rows = [
        _row(completion, answers[place], prompts[place] if prompts else None, infos[place] if infos else None)
        for place, completion in enumerate(completions)
    ]
    fallback = float(os.environ.get("REWARD_SERVICE_FALLBACK", "0"))
    return [
        fallback if one.score is None else one.score for one in await async_client(None, SECONDS).score(rows)
    ]


async def _judged(completion: Any, answer: Any, prompt: Any, info: Any, state: Any) -> Reward:
    """One request per sample, also when several functions of the rubric ask for it."""
    kept = state.get("reward_service") if isinstance(state, dict) else None
    if isinstance(kept, Reward):
        return kept
    found = await async_client(None, SECONDS).score_one(_row(completion, answer, prompt, info))
    if isinstance(state, dict):
        state["reward_service"] = found
    return found


def _row(completion: Any, answer: Any, prompt: Any, info: Any) -> dict[str, Any]:
    fields: Mapping[str, Any] = info if isinstance(info, Mapping) else {}
    source = fields.get("data_source", os.environ.get("REWARD_SERVICE_DATA_SOURCE"))
    return item(source, completion, fields.get("ground_truth", answer), fields.get("extra_info"), prompt)
