"""`reward-service report`: a scored dump as one page to look at.

What is decided here: the page appears whole or not at all, and making it never fails for what rows say. Exit codes:
0 done, also where some rows were not judged (the page says which), 1 had to stop, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from reward_service.commands.shared import STOPPED, console, fail, settings_with


def report(
    dump: Annotated[
        Path,
        typer.Argument(help="A scored dump, or results of a batch: JSONL (plain, gzip, zstd) or Parquet."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page.")] = Path("report.html"),
    before: Annotated[
        Path | None, typer.Option(help="Another scored dump to compare with.", show_default=False)
    ] = None,
    column: Annotated[
        str, typer.Option(help="Column (or dotted path) of the outcome, or of a score.")
    ] = "outcome",
    before_column: Annotated[
        str | None,
        typer.Option(
            help="The column to compare with, in that file or in the same.", show_default="as --column"
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Column (or dotted path) that rows of one prompt share.", show_default="as `score` does"
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, max=50, help="Rows of each kind to show, per data source.")
    ] = 4,
    explain: Annotated[
        bool, typer.Option(help="Judge the shown rows again, to say how the verdict came about.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make a page of a scored dump: scores with intervals, pass@k, length, reasons, slow rows, rows to look at."""
    from reward_service.analysis.report import Ask, make
    from reward_service.commands.terminal import progress
    from reward_service.dump import Refused
    from reward_service.local import all_explained
    from reward_service.registry import load

    settings = settings_with(spare_processes=0)
    ask = Ask(dump, column, before, before_column, group_by, samples)
    try:
        with progress(console(stderr=True), dump.name, quiet=quiet) as watch:
            teller = (lambda items: all_explained(settings, items)) if explain else None
            made = asyncio.run(make(ask, load(), teller, watch))
        half = out.with_name(out.name + ".tmp")
        half.write_text(made.page, "utf-8")
        half.replace(out)
    except Refused as error:
        fail(str(error))
    except OSError as error:
        fail(str(error), STOPPED)
    typer.echo(f"{made.rows:,} rows, {made.errors:,} of them not judged -> {out}", err=True)
