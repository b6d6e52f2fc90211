"""What the command line shows: progress and tables, for a terminal or as plain text.

What is decided here: the words and columns that a reader sees, and that a log gets a line every ten seconds where
a terminal gets a bar with rate and ETA.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import progress as bars
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reward_service.analysis.difficulty import Cause, Verdict
from reward_service.analysis.flips import Changes, Comparison
from reward_service.analysis.summary import Passes, Summary, Tally
from reward_service.bulk import Progress, Watch
from reward_service.registry import Handler, Registry, Source
from reward_service.types import REASONS, Example, Reason
from reward_service.visible import clean

if TYPE_CHECKING:
    from reward_service.analysis.filtering import Found

RESPONSE_TAIL = 800
PASS_COLUMNS = 8
NONE = "–"
LOG_SECONDS = 10.0
SHOWN_SUSPECTS = 5


def table(*columns: str, numbers: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table in the house's look; `numbers` are the columns that are aligned to the right."""
    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def as_json(value: Any) -> str:
    """JSON for people and programs."""
    return clean(json.dumps(value, ensure_ascii=False, indent=2))


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return NONE if share is None else f"{100 * share:.1f} %"


def show_summary(console: Console, summary: Summary, grouped_by: str | None) -> None:
    """The table per data source, pass@k, and what went wrong."""
    numbers = ("rows", "mean", "correct", "no answer", "errors", "CPU ms/row")
    made = table("data source", *numbers, numbers=numbers)
    for name, tally in sorted(summary.tallies.items()):
        made.add_row(*_tally_row(name, tally))
    if len(summary.tallies) > 1:
        made.add_section()
        made.add_row(*_tally_row("all", summary.total()), style="bold")
    console.print(made)
    _show_passes(console, summary.passes(), grouped_by)
    if summary.flags:
        found = ", ".join(f"{name} {count:,}" for name, count in summary.flags.most_common(8))
        console.print(f"Flags (what looked like reward hacking): {clean(found)}", markup=False)
    for reason, count in summary.reasons.most_common():
        lines = ", ".join(f"{line:,}" for line in summary.error_lines[reason])
        more = ", …" if count > len(summary.error_lines[reason]) else ""
        meaning = REASONS[Reason(reason)][2]
        first = clean(summary.messages.get(reason, ""))[:200]
        text = f"{count:,} × {reason} ({meaning}): line {lines}{more}"
        console.print(Text(f"{text}\n    {first}" if first else text, style="red"))
    for name, versions in sorted(summary.versions.items()):
        if len(versions) > 1:
            text = f"Handler {name} judged with versions {', '.join(sorted(versions))}: --overwrite for one"
            console.print(Text(text, style="yellow"))


def _tally_row(name: str, tally: Tally) -> list[str | Text]:
    return [
        Text(clean(name)),
        f"{tally.rows:,}",
        NONE if tally.mean is None else f"{tally.mean:.3f}",
        f"{tally.correct:,}",
        percent(tally.no_answer_rate),
        f"{tally.errors:,}" if tally.errors else NONE,
        f"{tally.verify_ms / tally.timed:.3f}" if tally.timed else NONE,
    ]


def _show_passes(console: Console, passes: list[Passes], grouped_by: str | None) -> None:
    if not passes:
        return
    ks = sorted({k for one in passes for k in one.pass_at})
    if len(ks) > PASS_COLUMNS:
        ks = [*ks[: PASS_COLUMNS - 1], ks[-1]]
    numbers = ("prompts", "samples each", "avg@n", *(f"pass@{k}" for k in ks))
    title = f"Rows that share a prompt (by {escape(clean(grouped_by or ''))})"
    made = table("data source", *numbers, numbers=numbers, title=title)
    for one in passes:
        made.add_row(
            Text(clean(one.data_source)),
            f"{one.prompts:,}",
            str(one.most) if one.fewest == one.most else f"{one.fewest}–{one.most}",
            f"{one.avg:.3f}",
            *(f"{one.pass_at[k]:.3f}" if k in one.pass_at else NONE for k in ks),
        )
    console.print(made)


