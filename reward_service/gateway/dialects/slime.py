"""slime and miles: `--rm-type remote_rm --rm-url http://host/slime?data_source=…`.

Request `{"prompt": text or messages, "response": text, "label": any}`, one sample. Answer a number, or with
`?format=object` (and `--reward-key score`) `{"score": f, "valid": f, "correct": f}`.

Its client tries ten times over about two and a half minutes, whatever the status, and then the training dies: a
passing failure is waited out here first and then answered 503, so that it comes back; what can't ever be judged gets the
fallback. Facts: reference/trainers.md §2.2.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import BadRequest, Overloaded
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import (
    asked_by,
    json_object,
    number,
    patiently,
    reply,
    row_from,
)

CLIENT_SECONDS = 120.0
MARGIN = 10.0


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])

    @routes.post("/slime", summary="slime's remote reward model")
    async def slime(request: Request) -> Response:
        asked = asked_by(request, CLIENT_SECONDS - MARGIN)
        body = await json_object(gateway, request)
        if "response" not in body:
            raise BadRequest("the body has prompt, response and label")
        row = row_from(body.get("label"), body["response"], body.get("prompt"), asked)
        (scored,) = await patiently(gateway, [row], asked.seconds)
        outcome = scored.outcome
        if outcome.score is None and outcome.retryable:
            raise Overloaded(
                str(outcome.detail.get("message", outcome.reason)), problem="not-ready", retry_after=1.0
            )
        reward = number(gateway, scored, asked.fallback, "slime")
        if request.query_params.get("format") != "object":
            return reply(reward)
        return reply(
            {
                "score": reward,
                "valid": float(outcome.score is not None),
                "correct": float(bool(outcome.correct)),
                "reason": outcome.reason.value,
            }
        )

    return routes
