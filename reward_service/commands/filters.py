"""`reward-service filter`: which prompts are worth training on, by the pass rates of models.

What is decided here: the output and its summary appear together, and nothing is written if the files don't fit each other. Exit
codes: 0 every prompt was decided, 3 some could not be (too few judged samples: the summary says why), 2 wrong usage, 1 had to stop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reward_service.commands.shared import STOPPED, console, fail

SOME_UNDECIDED = 3


def filter_prompts(
    dumps: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Scored dumps of one model, or of models that --model-column tells apart.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="*.jsonl, *.jsonl.gz, *.jsonl.zst or *.parquet", show_default=False),
    ] = Path("kept.jsonl"),
    weak: Annotated[
        list[Path] | None, typer.Option(help="A scored dump of the weak model.", show_default=False)
    ] = None,
    strong: Annotated[
        list[Path] | None, typer.Option(help="A scored dump of the strong model.", show_default=False)
    ] = None,
    weak_max: Annotated[
        str | None,
        typer.Option(help="Too easy: the weak model's pass rate is this or more, as 0.9 or 15/16."),
    ] = None,
    strong_min: Annotated[
        str | None, typer.Option(help="Impossible: the strong model's pass rate is less than this, as 1/16.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Write rows of this data set, instead of the samples.", show_default=False),
    ] = None,
    once: Annotated[
        bool, typer.Option("--one-per-prompt", help="Write the first row of each prompt only.")
    ] = False,
    min_samples: Annotated[int, typer.Option(min=1, help="Judged samples of a model that a rule needs.")] = 1,
    keep_undecided: Annotated[
        bool, typer.Option("--keep-undecided", help="Keep prompts that could not be decided.")
    ] = False,
    pass_score: Annotated[float, typer.Option(help="A sample passes with this score or more.")] = 1.0,
    model_column: Annotated[
        str | None, typer.Option(help="Column (or dotted path) with the model's name.")
    ] = None,
    weak_model: Annotated[str | None, typer.Option(help="Its value for the weak model.")] = None,
    strong_model: Annotated[str | None, typer.Option(help="Its value for the strong model.")] = None,
    column: Annotated[
        str, typer.Option(help="Column (or dotted path) of the outcome, or of a score.")
    ] = "outcome",
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Column (or dotted path) that rows of one prompt share.", show_default="as `score` does"
        ),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Where the summary goes, as JSON.", show_default="OUT.summary.json")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Keep the prompts that are neither too easy nor impossible (Guru's data step). Errors are never failures.

    Exit code: 0 all prompts decided, 3 some could not be, 2 wrong usage, 1 had to stop.
    """
    from reward_service.analysis.difficulty import Rules, Verdict, parse_rate
    from reward_service.analysis.filtering import STRONG, WEAK, Ask, Filter, Role, summary_json
    from reward_service.commands.terminal import progress, show_filter
    from reward_service.dump import Refused
    from reward_service.registry import load

    try:
        rules = Rules(
            None if weak_max is None else parse_rate(weak_max),
            None if strong_min is None else parse_rate(strong_min),
            min_samples,
            pass_score,
        )
        files: list[tuple[Path, Role | None]] = [(path, None) for path in dumps or ()]
        files += [(path, WEAK) for path in weak or ()]
        files += [(path, STRONG) for path in strong or ()]
        ask = Ask(
            files,
            out,
            rules,
            column,
            group_by,
            model_column,
            weak_model,
            strong_model,
            data,
            once,
            keep_undecided,
        )
        with progress(console(stderr=True), out.name, quiet=quiet) as watch:
            found = Filter(ask, load(), watch).run()
        told = summary_json(found, ask)
        (summary or out.with_name(out.name + ".summary.json")).write_bytes(told)
    except (Refused, ValueError) as error:
        fail(str(error))
    except OSError as error:
        fail(str(error), STOPPED)
    if as_json:
        typer.echo(told.decode(), nl=False)
    elif not quiet:
        show_filter(console(), found, out)
    if found.total.verdicts[Verdict.UNDECIDED]:
        raise typer.Exit(SOME_UNDECIDED)
