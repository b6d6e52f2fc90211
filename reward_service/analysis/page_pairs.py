"""The report's comparison of two files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reward_service.analysis import charts
from reward_service.analysis.comparison import Paired, Pairs
from reward_service.analysis.flips import Changes
from reward_service.analysis.markup import Content, Html, safe, tag
from reward_service.analysis.measures import Line
from reward_service.analysis.page_parts import SHOWN_SOURCES, Report, cells_row, table, with_ends
from reward_service.analysis.page_rows import sample_shown
from reward_service.analysis.statistics import NO_INTERVAL

SHOWN_FLIPS = 30


def comparison(report: Report, whole: Line) -> Html:
    """Against another file; nothing if there is none."""
    pairs = report.pairs
    if pairs is None:
        return Html("")
    matched = pairs.now.rows - pairs.now.unmatched
    parts: list[Content] = [
        tag(
            "p",
            f"Before: {report.before_name}, {pairs.before.rows:,} rows, {pairs.before.errors:,} not judged, mean score "
            f"{charts.interval(report.before_mean)}. Now: {pairs.now.rows:,} rows, {pairs.now.errors:,} not judged, mean score "
            f"{charts.interval(whole.mean)}. {matched:,} rows are in both, with the same response.",
            class_="lead",
        )
    ]
    if matched:
        parts.append(_verdicts(pairs))
    paired = pairs.paired()
    if paired and matched < pairs.now.rows:
        parts.append(_paired(paired))
    if not matched and not paired:
        parts.append(
            tag(
                "p",
                "The files share neither a row nor a prompt: only the means above can be compared.",
                class_="notice",
            )
        )
    flips = pairs.flips(SHOWN_FLIPS)
    if flips:
        parts.append(tag("h3", "Flips to look at"))
        parts += [sample_shown(report, flipped.sample, flipped) for flipped in flips]
    return safe(parts)


def _verdicts(pairs: Pairs) -> Html:
    columns = (
        "data source",
        "in both",
        "judged by both",
        "wrong → right",
        "right → wrong",
        "other score",
        "flips",
        "only before",
        "only now",
    )
    shares = pairs.flip_shares()
    numbers = range(1, len(columns))

    def row(name: str, changes: Changes, class_: str | None = None) -> Html:
        counts = (changes.rows, changes.compared, changes.up, changes.down, changes.partial)
        cells: list[Content] = [
            name,
            *(f"{count:,}" for count in counts),
            with_ends(shares.get(name, NO_INTERVAL), share=True),
        ]
        return cells_row([*cells, f"{changes.only_before:,}", f"{changes.only_now:,}"], numbers, class_)

    rows = [row(name, changes) for name, changes in sorted(pairs.verdicts.by_source.items())[:SHOWN_SOURCES]]
    rows.append(row("all", pairs.verdicts.total(), "total"))
    words = "The same responses judged twice: a flip is another verdict, so the verifier changed. Only before, only now: judged once."
    return safe(
        [
            tag("h3", "Verdicts"),
            tag("p", words, class_="lead"),
            table(columns, rows, numbers=numbers, caption="Flips by data source"),
        ]
    )


def _paired(paired: Sequence[Paired]) -> Html:
    columns = (
        "data source",
        "prompts in both",
        "before",
        "now",
        "change",
        "− … +",
        "better",
        "worse",
        "same",
    )
    numbers = (1, 2, 3, 4, 6, 7, 8)
    reach = (
        min(1.0, max((abs(end) for one in paired for end in one.change if not math.isnan(end)), default=0.0))
        or 1.0
    )
    rows = []
    for one in paired:
        words = f"{one.change.share:+.3f}"
        if not math.isnan(one.change.low):
            words += f" ({one.change.low:+.3f} to {one.change.high:+.3f})"
        cells: list[Content] = [
            one.name, f"{one.prompts:,}", f"{one.before:.3f}", f"{one.now:.3f}", words, charts.change(one.change, words, reach),
            f"{one.better:,}", f"{one.worse:,}", f"{one.prompts - one.better - one.worse:,}",
        ]  # fmt: skip
        rows.append(cells_row(cells, numbers, "total" if one.name == "all" and len(paired) > 1 else None))
    words = (
        "Prompts that both files judged: the mean over prompts of each prompt's mean score, and of its change (95 %, Student's t over "
        "prompts). An interval that leaves out 0 is a real change of the policy or of the verifier."
    )
    return safe(
        [
            tag("h3", "Prompts"),
            tag("p", words, class_="lead"),
            table(columns, rows, numbers=numbers, caption="Change by data source"),
        ]
    )
