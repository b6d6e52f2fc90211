"""What the adapters share: the process's client, rows out of data-set columns, and completions as text.

What is decided here: when an adapter may raise. A mistake (a wrong URL, a key that is refused) ends the run at its first
call, where somebody is still looking. After a call that worked the same answer is a proxy's or a restart's doing, and
hours of training must not end of it: then the samples are unjudged, like in every other outage. And an adapter says in the
log why samples are unjudged, once a minute for each reason: a run whose rewards are all missing must not look like one that
learns nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reward_service.client.asynchronous import AsyncClient
from reward_service.client.protocol import ClientError, Reward, unscored
from reward_service.client.sync import Client
from reward_service.types import Reason

log = logging.getLogger(__name__)

DEFAULT_URL = "http://127.0.0.1:8080"
LOG_SECONDS = 60.0
GOLD_COLUMNS = ("ground_truth", "answer", "solution", "label", "target")
"""Columns that hold the ground truth, in the order in which they are looked for."""


def service_url() -> str:
    """Where the service is."""
    return os.environ.get("REWARD_SERVICE_URL", DEFAULT_URL)


class _Conduct:
    """How an adapter's client takes errors: see the module's docstring."""

    def __init__(self) -> None:
        self.worked = False
        self._said: dict[str, float] = {}

    def refused(self, error: ClientError, count: int) -> list[Reward]:
        """No reward for any item, or the error itself if nothing ever worked."""
        if not self.worked:
            raise error
        return self.took([unscored(Reason.SERVICE_UNREACHABLE, str(error))] * count)

    def took(self, rewards: list[Reward]) -> list[Reward]:
        """The rewards as they are; the log has why some are missing."""
        missing = [reward for reward in rewards if not reward.valid]
        self.worked = self.worked or len(missing) < len(rewards)
        now = time.monotonic()
        for reason in {reward.reason for reward in missing}:
            if now - self._said.get(reason, -LOG_SECONDS) >= LOG_SECONDS:
                self._said[reason] = now
                of_it = [reward for reward in missing if reward.reason is reason]
                log.warning(
                    "%d of %d samples have no reward: %s (%s)",
                    len(of_it), len(rewards), reason.value, of_it[0].detail.get("message", ""),
                )  # fmt: skip
        return rewards


class SteadyClient(Client):
    """A client for the inside of a training loop."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._conduct = _Conduct()

    def score(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        deadline_seconds: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """As `Client.score`; ClientError only before the first call that worked."""
        try:
            found = super().score(items, deadline_seconds=deadline_seconds, progress=progress)
        except ClientError as error:
            return self._conduct.refused(error, len(items))
        return self._conduct.took(found)


class SteadyAsyncClient(AsyncClient):
    """The same for programs with an event loop."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._conduct = _Conduct()

    async def score(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        deadline_seconds: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """As `AsyncClient.score`; ClientError only before the first call that worked."""
        try:
            found = await super().score(items, deadline_seconds=deadline_seconds, progress=progress)
        except ClientError as error:
            return self._conduct.refused(error, len(items))
        return self._conduct.took(found)


_clients: dict[tuple[str, float], SteadyClient] = {}
_async_clients: dict[tuple[str, float], SteadyAsyncClient] = {}


def client(url: str | None = None, deadline_seconds: float = 120.0) -> SteadyClient:
    """This process's client for a URL."""
    name = (url or service_url(), deadline_seconds)
    if name not in _clients:
        key = os.environ.get("REWARD_SERVICE_API_KEY")
        _clients[name] = SteadyClient(name[0], api_key=key, deadline_seconds=deadline_seconds)
    return _clients[name]


def async_client(url: str | None = None, deadline_seconds: float = 120.0) -> SteadyAsyncClient:
    """This process's asynchronous client for a URL; it keeps connections per event loop."""
    name = (url or service_url(), deadline_seconds)
    if name not in _async_clients:
        key = os.environ.get("REWARD_SERVICE_API_KEY")
        _async_clients[name] = SteadyAsyncClient(
            name[0], api_key=key, deadline_seconds=deadline_seconds, connections=64
        )
    return _async_clients[name]


def close() -> None:
    """Close this process's connections; the next call opens new ones."""
    for kept in _clients.values():
        kept.close()
    _clients.clear()
    _async_clients.clear()


def item(
    data_source: Any, response: Any, ground_truth: Any, extra_info: Any = None, prompt: Any = None
) -> dict[str, Any]:
    """One item for the service. None and missing fields stay out."""
    row = {
        "data_source": None if data_source is None else str(data_source),
        "response": completion_text(response),
        "ground_truth": ground_truth,
        "extra_info": dict(extra_info) if isinstance(extra_info, Mapping) else None,
        "prompt": prompt,
    }
    return {name: value for name, value in row.items() if value is not None or name == "response"}


def items_from_columns(
    completions: Sequence[Any],
    columns: Mapping[str, Any],
    prompts: Sequence[Any] | None,
    data_source: str | None,
) -> list[dict[str, Any]]:
    """One item per completion from a trainer's columns (lists of the same length). ValueError without a ground truth."""
    count = len(completions)
    golds = next((columns[name] for name in GOLD_COLUMNS if is_column(columns.get(name), count)), None)
    models = columns.get("reward_model")
    if golds is None and is_column(models, count):
        golds = [model.get("ground_truth") if isinstance(model, Mapping) else None for model in models or ()]
    if golds is None:
        raise ValueError(
            f"the data set needs a column with the ground truth: one of {', '.join(GOLD_COLUMNS)}, reward_model"
        )
    sources = columns.get("data_source")
    extras = columns.get("extra_info")
    return [
        item(
            sources[place] if is_column(sources, count) and sources is not None else data_source,
            completion,
            golds[place],
            extras[place] if is_column(extras, count) and extras is not None else None,
            prompts[place] if prompts is not None else None,
        )
        for place, completion in enumerate(completions)
    ]


def is_column(value: Any, count: int) -> bool:
    """Is the value a column with an entry for every completion?"""
    return (
        value is not None
        and not isinstance(value, str | Mapping)
        and hasattr(value, "__len__")
        and len(value) == count
    )


def completion_text(completion: Any) -> str:
    """A completion as text: a string, chat messages (the last assistant's), or content parts."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return completion_text(completion.get("content", completion.get("text", "")))
    if isinstance(completion, Sequence):
        said = [part for part in completion if _role(part) == "assistant"]
        return completion_text(said[-1]) if said else "".join(completion_text(part) for part in completion)
    content = getattr(completion, "content", None)
    return (
        completion_text(content) if content is not None else ("" if completion is None else str(completion))
    )


def _role(message: Any) -> Any:
    """The role of a message: of an object as JSON has it, or of a library's own class."""
    return message.get("role") if isinstance(message, Mapping) else getattr(message, "role", None)


def numbers(reward: Reward, fallback: float) -> dict[str, float]:
    """A reward as the same numeric keys always: trainers that aggregate by the first sample's keys need that."""
    return {
        "score": fallback if reward.score is None else reward.score,
        "valid": float(reward.valid),
        "correct": float(bool(reward.correct)),
        "flagged": float(bool(reward.flags)),
    }
