"""A registry for fleets under test: scores that anybody can compute, work that takes as long as asked, and poison."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

from reward_service.registry import Registry, Source, handler
from reward_service.types import Domain, Example, Item, Limits, Outcome, Reason, scored
from tests.fault import hostile


def score_of(response: str, version: str = "1") -> float:
    """The score of a response: a fraction that no accident hits."""
    digest = hashlib.sha256(f"{version}:{response}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / ((1 << 48) - 1)


def parent_of(pid: int) -> int:
    """A process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def judge(item: Item, version: str) -> Outcome:
    """`spin MS …` uses CPU, `work N …` so many steps of it, `nap MS …` only time, `kill-worker` ends the whole worker, `hostile WHAT` its process."""
    match item.response.split():
        case ["spin", ms, *_]:
            end = time.process_time() + float(ms) / 1e3
            while time.process_time() < end:
                pass
        case ["work", count, *_]:
            for _ in range(int(count)):
                pass
        case ["nap", ms, *_]:
            time.sleep(float(ms) / 1e3)
        case ["kill-worker", *_]:
            os.kill(parent_of(os.getppid()), signal.SIGKILL)
            time.sleep(5)
        case ["hostile", what, *_]:
            hostile.act(Item("x", what, ""))
    return scored(score_of(item.response, version), Reason.PARTIALLY_EQUAL, item.response[:40])


def registry(version: str = "1") -> Registry:
    """The registry of that handler."""
    into = Registry()

    @handler(
        "fleet",
        version=version,
        domain=Domain.GYM,
        sources=[Source("fleet", "any", Example("x", "x", score=score_of("x", version)))],
        limits=Limits(1.0, 10.0, 256 << 20),
        into=into,
    )
    def plan(item: Item) -> Outcome:
        """Does what the response says, and scores it."""
        return judge(item, version)

    return into


def upgraded() -> Registry:
    """The next version, with other scores."""
    return registry("2")
