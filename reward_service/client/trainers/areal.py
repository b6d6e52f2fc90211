"""AReaL: `RLVRWorkflow(reward_fn="reward_service.client.trainers.areal.reward_fn", …)`.

Called as `reward_fn(prompt, completions, prompt_ids, completion_ids, **row)` in a process pool with a limit of 15 s and three more
attempts, after which AReaL takes 0; any other exception rejects the rollout. So the deadline is 12 s, and a sample that could not be judged
raises `Unjudged` (which can be pickled): the rollout is rejected instead of trained on. Facts: reference/trainers.md §2.6.
"""

from __future__ import annotations

from typing import Any

from reward_service.client.trainers.common import GOLD_COLUMNS, client, item

SECONDS = 12.0


class Unjudged(RuntimeError):
    """The sample could not be judged; the message is the reason."""


def reward_fn(
    prompt: Any, completions: Any, prompt_ids: Any = None, completion_ids: Any = None, **row: Any
) -> float:
    """The sample's score. Unjudged if there is none."""
    gold = next((row[name] for name in GOLD_COLUMNS if row.get(name) is not None), None)
    found = client(None, SECONDS).score_one(
        item(row.get("data_source"), completions, gold, row.get("extra_info"), prompt)
    )
    if found.score is None:
        raise Unjudged(found.reason.value)
    return found.score
