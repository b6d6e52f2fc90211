"""The `reward-service` command.

What is decided here: the flags, the exit codes, and what goes where: results to stdout, progress and complaints to
stderr. Each command imports what it needs when it runs, so that `--help` answers at once.

Exit codes of `score`: 0 every row was judged; 3 some rows are errors (the output says which); 2 it was asked for
something that can't be done, and nothing was changed; 1 the run had to stop, and the same command goes on from
there; 130 interrupted, likewise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reward_service.commands import audit, batch, filters, keys, load, report, sandbox
from reward_service.commands.batch import Via
from reward_service.commands.shared import (
    INTERRUPTED,
    SOME_ERRORS,
    STOPPED,
    console,
    fail,
    settings_with,
)
from reward_service.types import Profile

if TYPE_CHECKING:
    from reward_service.bulk import Run

app = typer.Typer(
    name="reward-service",
    help="Verified rewards for reinforcement learning on language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(batch.app, name="batch")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(keys.app, name="keys")
app.command()(batch.rescore)
app.command()(load.load)
app.command()(report.report)
app.command()(audit.audit)
app.command("filter")(filters.filter_prompts)


def main() -> None:
    """The console script."""
    app()


@app.command()
def version() -> None:
    """Print the version."""
    from reward_service import __version__

    typer.echo(__version__)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8080")] = None,
    processes: Annotated[
        int | None, typer.Option(help="Checking processes.", show_default="one per core")
    ] = None,
) -> None:
    """Start the service. Every other setting is an environment variable REWARD_SERVICE_…; flags win."""
    from reward_service.server import CannotListen
    from reward_service.server import serve as run

    settings = settings_with(host=host, port=port, processes=processes)
    try:
        code = run(settings, typer.echo)
    except CannotListen as error:
        fail(str(error), STOPPED)
    except ValueError as error:
        fail(str(error))
    raise typer.Exit(code)


@app.command()
def worker(
    redis_url: Annotated[str | None, typer.Option(help="Where the work is.", show_default=False)] = None,
    processes: Annotated[
        int | None, typer.Option(help="Checking processes.", show_default="one per core")
    ] = None,
) -> None:
    """Work for a fleet: lease chunks from Redis, score them, commit. Any number, on any machine."""
    from reward_service.server import CannotListen
    from reward_service.worker import run_worker

    try:
        code = run_worker(settings_with(redis_url=redis_url, processes=processes))
    except CannotListen as error:
        fail(str(error), STOPPED)
    except ValueError as error:
        fail(str(error))
    raise typer.Exit(code)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Check this machine and the settings: what is fine, what is not, and what to do. Exit code 1 if something fails."""
    import logging
    from dataclasses import asdict

    from reward_service.doctor import State, examine

    settings = settings_with()
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # the findings say it
    try:
        found = asyncio.run(examine(settings))
    finally:
        logging.disable(before)
    if as_json:
        from reward_service.commands import terminal

        typer.echo(terminal.as_json([asdict(finding) for finding in found]))
    else:
        colours = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red", State.SKIP: None}
        for finding in found:
            state = typer.style(f"{finding.state.value:4}", fg=colours[finding.state])
            typer.echo(f"{state}  {finding.check:16}  {finding.seen}")
            if finding.advice:
                typer.echo(f"{'':24}-> {finding.advice}")
    if any(finding.state is State.FAIL for finding in found):
        raise typer.Exit(STOPPED)


