"""SkyRL: `skyrl_gym.envs.registration.register(id="reward_service", entry_point="reward_service.client.trainers.skyrl:environment")`.

A one-step environment in the text-environment form: `init(prompt)`, then `step(action)` judges the response. The row comes in `extras`
(`reward_spec.ground_truth`, or `ground_truth`, with `data_source` and `extra_info`). SkyRL has no mask: an unjudged sample gets
`fallback` and `metadata.valid` 0; an exception would fail the whole batch, so none is raised. `skyrl_gym.make` takes nothing but
children of its own class: `environment` makes one when it is called, so that importing this imports no trainer. Facts:
reference/trainers.md §2.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_service.client.trainers.common import client, item, numbers

SECONDS = 120.0


class RewardServiceEnv:
    """One question, one answer, one reward."""

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None, **_: Any) -> None:
        super().__init__()
        config: Mapping[str, Any] = env_config if isinstance(env_config, Mapping) else {}
        self._url = config.get("url")
        self._fallback = float(config.get("fallback", 0.0))
        self._extras: Mapping[str, Any] = extras or {}
        self._prompt: Any = None
        self.turns = 0

    def init(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
        """The prompt as it is."""
        self._prompt, self.turns = prompt, 0
        return prompt, {}

    def step(self, action: str) -> dict[str, Any]:
        """Judge the response; the episode is over."""
        self.turns += 1
        spec = self._extras.get("reward_spec") or self._extras.get("reward_model") or self._extras
        gold = spec.get("ground_truth") if isinstance(spec, Mapping) else spec
        row = item(
            self._extras.get("data_source"), action, gold, self._extras.get("extra_info"), self._prompt
        )
        found = client(self._url, SECONDS).score_one(row)
        values = numbers(found, self._fallback)
        return {
            "observations": [],
            "reward": values["score"],
            "done": True,
            "metadata": {**values, "reason": found.reason.value},
            "postprocessed_action": None,
        }

    def get_metrics(self) -> dict[str, Any]:
        """Turns taken."""
        return {"turns": self.turns}

    def close(self) -> None:
        """Nothing to close."""


def environment(env_config: Any = None, extras: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """What SkyRL's registry calls: a `RewardServiceEnv` that is a `BaseTextEnv` of skyrl_gym's too."""
    from skyrl_gym.envs.base_text_env import BaseTextEnv  # type: ignore[import-not-found]

    return type("RewardServiceTextEnv", (RewardServiceEnv, BaseTextEnv), {})(env_config, extras, **more)
