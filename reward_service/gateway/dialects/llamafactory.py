"""LLaMA-Factory's PPO: `reward_model_type: api`, `reward_model: http://host/llamafactory?data_source=…`.

Request `{"model": "model", "messages": [whole transcript, …]}`; answer `{"scores": [f]}`. No labels travel, so it
serves handlers that need none, or `?ground_truth=` for a run with one target. Its client looks at no status and has no
timeout: an answer without `scores` ends the training. Facts: reference/trainers.md §2.9.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

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
from reward_service.gateway.dialects.openrlhf import as_list

SECONDS = 600.0


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])

    @routes.post("/llamafactory", summary="LLaMA-Factory's reward API")
    async def llamafactory(request: Request) -> Response:
        asked = asked_by(request, SECONDS)
        body = await json_object(gateway, request)
        gold = request.query_params.get("ground_truth")
        rows = [
            row_from(gold, response_in(str(text), None), None, asked)
            for text in as_list(body.get("messages"))
        ]
        scored = await patiently(gateway, rows, asked.seconds)
        return reply(
            {
                "scores": [number(gateway, one, asked.fallback, "llamafactory") for one in scored],
                "model": "reward-service",
            }
        )

    return routes
