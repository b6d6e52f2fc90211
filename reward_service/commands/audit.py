"""`reward-service audit`: red-teams the handlers on a dump's ground truths, or on their own examples.

What is decided here: it runs through the whole engine (pool, sandbox, judge model) without a cache, or through a running service.
Exit codes: 0 no violation, 3 violations, 2 wrong usage, 1 it had to stop, or nothing at all could be judged; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reward_service.commands.shared import INTERRUPTED, STOPPED, console, fail, settings_with

if TYPE_CHECKING:
    from reward_service.audit.accepted import Accepted
    from reward_service.audit.model import Subject
    from reward_service.audit.run import Report
    from reward_service.bulk import Backend
    from reward_service.registry import Registry

VIOLATIONS = 3


def audit(
    dump: Annotated[
        Path | None,
        typer.Argument(
            help="Ground truths: JSONL, plain or gzip or zstd, or Parquet; - is stdin.", show_default=False
        ),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="The handlers' own examples instead.")] = False,
    url: Annotated[str | None, typer.Option(help="Audit this service, not this process.")] = None,
    data_source: Annotated[
        list[str] | None, typer.Option("--data-source", "-d", help="Only these; may be given several times.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many rows of each data source.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the rows of --limit, and what is put twice.")] = 0,
    accept: Annotated[
        Path | None, typer.Option(help="TOML: violations that are meant to be, each with its reason.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the report here as well.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the smallest item of each violation here, as JSONL.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Checking processes.", show_default="one per core")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Red-team the verifiers: right answers in many dresses must score 1, wrong ones and tricks 0, and always alike.

    Exit code: 0 no violation, 3 violations, 2 wrong usage, 1 had to stop or could judge nothing.
    """
    from reward_service.audit import accepted as argued
    from reward_service.bulk import Stopped
    from reward_service.commands import audit_report
    from reward_service.dump import Refused
    from reward_service.errors import PoolBroken
    from reward_service.registry import load

    if (dump is None) is not examples:
        fail("give a file of ground truths (- for stdin), or --examples")
    if url is not None and processes is not None:
        fail("--processes is for auditing this process; the service at --url has its own")
    registry = load()
    wanted = _sources(registry, data_source or [])
    err = console(stderr=True)
    problems: list[str] = []
    try:
        known = argued.read(accept) if accept is not None else argued.Accepted()
        with _chosen(registry, dump, wanted, limit, seed, problems, err, quiet) as (subjects, watch):
            report = asyncio.run(_audited(subjects, url, processes, seed, known, watch, err))
    except (argued.BadAccepted, Refused) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except (Stopped, PoolBroken, OSError) as error:
        fail(str(error), STOPPED)
    if problems:
        typer.echo(f"{len(problems):,} rows were left out; the first: {problems[0]}", err=True)
    _written(report, known, seed, json_out, save)
    audit_report.show(console(), report, known, str(save) if save is not None else None)
    if report.violations:
        raise typer.Exit(VIOLATIONS)
    if not report.judged:
        fail("nothing could be judged", STOPPED)


def _sources(registry: Registry, names: Sequence[str]) -> set[str]:
    wanted = set()
    for name in names:
        route = registry.route(name)
        if route is None:
            nearest = ", ".join(registry.nearest(name))
            fail(f"no data source {name!r}" + (f"; the nearest: {nearest}" if nearest else ""))
        wanted.add(route.source.name)
    return wanted


class _chosen:
    """The subjects to audit, and what to tell progress to."""

    def __init__(
        self,
        registry: Registry,
        dump: Path | None,
        wanted: set[str],
        limit: int | None,
        seed: int,
        problems: list[str],
        err: Any,
        quiet: bool,
    ) -> None:
        from reward_service.commands.terminal import progress
        from reward_service.dump import open_input

        path = Path("/dev/stdin") if str(dump) == "-" else dump
        self._input = open_input(path, "") if path is not None else None
        self._registry, self._wanted, self._limit, self._seed = registry, wanted, limit, seed
        self._problems = problems
        self._progress = progress(err, "examples" if path is None else path.name, quiet=quiet)
        self._rows = 0

    def __enter__(self) -> tuple[Iterable[Subject], Callable[[Subject], None]]:
        from reward_service.audit.subjects import drawn, once
        from reward_service.bulk import Progress

        tell = self._progress.__enter__()

        def watch(_: Subject) -> None:
            self._rows += 1
            tell(
                Progress(
                    self._rows,
                    0,
                    self._input.done if self._input else 0,
                    self._input.total if self._input else None,
                )
            )

        subjects = (s for s in once(self._all()) if not self._wanted or s.source in self._wanted)
        return (drawn(subjects, self._limit, self._seed) if self._limit else subjects), watch

    def __exit__(self, *what: Any) -> None:
        self._progress.__exit__(*what)
        if self._input is not None:
            self._input.close()

    def _all(self) -> Iterator[Subject]:
        from reward_service.audit.subjects import from_examples, from_line

        if self._input is None:
            yield from from_examples(self._registry)
            return
        for record in self._input.records():
            found = record.problem or from_line(record.number, record.line, self._registry)
            if isinstance(found, str):
                self._problems.append(f"line {record.number}: {found}")
            else:
                yield found


class _Through:
    """An audit's judge over what scores dumps."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def score(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """One result per item."""
        from reward_service.wire import ItemIn

        return await self._backend.score([ItemIn.model_validate(item) for item in items])


async def _audited(
    subjects: Iterable[Subject],
    url: str | None,
    processes: int | None,
    seed: int,
    known: Accepted,
    watch: Callable[[Subject], None],
    err: Any,
) -> Report:
    from reward_service.audit.run import Audit

    if url is not None:
        from reward_service.remote import Service

        async with Service(url, say=lambda text: err.print(text, markup=False, soft_wrap=True)) as service:
            return await Audit(_Through(service), seed=seed, accepted=known).run(subjects, watch)
    from reward_service.local import local

    async with local(settings_with(processes=processes, cache_items=0)) as backend:
        return await Audit(_Through(backend), seed=seed, accepted=known).run(subjects, watch)


def _written(report: Report, known: Accepted, seed: int, json_out: Path | None, save: Path | None) -> None:

    from reward_service.commands import audit_report

    data = audit_report.as_data(report, known, seed)
    if json_out is not None:
        json_out.write_text(json.dumps(data, indent=1) + "\n")
    if save is not None:
        save.write_text("".join(json.dumps(found["item"]) + "\n" for found in data["violations"]))
