"""Handlers for the tests of alerts and dashboards: the response says what becomes of it."""

from __future__ import annotations

import os
import time
from typing import Any

from reward_service.questions import Ask
from reward_service.registry import Registry, Source, handler
from reward_service.runs import Program, Run, Work
from reward_service.types import Domain, Example, Item, Limits, Outcome, Reason, accept, reject
from tests.fault.test_judge import asked_registry


def registry() -> Registry:
    """`staged`, `coding` (wants a sandbox) and `asking` (wants a judge model)."""
    into = asked_registry()

    @handler(
        "staged",
        version="1",
        domain=Domain.MATH,
        sources=[
            Source(name, "any", Example("right", "12")) for name in ("staged", "broken", "tricked", "late")
        ],
        limits=Limits(0.5, 5.0, 256 << 20),
        into=into,
    )
    def plan(item: Item) -> Outcome:
        """Does what the response says."""
        match item.response.split()[:1]:
            case ["right"]:
                return accept("12")
            case ["flagged"]:
                return accept("12", flags=("multiple_answers",))
            case ["none"]:
                return reject(Reason.NO_ANSWER)
            case ["dressed"]:
                return reject(Reason.NOT_EQUAL, "12.0")
            case ["endless"]:
                return reject(Reason.TIME_LIMIT)
            case ["slow"]:
                time.sleep(1.0)
            case ["dies"]:
                os._exit(7)
            case ["raises"]:
                raise RuntimeError("a defect")
        return reject(Reason.NOT_EQUAL, "13")

    def judge(item: Item, notes: Any, results: Any) -> Outcome:
        """Never reached: there is no sandbox."""
        return accept("")

    @handler("coding", version="1", domain=Domain.CODE, sources=[Source("coding", "any", Example("x", "y"))],
             judge=judge, into=into)  # fmt: skip
    def program(item: Item) -> Work | Ask | Outcome:
        """Wants its response run."""
        return Work(Program("python", item.response), (Run(),))

    return into
