"""What the adapters share: the process's client, rows out of data-set columns, and completions as text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.client.asynchronous import AsyncClient
from reward_service.client.protocol import Reward
from reward_service.client.sync import Client

DEFAULT_URL = "http://127.0.0.1:8080"
GOLD_COLUMNS = ("ground_truth", "answer", "solution", "label", "target")
"""Columns that hold the ground truth, in the order in which they are looked for."""


def service_url() -> str:
    """Where the service is."""
    return os.environ.get("REWARD_SERVICE_URL", DEFAULT_URL)


_clients: dict[tuple[str, float], Client] = {}
_async_clients: dict[tuple[str, float], AsyncClient] = {}


def client(url: str | None = None, deadline_seconds: float = 120.0) -> Client:
    """This process's client for a URL."""
    name = (url or service_url(), deadline_seconds)
    if name not in _clients:
        key = os.environ.get("REWARD_SERVICE_API_KEY")
        _clients[name] = Client(name[0], api_key=key, deadline_seconds=deadline_seconds)
    return _clients[name]


def async_client(url: str | None = None, deadline_seconds: float = 120.0) -> AsyncClient:
    """This process's asynchronous client for a URL; it keeps connections per event loop."""
    name = (url or service_url(), deadline_seconds)
    if name not in _async_clients:
        key = os.environ.get("REWARD_SERVICE_API_KEY")
        _async_clients[name] = AsyncClient(
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
        said = [part for part in completion if isinstance(part, Mapping) and part.get("role") == "assistant"]
        return completion_text(said[-1]) if said else "".join(completion_text(part) for part in completion)
    content = getattr(completion, "content", None)
    return (
        completion_text(content) if content is not None else ("" if completion is None else str(completion))
    )


def numbers(reward: Reward, fallback: float) -> dict[str, float]:
    """A reward as the same numeric keys always: trainers that aggregate by the first sample's keys need that."""
    return {
        "score": fallback if reward.score is None else reward.score,
        "valid": float(reward.valid),
        "correct": float(bool(reward.correct)),
        "flagged": float(bool(reward.flags)),
    }
