"""OpenRLHF: `--reward.remote_url http://host/openrlhf?data_source=…` (`--remote_rm_url` up to 0.9.0).

Request `{"query": [text], "prompts": [text], "labels": [any]}`, a sample or a whole batch; `query` is prompt and
response with the chat template's tokens. Answer `{"rewards": [f], "scores": [f], "extra_logs": {"valid": [f], …}}`:
floats everywhere, the same keys always, also for empty lists (0.9.1 to 0.11.0 send empty shards).

Its client gives up after five tries in five seconds and the training dies, and it has no way to say "not judged":
so every item gets a number, after trying for most of its 180 seconds. Facts: reference/trainers.md §2.1.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import BadRequest
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import (
    asked_by,
    json_object,
    number,
    patiently,
    reply,
    response_in,
    row_from,
)

CLIENT_SECONDS = 180.0
MARGIN = 10.0


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])

    @routes.post("/openrlhf", summary="OpenRLHF's remote reward")
    async def openrlhf(request: Request) -> Response:
        asked = asked_by(request, CLIENT_SECONDS - MARGIN)
        body = await json_object(gateway, request)
        queries = as_list(body.get("query"))
        prompts = as_list(body.get("prompts")) or [None] * len(queries)
        labels = as_list(body.get("labels")) or [None] * len(queries)
        if not len(queries) == len(prompts) == len(labels):
            raise BadRequest("query, prompts and labels have the same length")
        rows = [
            row_from(label, response_in(str(query), prompt), prompt, asked)
            for query, prompt, label in zip(queries, prompts, labels, strict=True)
        ]
        scored = await patiently(gateway, rows, asked.seconds)
        rewards = [number(gateway, one, asked.fallback, "openrlhf") for one in scored]
        return reply(
            {
                "rewards": rewards,
                "scores": [min(1.0, max(0.0, reward)) for reward in rewards],
                "extra_logs": {
                    "valid": [float(one.outcome.score is not None) for one in scored],
                    "correct": [float(bool(one.outcome.correct)) for one in scored],
                    "flagged": [float(bool(one.outcome.flags)) for one in scored],
                },
            }
        )

    return routes


def as_list(value: Any) -> list[Any]:
    """A list as it is; nothing as no entries; anything else as one entry."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