def source_row(source: Source, handler: Handler) -> dict[str, Any]:
    """A data source as plain data: the same fields as /v1/data-sources."""
    example: Example = source.example
    return {
        "data_source": source.name,
        "aliases": list(source.aliases),
        "domain": handler.domain.value,
        "handler": handler.name,
        "version": handler.version,
        "rule": handler.summary,
        "ground_truth": source.gold,
        "reads": list(handler.reads),
        "example": {
            "data_source": source.name.rstrip("*"),
            "response": example.response,
            "ground_truth": example.ground_truth,
            "extra_info": dict(example.extra_info),
        },
    }


def source_rows(registry: Registry) -> list[dict[str, Any]]:
    """Every data source of a registry, by domain and name."""
    rows = [
        source_row(source, handler) for handler in registry.handlers.values() for source in handler.sources
    ]
    return sorted(rows, key=lambda row: (row["domain"], row["handler"], row["data_source"]))


def show_sources(console: Console, rows: list[dict[str, Any]]) -> None:
    """What is routed where."""
    made = table("data source", "domain", "handler", "ground truth")
    for row in rows:
        handler = f"{row['handler']} {row['version']}"
        made.add_row(row["data_source"], row["domain"], handler, Text(row["ground_truth"]))
    console.print(made)
    console.print("A name with * stands for every name that begins so. For one of them, with an example:")
    console.print("  reward-service data-sources NAME", style="bold")


def show_source(console: Console, row: Mapping[str, Any]) -> None:
    """One data source: its rule, its format, and a row that scores 1."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    made.add_row("data source", Text(row["data_source"]))
    if row["aliases"]:
        made.add_row("also called", Text(", ".join(row["aliases"])))
    made.add_row("domain", row["domain"])
    made.add_row("handler", f"{row['handler']} {row['version']}")
    made.add_row("rule", Text(row["rule"]))
    made.add_row("ground truth", Text(row["ground_truth"]))
    made.add_row("extra_info read", ", ".join(row["reads"]) or NONE)
    console.print(made)
    console.print("\nA row that scores 1:")
    # One line that can be pasted into a dump: not wrapped, not coloured.
    console.print(
        json.dumps(row["example"], ensure_ascii=False), soft_wrap=True, markup=False, highlight=False
    )


@contextmanager
def progress(console: Console, name: str, *, quiet: bool) -> Iterator[Watch]:
    """Something to call with each `bulk.Progress`."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console, name) as watch:
            yield watch
    else:
        yield _Log(console)


class _Log:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._last = time.monotonic()

    def __call__(self, now: Progress) -> None:
        moment = time.monotonic()
        if moment - self._last < LOG_SECONDS:
            return
        self._last = moment
        rate = (now.rows - now.resumed) / (moment - self._started)
        share = f", {100 * now.done / now.total:.0f} % read" if now.total else ""
        self._console.print(f"{now.rows:,} rows{share}, {rate:,.0f} rows/s", soft_wrap=True)


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Watch]:
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f}/s  ETA"),
        bars.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, rows=0, rate=0.0)
        started = time.monotonic()

        def watch(now: Progress) -> None:
            rate = (now.rows - now.resumed) / max(1e-3, time.monotonic() - started)
            bar.update(task, completed=now.done, total=now.total, rows=now.rows, rate=rate)

        yield watch


