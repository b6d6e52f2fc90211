"""ROLL's RemoteRewardSystemWorker: submit, then poll.

`submit_url: http://host/roll/submit?data_source=…`, `get_result_url: http://host/roll/result`. Submit takes `{prompt,
response, reward_info, reward_manager, timeout, …}` and answers `{"errcode": 0, "reward_request_id": id}`; the result is
asked for with a GET that has a JSON body, every two seconds: `errcode` 1 while it runs, then 0 with `reward_score`
and `dimention_reward_score` (an object of objects: null would crash the client). The first poll waits for the result, which
saves the two seconds. What could not be judged answers `errcode` 2, after which the client submits again, five times
in all. Facts: reference/trainers.md §2.7.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.scorer import Scored
from reward_service.errors import Overloaded
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import (
    Asked,
    as_row,
    asked_by,
    json_object,
    number,
    reply,
    row_from,
    uncharged,
)

CLIENT_SECONDS = 305.0
MARGIN = 10.0
POLL_SECONDS = 8.0
KEPT_SECONDS = 900.0
MAX_KEPT = 65_536


class Pending(NamedTuple):
    """A submitted sample: when, for whom it is judged, and the running judgement."""

    started: float
    asked: Asked
    task: asyncio.Task[list[Scored]]


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes."""
    routes = APIRouter(tags=["dialects"])
    pending: OrderedDict[str, Pending] = OrderedDict()

    @routes.post("/roll/submit", summary="ROLL: submit a sample")
    async def submit(request: Request) -> Response:
        asked = asked_by(request, CLIENT_SECONDS - MARGIN)
        body = await json_object(gateway, request)
        forget(pending)
        if len(pending) >= MAX_KEPT:
            raise Overloaded("too many samples are waiting to be fetched", retry_after=5.0)
        row = row_from(label_of(body), body.get("response"), body.get("prompt"), asked)
        seconds = asked.seconds
        limit = body.get("timeout")
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0:
            seconds = min(seconds, float(limit))
        await gateway.access.charge(1)
        task = asyncio.create_task(uncharged(gateway, [row], seconds))
        identity = secrets.token_hex(16)
        pending[identity] = Pending(time.time(), asked, task)
        return reply({"errcode": 0, "message": "ok", "reward_request_id": identity})

    @routes.get("/roll/result", summary="ROLL: fetch a result (the body of the GET names it)")
    async def fetch(request: Request) -> Response:
        body = await json_object(gateway, request)
        identity = str(body.get("reward_request_id"))
        found = pending.get(identity)
        if found is None:
            return reply({"errcode": 2, "message": "no such request: submit it again"})
        await asyncio.wait([found.task], timeout=POLL_SECONDS)
        if not found.task.done():
            return reply({"errcode": 1, "message": "running"})
        pending.pop(identity, None)
        (scored,) = found.task.result()
        outcome = scored.outcome
        if outcome.score is None and outcome.retryable:
            return reply({"errcode": 2, "message": f"not judged: {outcome.reason}"})
        reward = number(gateway, scored, found.asked.fallback, "roll")
        return reply(
            {
                "errcode": 0,
                "message": "ok",
                "reward_score": reward,
                "dimention_reward_score": {
                    "reward_service": {"score": reward, "valid": float(outcome.score is not None)}
                },
                "reason": outcome.reason.value,
                "start_time": found.started,
                "end_time": time.time(),
            }
        )

    return routes


def label_of(body: dict[str, Any]) -> Any:
    """The label: a row in `reward_info` or in `reward_manager`'s plugin list, or the ground truth there."""
    info = body.get("reward_info")
    manager = body.get("reward_manager")
    if isinstance(manager, list) and len(manager) == 1:
        manager = manager[0]
    if as_row(info) is not None and isinstance(info, dict):
        if isinstance(manager, dict) and "data_source" not in info:
            return {**manager, **info}
        if isinstance(manager, str) and "data_source" not in info:
            return {**info, "data_source": manager}
        return info
    return {"data_source": manager, "ground_truth": info} if isinstance(manager, str) else info


def forget(pending: OrderedDict[str, Pending]) -> None:
    """Drop what nobody fetched in time."""
    old = time.time() - KEPT_SECONDS
    while pending:
        identity, first = next(iter(pending.items()))
        if first.started > old:
            return
        first.task.cancel()
        del pending[identity]
