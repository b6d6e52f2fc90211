"""`GET /v1/telemetry`: what this process scored in the last half hour (180 steps of a setting), for the dashboard and for whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from reward_service.gateway.core import JSON, Gateway
from reward_service.gateway.explain import listed
from reward_service.health.monitor import Monitor
from reward_service.health.series import STEPS
from reward_service.wire import encode

log = logging.getLogger(__name__)


@asynccontextmanager
async def ticking(monitor: Monitor) -> AsyncIterator[None]:
    """Sample the gauges once a step for as long as the block lasts."""

    async def tick() -> None:
        while True:
            try:
                monitor.tick()
            except Exception:
                log.exception("sampling the gauges failed")
            await asyncio.sleep(monitor.step_seconds - monitor.clock() % monitor.step_seconds + 0.01)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def add_routes(app: FastAPI, gateway: Gateway, problem_responses: dict[int | str, dict[str, Any]]) -> None:
    """`/v1/telemetry`."""
    longest = gateway.metrics.monitor.step_seconds * STEPS / 60

    @app.get(
        "/v1/telemetry",
        summary="Scores, failures and alerts of the last minutes, per run and data source",
        description=(
            "Columns over at most 180 steps (of ten seconds, unless a setting says otherwise), of what this process scored. `run` and `data_source` choose; a `run` that "
            "is there but empty means items without a run. Each field is explained in docs/telemetry.md."
        ),
        responses={422: problem_responses[422]},
        tags=["about"],
    )
    async def telemetry(
        minutes: Annotated[float, Query(gt=0, le=1_800, description="No more than is kept.")] = longest,
        run: Annotated[str | None, Query(max_length=64)] = None,
        data_source: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        found = gateway.metrics.monitor.show(minutes, run, data_source or None)
        if gateway.engine.shadow is not None:
            found["shadow"] = gateway.engine.shadow.table(data_source or None)
        if data_source:
            found["verdicts"] = listed(gateway, data_source)
        return Response(encode(found), headers={"Cache-Control": "no-store"}, media_type=JSON)
