"""The most that a service carries: steps of rising load until one is too much, then halving the gap.

What is decided here: a rate is carried if nearly everything that was sent in a step was scored within it, nearly nothing was
refused, and the 99th percentile stays under a limit. The peak is the best goodput of a step that was carried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

from reward_service.load.generator import Plan, Record, summary

GROWTH = 1.5
HALVINGS = 3
CARRIED_SHARE = 0.95
REFUSED_SHARE = 0.01
PAUSE_SECONDS = 1.0

Send = Callable[[Plan, Record], Awaitable[None]]


class Step(NamedTuple):
    """One rate: asked for, items per second sent and scored in time, the 99th percentile in ms, and whether that was carried."""

    rate: float
    sent: float
    goodput: float
    p99_ms: float | None
    refused: float
    carried: bool


class Ramp(NamedTuple):
    """Every step, and the peak in items per second (0 if nothing was carried)."""

    steps: list[Step]
    peak: float


async def climb(
    plan: Plan, send: Send, limit_ms: float, told: Callable[[Step], object], most: int = 24
) -> Ramp:
    """Find the peak, from the plan's rate on, with steps of the plan's length. told: called after each step."""
    steps: list[Step] = []
    good, bad = 0.0, 0.0
    rate, halvings = plan.rate, 0
    while len(steps) < most and halvings <= HALVINGS:
        record = Record()
        await send(replace(plan, rate=rate, seed=plan.seed + len(steps)), record)
        step = judged(rate, summary(replace(plan, rate=rate), record), limit_ms)
        steps.append(step)
        told(step)
        good, bad = (max(good, rate), bad) if step.carried else (good, rate)
        if not bad:
            rate *= GROWTH
        elif not good:
            rate /= GROWTH
        else:
            rate = (good + bad) / 2
            halvings += 1
        await asyncio.sleep(PAUSE_SECONDS)
    return Ramp(steps, max((step.goodput for step in steps if step.carried), default=0.0))


def judged(rate: float, said: dict[str, Any], limit_ms: float) -> Step:
    """Was that carried?"""
    sent = said["items"]["sent"] / said["seconds"]
    p99 = said["latency_ms"].get("p99")
    requests = said["requests"]
    refused = requests.get("refused", 0) / max(1, sum(requests.values()))
    carried = (
        said["goodput"] >= CARRIED_SHARE * sent
        and refused <= REFUSED_SHARE
        and p99 is not None
        and p99 <= limit_ms
    )
    return Step(rate, round(sent, 1), said["goodput"], p99, round(refused, 4), carried)
