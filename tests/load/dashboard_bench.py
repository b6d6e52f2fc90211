"""What an open dashboard costs: `python -m tests.load.dashboard_bench [SECONDS]`.

The gateway's part: a live service scores 200 data sources for SECONDS (180 fill every step, at a step of one second),
then answers a dashboard's question between two batches each, so that nothing of the answer is known from the one before.
Its CPU time of an answer over the ten seconds between two of them is the share of a core that an open dashboard takes;
at full load the gateway takes a whole one. The browser's part: Chromium's main thread while the page takes in changing
answers with 200 data sources, and the longest that it was blocked.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page

from reward_service.registry import Registry, Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, reject
from tests.gateway.browser import chromium, watched
from tests.gateway.telemetry_sample import telemetry
from tests.load.measure import service

SOURCES = 200
POLLS = 30
STEP = 10.0
"""Seconds between two polls of a dashboard, unless a setting says otherwise."""


def registry() -> Registry:
    """Many data sources that cost nothing to check."""
    into = Registry()
    sources = [Source(f"bench__{place:03d}", "any", Example("x", "x")) for place in range(SOURCES)]

    @handler("bench", version="1", domain=Domain.GYM, sources=sources, into=into)
    def plan(item: Item) -> Outcome:
        """Accepts two of three."""
        if len(item.response) % 3:
            return accept(item.response[-20:], flags=("multiple_answers",) * (len(item.response) % 7 == 0))
        return reject(Reason.NOT_EQUAL, item.response[-20:])

    return into


def cpu(pid: int) -> float:
    """CPU seconds of a process's own threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def batch(number: int) -> dict[str, object]:
    """Items of every data source."""
    return {
        "items": [
            {"data_source": f"bench__{place:03d}", "response": f"{number} {place} {'x' * (number * 7 + place) }"[:900], "ground_truth": "x"}
            for place in range(SOURCES)
        ]
    }  # fmt: skip


def gateway(seconds: float) -> None:
    """CPU of an answer, and of the gateway at full load beside it."""
    settings = {"processes": "1", "sandbox": "none", "telemetry_step_seconds": "1", "cache_items": "0"}
    with (
        service("tests.load.dashboard_bench:registry", **settings) as (url, pid),
        httpx2.Client(base_url=url, timeout=60) as http,
    ):
        number, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            number += 1
            http.post("/v1/score/batch", json=batch(number), headers={"X-Run-Id": f"run-{number % 3}"})
            time.sleep(0.1)
        for name, path in (
            ("overview", "/v1/telemetry"),
            ("one source", "/v1/telemetry?data_source=bench__007"),
        ):
            spent, size = [], 0
            for _ in range(POLLS):
                number += 1
                http.post("/v1/score/batch", json=batch(number)).raise_for_status()
                before = cpu(pid)
                size = len(http.get(path).content)
                spent.append(cpu(pid) - before)
            each = statistics.mean(spent)
            print(
                f"gateway, {name}: {1e3 * each:.1f} ms CPU an answer of {size / 1024:.0f} KiB, "
                f"{100 * each / STEP:.2f} % of a core at one in {STEP:.0f} s"
            )  # fmt: skip


def main_thread(page: Page) -> Callable[[], dict[str, float]]:
    """Chromium's own account of the page's main thread, in seconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def read() -> dict[str, float]:
        found = session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}

    return read


def browser() -> None:
    """The main thread's work, with changing telemetry of many data sources."""
    answers = [telemetry(sources=SOURCES, step=1, seed=seed) for seed in range(4)]
    asked = 0
    with (
        service("tests.load.noop:registry", processes="1", sandbox="none") as (url, _),
        chromium() as found,
        watched(found, url) as page_,
    ):
        page = page_.page

        def answer(route: object) -> None:
            nonlocal asked
            asked += 1
            route.fulfill(json=answers[asked % len(answers)])  # type: ignore[attr-defined]

        page.route("**/v1/telemetry*", answer)
        page_.open("/dashboard")
        page.wait_for_selector("body[data-ready]")
        page.evaluate(
            """() => {
                window.long = [];
                new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)))
                    .observe({type: 'longtask'});
            }"""
        )
        read = main_thread(page)
        before, polls = read(), asked
        page.wait_for_timeout(15_000)
        after, polls = read(), asked - polls
        for name, text in (("TaskDuration", "all"), ("ScriptDuration", "script"), ("LayoutDuration", "layout"), ("RecalcStyleDuration", "style")):  # fmt: skip
            print(
                f"browser, {SOURCES} data sources, main thread, {text}: {1e3 * (after[name] - before[name]) / polls:.1f} ms a poll"
            )
        blocked = page.evaluate("window.long")
        print(
            f"browser: {len(blocked)} tasks over 50 ms in {polls} polls, the longest {max(blocked, default=0):.0f} ms"
        )
        started = time.monotonic()
        for letter in "data_source_1":
            page.get_by_label("Filter data sources").press(letter)
        print(
            f"browser: {1e3 * (time.monotonic() - started) / 13:.0f} ms a key in the filter, by Playwright's clock"
        )


if __name__ == "__main__":
    gateway(float(sys.argv[1]) if len(sys.argv) > 1 else 180.0)
    try:
        browser()
    except pytest.skip.Exception as error:  # no Chromium here
        print(error)
