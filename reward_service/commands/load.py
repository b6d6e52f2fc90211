"""`reward-service load` as a command: what is shown while it runs, what is printed at the end, and the exit code.

Exit codes: 0 every item got its own right reward (and the limits held that were asked for); 3 some did not; 1 nobody
answers there; 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reward_service.commands.batch import DEFAULT_URL, ApiKey, Url
from reward_service.commands.shared import SOME_ERRORS, STOPPED, console, fail

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from reward_service.load.generator import Plan, Record
    from reward_service.load.ramp import Ramp, Step

LIVE_SECONDS = 5.0
"""What the live table's percentiles look back on."""


class Arrivals(StrEnum):
    """When requests are due: at random moments, as from many independent senders, or evenly."""

    POISSON = "poisson"
    CONSTANT = "constant"


class Mix(StrEnum):
    """What is sent; auto leaves out code where the service has no sandbox."""

    AUTO = "auto"
    GURU = "guru"
    RULES = "rules"
    CODE = "code"
    MATH = "math"


def load(
    url: Url = DEFAULT_URL,
    rate: Annotated[
        float, typer.Option(min=0.1, help="Items per second; with --ramp, where it begins.")
    ] = 500,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Items in a request.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="For so long; with --ramp, each step.")] = 20,
    arrivals: Annotated[Arrivals, typer.Option(help="When requests are due.")] = Arrivals.POISSON,
    mix: Annotated[Mix, typer.Option(help="Guru's mix of data sources, or a part of it.")] = Mix.AUTO,
    repeats: Annotated[
        float, typer.Option(min=0, max=1, help="Share of items that were sent before: cache hits.")
    ] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one request.")] = 30,
    ramp: Annotated[bool, typer.Option("--ramp", help="Find the highest rate that is carried.")] = False,
    limit_ms: Annotated[
        float, typer.Option(min=1, help="With --ramp: the p99 up to which a rate is carried.")
    ] = 2_000,
    max_steps: Annotated[int, typer.Option(min=1, help="With --ramp: give up after so many.")] = 24,
    max_p99_ms: Annotated[
        float | None, typer.Option(help="Exit with 3 if the p99 is above.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same rollouts and moments.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")] = False,
    api_key: ApiKey = None,
) -> None:
    """Send rollouts with known rewards to a service at a given rate: latencies, refusals, errors, wrong rewards.

    Latency counts from the moment when a request was due (open loop), and nothing is tried again.
    """
    from reward_service.load.generator import Plan

    plan = Plan(url, rate, seconds, batch, arrivals is Arrivals.POISSON, timeout, seed, api_key)
    sent = kind_of(plan, mix)
    out, err = console(), console(stderr=True)
    err.print(f"load: {sent} mix against {url}", markup=False) if not quiet else None
    run = _ramp if ramp else _steady
    said, ok = asyncio.run(run(plan, sent, repeats, limit_ms, max_steps, err, not quiet))
    if max_p99_ms is not None and not ramp:
        p99 = said["latency_ms"].get("p99")
        ok = ok and p99 is not None and p99 <= max_p99_ms
    if as_json:
        typer.echo(json.dumps(said))
    else:
        show(out, said)
    if not ok:
        raise typer.Exit(SOME_ERRORS)


def kind_of(plan: Plan, mix: Mix) -> str:
    """The mix that suits the service. Ends with STOPPED if nobody answers."""
    import httpx2

    headers = {"authorization": f"Bearer {plan.api_key}"} if plan.api_key else {}
    try:
        reply = httpx2.get(f"{plan.url.rstrip('/')}/v1/info", headers=headers, timeout=10)
        info = reply.json() if reply.status_code == 200 else {}
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        fail(f"{plan.url}: {type(error).__name__}: {error}".rstrip(": "), STOPPED)
    if info.get("name") != "reward-service" and reply.status_code not in (401, 403):
        fail(f"{plan.url} answers {reply.status_code}; is it a reward service?", STOPPED)
    if mix is not Mix.AUTO:
        return mix.value
    return "guru" if info.get("state", {}).get("sandbox_places") else "rules"


async def _steady(
    plan: Plan, mix: str, repeats: float, limit_ms: float, max_steps: int, err: Console, live: bool
) -> tuple[dict[str, Any], bool]:
    from reward_service.load.generator import Record, send, summary
    from reward_service.load.traffic import Traffic

    record = Record()
    traffic = Traffic(mix, plan.seed, repeats)
    await watched(send(plan, traffic, record), lambda: now(plan, record), err, live)
    return {"plan": shown(plan), "mix": mix, **summary(plan, record)}, record.clean


