"""Cheats through a real service, with four requests in flight for each core, and right after every hostile program: none is paid, every honest
program is, and nothing is an error.

Two ways. *Rounds*: a hostile program in every place of the sandbox at once, and when they have ended, four times as many cheats and controls
as there are places, all in flight: a place's next program after a hostile one is always one of them, as free places are taken in turn. *A storm*:
cheats, controls and hostile programs in one stream. Every response is sent once only, so that no answer is the cache's.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.engine import running_host
from tests.fault.fleets import FULL
from tests.hacks.test_code_hacks import HACKS, HONEST, SHARED, TASKS, row_of
from tests.hacks.test_containment import ALL, Case
from tests.load.measure import service

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600 if FULL else 120)]

CORES = len(os.sched_getaffinity(0))
IN_FLIGHT = 4 * CORES
DOCKER = pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.long])
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Program:
    """A cheat or a control as an item, without its place in the stream."""

    name: str
    program: str
    language: str
    gold: Any
    extra: dict[str, Any]
    paid: bool

    def item(self) -> dict[str, Any]:
        """Never the same twice."""
        text = f"Attempt {next(NUMBERS)}.\n```{self.language}\n{self.program}\n```\n"
        return {
            "data_source": "codegen__hacks",
            "response": text,
            "ground_truth": self.gold,
            "extra_info": self.extra,
        }


def programs() -> tuple[list[Program], list[Program]]:
    """(cheats, controls): our own tables, and the shared corpus where it exists."""
    found = []
    for table, paid in ((HACKS, False), (HONEST, True)):
        for task, several in table.items():
            gold, extra = TASKS[task]
            named = several.items() if isinstance(several, dict) else enumerate(several)
            found += [
                Program(f"{task}: {name}", text, "python", gold, {"time_limit": 1, **extra}, paid)
                for name, text in named
            ]
    for case in map(json.loads, SHARED.read_text().splitlines()) if SHARED.exists() else ():
        gold, extra = row_of(case)
        paid = bool(case["expected_reward"])
        found.append(Program(case["id"], case["program"], case["language"], gold, extra, paid))
    return [one for one in found if not one.paid], [one for one in found if one.paid]


@dataclass
class Bench:
    """A service under test, and what came of it."""

    http: httpx2.Client
    threads: ThreadPoolExecutor
    wrong: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def score(self, one: Program) -> None:
        """An item: paid as it should be, or noted."""
        reply = self.http.post("/v1/score", json=one.item(), params={"deadline_seconds": 300})
        self.sent["controls" if one.paid else "cheats"] += 1
        result = reply.json()
        if (result.get("status"), result.get("score")) != ("scored", float(one.paid)):
            self.wrong.append(f"{one.name}: {reply.status_code} {reply.text[:300]}")

    def hostile(self, case: Case) -> None:
        """A hostile program as somebody's own: contained, and no error."""
        limits = {
            "cpu_seconds": 3 * case.limit,
            "wall_seconds": case.limit,
            "memory_bytes": 512 << 20,
            "total_cpu_seconds": 600,
        }
        reply = self.http.post("/v1/run", json={"program": case.program, "limits": limits})
        self.sent["hostile programs"] += 1
        found = reply.json()["results"][0] if reply.status_code == 200 else {}
        if not found or ("ESCAPED" in found["stdout"] and not only_agents(case.name, found["stderr"])):
            self.wrong.append(f"{case.name}: {reply.status_code} {reply.text[:300]}")

    def send(self, one: Program | Case) -> None:
        """Either."""
        self.score(one) if isinstance(one, Program) else self.hostile(one)

    def all(self, several: Sequence[Program | Case]) -> None:
        """Send them, in order, as many at once as there are threads; wait for the last."""
        for _ in self.threads.map(self.send, several):
            pass


def only_agents(name: str, seen: str) -> bool:
    """The one program that counts: more than two other processes are no escape if all are the sandbox's own agents.

    A place that has run every kind of program keeps up to six of them, one for each set of modules; their command lines hold no secret.
    """
    others = re.findall(r"\('\d+', '([^']*)", seen)
    return name == "other-procs-cmdline" and bool(others) and all("/agent.py" in other for other in others)


@contextmanager
def bench(engine: str) -> Iterator[Bench]:
    """A service with one place for each core on that engine."""
    settings = {"sandbox": engine, "sandbox_places": str(CORES), "processes": "1"}
    with (
        running_host(engine) as more,
        service("reward_service.registry:load", **settings, **more) as (url, _),
        httpx2.Client(base_url=url, timeout=360, limits=httpx2.Limits(max_connections=IN_FLIGHT)) as http,
        ThreadPoolExecutor(IN_FLIGHT) as threads,
    ):
        yield Bench(http, threads)


def known(bench: Bench, several: list[Program]) -> list[Program]:
    """Those whose language the sandbox has: Python always, others on bubblewrap only where this machine has them."""
    missing = set()
    for language in {one.language for one in several} - {"python"}:
        reply = bench.http.post("/v1/run", json={"program": "", "language": language})
        if reply.status_code == 503:
            missing.add(language)
    return [one for one in several if one.language not in missing]


def mixed(cheats: Sequence[Program], controls: Sequence[Program], count: int) -> Iterator[list[Program]]:
    """Rounds of `count`, without end: a quarter are controls, spread evenly."""
    hacks, honest = itertools.cycle(cheats), itertools.cycle(controls)
    while True:
        yield [next(honest) if place % 4 == 2 else next(hacks) for place in range(count)]


@pytest.mark.parametrize("engine", ["bubblewrap", DOCKER])
def test_f12_cheats_at_four_times_the_cores_and_after_each_hostile_program(
    engine: str, request: pytest.FixtureRequest
) -> None:
    cheats, controls = programs()
    hostile: list[Case] = sorted(ALL, key=lambda case: (case.expect, case.limit))
    if not FULL:
        hostile = [case for case in hostile if case.expect == "BLOCKED" or case.limit < 3][::8]
        cheats, controls = cheats[::6], controls[::6]
    with bench(engine) as it:
        cheats, controls = known(it, cheats), known(it, controls)
        rounds = mixed(cheats, controls, IN_FLIGHT)
        for start in range(0, len(hostile), CORES):
            it.all(hostile[start : start + CORES])
            it.all(next(rounds))
        after = Counter(it.sent)
        storm: list[Program | Case] = []
        thirds = itertools.cycle(hostile[::3])
        for number, one in enumerate(itertools.chain(*zip(cheats, itertools.cycle(controls), strict=False))):
            storm += [one] if number % (8 if FULL else 16) else [one, next(thirds)]
        it.all(storm)
    request.node.user_properties.append(
        (
            "figures",
            f"{IN_FLIGHT} in flight; after hostile programs: {told(after)}; storm: {told(it.sent - after)}; "
            f"{len(it.wrong)} paid wrongly, refused or in error",
        )
    )
    assert it.wrong == []
    assert after["hostile programs"] == len(hostile) > 0
    assert it.sent["cheats"] >= len(cheats) + after["cheats"]


def told(sent: Counter[str]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(sent.items()))