@app.command()
def score(
    dump: Annotated[
        Path, typer.Argument(help="JSONL, plain or gzip or zstd, or Parquet; - is stdin.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="*.jsonl, *.jsonl.gz, *.jsonl.zst or *.parquet", show_default=False),
    ],
    url: Annotated[str | None, typer.Option(help="Score on this service, not in this process.")] = None,
    api_key: batch.ApiKey = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again; else go on where it stopped.")
    ] = False,
    profile: Annotated[
        Profile | None, typer.Option(help="For every row.", show_default="the row's own, or strict")
    ] = None,
    column: Annotated[str, typer.Option(help="Name of the column that is added.")] = "outcome",
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Column (or dotted path) that rows of one prompt share.",
            show_default="prompt_id, else data_source and extra_info.index, else the prompt's text",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Checking processes.", show_default="one per core")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Rows scored in one go.")] = 256,
    via: Annotated[
        Via,
        typer.Option(
            help="With --url: send the rows in requests (stream), or all of them as one durable batch whose results are read "
            "(batch); auto takes a batch for 32 MiB and more where the service keeps batches in Redis."
        ),
    ] = Via.AUTO,
    patience: Annotated[
        float, typer.Option(min=0, help="With --url: seconds without any success before it stops.")
    ] = 300,
    timings: Annotated[
        bool, typer.Option("--timings", help="Record how long each row took, for `report`.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Score a dump of rollouts. Keeps order and columns, adds `outcome`, and goes on after an interruption.

    Exit code: 0 all rows judged, 3 some rows are errors, 2 wrong usage, 1 had to stop (run it again to go on).
    """
    from reward_service.bulk import Job, Run, Stopped
    from reward_service.commands.terminal import progress
    from reward_service.dump import Refused
    from reward_service.errors import PoolBroken

    if url is not None and processes is not None:
        fail("--processes is for scoring in this process; the service at --url has its own")
    if url is None and via is not Via.AUTO:
        fail("--via is for scoring on a service, at --url")
    if str(dump) == "-":
        dump = Path("/dev/stdin")
    job = Job(dump, out, column, profile, group_by, batch, limit, overwrite, timings)
    started = time.monotonic()
    run: Run | None = None
    try:
        err = console(stderr=True)
        with progress(err, dump.name, quiet=quiet) as watch:
            run = Run(job, watch)
            if run.prepare():

                def say(text: str) -> None:
                    if not quiet:
                        err.print(text, markup=False, soft_wrap=True)

                asyncio.run(_score(run, url, api_key, via, patience, processes, say))
    except Refused as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"interrupted; {kept(run)}", INTERRUPTED)
    except (Stopped, PoolBroken, OSError) as error:
        fail(f"{error}; {kept(run)}", STOPPED)
    else:
        if not quiet:
            _say_what_was_done(run, time.monotonic() - started)
        if run.summary.total().errors:
            raise typer.Exit(SOME_ERRORS)
    finally:
        if run is not None:
            run.close()


def kept(run: Run | None) -> str:
    """What an interrupted run leaves."""
    rows = run.written if run is not None else 0
    return f"{rows:,} scored rows are kept, and the same command (without --overwrite) goes on from there"


async def _score(
    run: Run,
    url: str | None,
    api_key: str | None,
    via: Via,
    patience: float,
    processes: int | None,
    say: Callable[[str], object],
) -> None:
    if url is not None:
        from reward_service.remote import Service
        from reward_service.remote_batch import score_via

        async with Service(url, api_key=api_key, patience=patience, say=say) as service:
            await score_via(service, run, via)
    else:
        from reward_service.local import local

        async with local(settings_with(processes=processes)) as backend:
            await run.score(backend)


def _say_what_was_done(run: Run, seconds: float) -> None:
    from reward_service.commands import terminal

    out = console()
    terminal.show_summary(out, run.summary, run.rows.grouped_by)
    fresh = run.written - run.resumed
    before = f" ({run.resumed:,} were there already)" if run.resumed else ""
    rate = f", {fresh / seconds:,.0f} rows/s" if fresh else ""
    text = f"{run.written:,} rows{before} in {seconds:.1f} s{rate} → {run.job.out}"
    out.print(text, markup=False, soft_wrap=True)
    if run.job.dump != Path("/dev/stdin"):
        hint = f"Why did a row get that? reward-service explain {run.job.dump} --line 1"
        out.print(hint, markup=False, soft_wrap=True, style="dim")


@app.command("data-sources")
def data_sources(
    name: Annotated[str | None, typer.Argument(help="One data source, under any of its names.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List what is routed where; with a name, its ground-truth format and an example."""
    from reward_service.commands import terminal
    from reward_service.registry import load

    registry = load()
    if name is None:
        rows = terminal.source_rows(registry)
        if as_json:
            typer.echo(terminal.as_json(rows))
        else:
            terminal.show_sources(console(), rows)
        return
    route = registry.route(name)
    if route is None:
        nearest = registry.nearest(name)
        fail(f"no data source {name!r}" + (f"; the nearest: {', '.join(nearest)}" if nearest else ""))
    row = terminal.source_row(route.source, route.handler)
    if as_json:
        typer.echo(terminal.as_json(row))
    else:
        terminal.show_source(console(), row)


@app.command()
def explain(
    file: Annotated[
        Path | None, typer.Argument(help="A JSON item or JSONL; - is stdin.", show_default=False)
    ] = None,
    line: Annotated[int, typer.Option(min=1, help="Which line of the file.")] = 1,
    data_source: Annotated[str | None, typer.Option("--data-source", "-d", help="Instead of a file.")] = None,
    response: Annotated[str | None, typer.Option("--response", "-r", help="What the policy wrote.")] = None,
    ground_truth: Annotated[
        str | None, typer.Option("--ground-truth", "-g", help="JSON if it reads as JSON, else text.")
    ] = None,
    extra_info: Annotated[str | None, typer.Option(help="JSON object.", metavar="<json>")] = None,
    profile: Annotated[Profile | None, typer.Option(help="strict or guru.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Judge one item, and say what was extracted, which rule fired, and why. Flags override the file's fields."""
    from reward_service.commands import terminal
    from reward_service.commands.explained import show_explained
    from reward_service.dump import Refused
    from reward_service.local import explained, item_in

    given = {
        "data_source": data_source,
        "response": response,
        "ground_truth": ground_truth,
        "extra_info": extra_info,
        "profile": profile,
    }
    given = {field: value for field, value in given.items() if value is not None}
    if file is None and not {"data_source", "response"} <= set(given):
        fail("give a file (- for stdin), or --data-source, --response and --ground-truth")
    try:
        item = item_in(Path("/dev/stdin") if str(file) == "-" else file, line, given)
    except (ValueError, OSError, Refused) as error:
        fail(str(error))
    told = asyncio.run(explained(settings_with(processes=1, spare_processes=0), item))
    if as_json:
        typer.echo(terminal.as_json(told))
    else:
        show_explained(console(), told)


if __name__ == "__main__":
    main()