async def _ramp(
    plan: Plan, mix: str, repeats: float, limit_ms: float, max_steps: int, err: Console, live: bool
) -> tuple[dict[str, Any], bool]:
    from reward_service.load.generator import send
    from reward_service.load.ramp import climb
    from reward_service.load.traffic import Traffic

    traffic = Traffic(mix, plan.seed, repeats)
    wrong = 0

    async def step(one: Plan, record: Record) -> None:
        nonlocal wrong
        await send(one, traffic, record)
        wrong += record.wrong + record.missing

    def told(one: Step) -> None:
        if live:
            err.print(told_of(one), markup=False, soft_wrap=True)

    found: Ramp = await climb(plan, step, limit_ms, told, max_steps)
    steps = [one._asdict() for one in found.steps]
    return {"plan": shown(plan), "mix": mix, "peak": found.peak, "wrong": wrong, "steps": steps}, not wrong


def shown(plan: Plan) -> dict[str, Any]:
    """A plan without its key."""
    return {name: value for name, value in asdict(plan).items() if name != "api_key"}


async def watched(work: Any, table: Callable[[], Table], err: Console, live: bool) -> None:
    """Do the work, with a table that follows it where there is a terminal."""
    if not (live and err.is_terminal):
        await work
        return
    from rich.live import Live

    task = asyncio.ensure_future(work)
    with Live(console=err, auto_refresh=False) as view:
        while not task.done():
            view.update(table(), refresh=True)
            await asyncio.wait([task], timeout=0.5)
        view.update(table(), refresh=True)
    await task


def now(plan: Plan, record: Record) -> Table:
    """The live table: what was sent, what came back, and the last seconds' latencies."""
    from rich.table import Table

    from reward_service.load.generator import percentiles

    recent = []
    for sample in reversed(record.samples):
        if sample.due + sample.seconds < record.seconds - LIVE_SECONDS:
            break
        recent.append(sample)
    times = percentiles([sample.seconds for sample in recent if sample.fate == "answered"])
    items = sum(sample.items for sample in recent if sample.fate == "answered")
    fates = record.fates
    table = Table(title=f"{record.seconds:,.0f} of {plan.seconds:,.0f} s, {plan.rate:,.0f} items/s asked for")
    for name in (
        "items/s",
        "p50 ms",
        "p99 ms",
        "under way",
        "sent",
        "scored",
        "refused",
        "timed out",
        "errors",
        "wrong",
    ):
        table.add_column(name, justify="right")
    table.add_row(
        f"{items / max(0.1, min(LIVE_SECONDS, record.seconds)):,.0f}",
        f"{times.get('p50', 0):,.0f}",
        f"{times.get('p99', 0):,.0f}",
        f"{record.in_flight:,}",
        f"{record.sent:,}",
        f"{record.scored:,}",
        f"{fates['refused']:,}",
        f"{fates['timeout'] + fates['failed']:,}",
        f"{sum(record.errors.values()):,}",
        f"{record.wrong + record.missing:,}",
        style="red" if record.wrong or record.missing else "",
    )
    return table


def told_of(step: Step) -> str:
    """A step in words."""
    p99 = "no answers" if step.p99_ms is None else f"p99 {step.p99_ms:,.0f} ms"
    return (
        f"{step.rate:,.0f} items/s asked for: {step.goodput:,.0f} scored in time, {p99}, {100 * step.refused:.1f} % refused: "
        f"{'carried' if step.carried else 'too much'}"
    )


def show(out: Console, said: dict[str, Any]) -> None:
    """The report as text."""
    from rich.table import Table

    if "steps" in said:
        text = f"peak: {said['peak']:,.0f} items/s ({said['mix']} mix, {said['plan']['batch']} items in a request), {said['wrong']} wrong"
        out.print(text, markup=False)
        return
    items, requests = said["items"], said["requests"]
    table = Table(
        title=f"{said['mix']} mix, {said['asked_rate']:,.0f} items/s asked for, {said['seconds']:,.0f} s"
    )
    table.add_column("milliseconds")
    names = list(said["latency_ms"]) or ["p50"]
    for name in names:
        table.add_column(name, justify="right")
    for words, field in (
        ("answers", "latency_ms"),
        ("refusals", "refusal_ms"),
        ("late in sending", "generator_late_ms"),
    ):
        if said[field]:
            table.add_row(words, *(f"{said[field][name]:,.1f}" for name in names))
    out.print(table)
    out.print(
        f"{items['sent']:,} items sent, {items['scored']:,} scored ({said['goodput']:,.0f}/s in time), {sum(items['errors'].values()):,} errors, "
        f"{items['wrong']:,} wrong rewards, {items['missing']:,} without a result; requests: "
        + ", ".join(f"{count:,} {fate}" for fate, count in requests.items()),
        markup=False,
        soft_wrap=True,
    )
    for words, count in [*said["problems"].items(), *items["errors"].items()]:
        out.print(f"  {count:,} × {words}", markup=False, soft_wrap=True)
    for words in said["wrong_examples"]:
        out.print(f"  wrong: {words}", markup=False, soft_wrap=True)
    late, whole = said["generator_late_ms"].get("p99", 0.0), said["latency_ms"].get("p99", 0.0)
    if late > 20 and late > whole / 4:
        out.print("The generator itself was late: it, or this machine, was the bottleneck.", style="yellow")