def comparison_rows(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values."""

    def counts(changes: Changes) -> dict[str, Any]:
        interval = changes.flips
        return {
            **{name: getattr(changes, name) for name in Changes.__slots__},
            "flip_share": None if changes.compared == 0 else round(interval.share, 6),
            "flip_share_95": None
            if changes.compared == 0
            else [round(interval.low, 6), round(interval.high, 6)],
        }

    return {
        "data_sources": {name: counts(changes) for name, changes in sorted(comparison.by_source.items())},
        "total": counts(comparison.total()),
        "flips": [flip._asdict() for flip in comparison.flips],
    }


def show_comparison(out: Console, comparison: Comparison) -> None:
    """The flips of a comparison, per data source and one by one."""
    columns = (
        "data source",
        "rows",
        "compared",
        "wrong → right",
        "right → wrong",
        "partial",
        "flips",
        "95 %",
        "only before",
        "only now",
    )
    made = table(*columns, numbers=columns[1:])
    sources = sorted(comparison.by_source.items())
    for name, changes in [*sources, ("all", comparison.total())] if len(sources) != 1 else sources:
        interval = changes.flips
        share = NONE if not changes.compared else f"{100 * interval.share:.2f} %"
        span = NONE if not changes.compared else f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"
        numbers = (changes.rows, changes.compared, changes.up, changes.down, changes.partial)
        made.add_row(
            clean(name),
            *(f"{number:,}" for number in numbers),
            share,
            span,
            f"{changes.only_before:,}",
            f"{changes.only_now:,}",
        )
    out.print(made)
    if not comparison.flips:
        return
    flipped = table(
        "line",
        "data source",
        "before",
        "now",
        "reason before",
        "reason now",
        "extracted",
        numbers=("line", "before", "now"),
    )
    for flip in comparison.flips:
        extracted = clean(str(flip.extracted))[:60] if flip.extracted is not None else NONE
        flipped.add_row(
            str(flip.line), clean(flip.data_source), f"{flip.before:g}", f"{flip.now:g}", clean(flip.reason_before) or NONE,
            flip.reason_now, Text(extracted),
        )  # fmt: skip
    out.print(flipped)


def show_filter(out: Console, found: Found, path: Path) -> None:
    """What a difficulty filter kept, dropped, and why not to trust some of it."""
    columns = (
        "data source",
        "prompts",
        "kept",
        "too easy",
        "impossible",
        "undecided",
        "suspects",
        "rows",
        "kept rows",
    )
    made = table(*columns, numbers=columns[1:])
    lines = sorted(found.sources.items())
    for name, line in [*lines, ("all", found.total)] if len(lines) != 1 else lines:
        counts = [
            line.prompts,
            *(line.verdicts[verdict] for verdict in Verdict),
            line.suspects,
            line.rows,
            line.rows_kept,
        ]
        made.add_row(Text(clean(name)), *(f"{count:,}" for count in counts))
    out.print(made)
    total = found.total
    notes = [
        (total.because[Cause.NO_ANSWER], "impossible only because of samples without an answer"),
        (total.because[Cause.UNCLEAR], "impossible only because of ambiguous or malformed answers"),
        (total.because[Cause.LIMITS], "impossible only because of time, memory or output limits"),
        (
            total.errors_would_drop,
            "would be dropped as impossible if errors counted as failures (here they never do)",
        ),
        (total.errors_may_matter, "dropped, but could have been kept had their errors been judged"),
        (total.undecided_by_errors, "undecided, with errors among their samples: score those again"),
        (total.suspects, "impossible, but suspected of a verifier that rejects right answers"),
    ]
    for count, words in notes:
        if count:
            out.print(f"{count:,} prompt{'' if count == 1 else 's'}: {words}", markup=False, soft_wrap=True)
    reasons = ", ".join(f"{one.value} {count:,}" for one, count in total.suspicions.most_common())
    if reasons:
        out.print(f"    {reasons}", markup=False, soft_wrap=True)
    for suspect in [one for one in found.suspects if one.line][:SHOWN_SUSPECTS]:
        text = f"{suspect.file}:{suspect.line} {suspect.data_source}: read {suspect.extracted!r}, ground truth {suspect.ground_truth!r}"
        out.print(f"    {clean(text)}", markup=False, soft_wrap=True)
    for count, words in (
        (found.unreadable, "rows name no prompt and were left out"),
        (found.other_models, "rows are of other models"),
        (found.not_scored, "rows of the data set have no scored sample and were left out"),
    ):
        if count:
            out.print(f"{count:,} {words}", markup=False, soft_wrap=True)
    out.print(
        f"{total.rows_kept:,} rows of {total.verdicts[Verdict.KEPT]:,} prompts kept -> {path}",
        markup=False,
        soft_wrap=True,
    )
