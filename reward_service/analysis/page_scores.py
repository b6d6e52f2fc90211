"""The report's figures and tables of one dump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reward_service.analysis import charts
from reward_service.analysis.charts import Point, Series, si
from reward_service.analysis.markup import Content, Html, safe, tag
from reward_service.analysis.measures import Line
from reward_service.analysis.page_parts import (
    NONE,
    SHOWN_SOURCES,
    Report,
    cells_row,
    meaning,
    percent,
    table,
    with_ends,
)
from reward_service.analysis.statistics import PassAt

COLOURS = [f"s{number}" for number in range(9)]
CLASSES = {
    "r-right": ("right", ("equal", "tests_passed", "judge_yes", "correct")),
    "r-part": ("partly right", ("partially_equal",)),
    "r-wrong": ("wrong", ("not_equal", "tests_failed", "judge_no", "constraint_violated", "not correct")),
    "r-unclear": ("ambiguous or malformed", ("ambiguous_answer", "malformed_answer")),
    "r-none": ("no answer", ("no_answer",)),
    "r-limit": ("over a limit", ("time_limit", "memory_limit", "output_limit", "budget_exceeded")),
    "r-code": ("does not run", ("compile_error", "runtime_error")),
    "r-other": ("other", ()),
}
"""Colour class -> what it stands for, and the reasons that have it."""
CLASS_OF = {reason: name for name, (_, reasons) in CLASSES.items() for reason in reasons}


def scores(whole: Line, domains: Sequence[Line], sources: Sequence[Line]) -> Html:
    """Tables of scores by domain and data source."""
    columns = (
        "data source", "rows", "not judged", "mean score", "0 … 1", "correct", "no answer", "flagged",
        "prompts", "all wrong", "all right", "handler",
    )  # fmt: skip
    numbers = (1, 2, 3, 5, 6, 7, 8, 9, 10)

    def row(line: Line, name: Content, class_: str | None = None) -> Html:
        stuck = (NONE, NONE) if line.stuck is None else (percent(line.stuck[0], 0), percent(line.stuck[1], 0))
        words = f"mean score {charts.interval(line.mean)}"
        # With scores of 0 and 1 only, the mean is the share, and one interval is enough.
        correct = (
            percent(line.correct.share) if line.mean == line.correct else with_ends(line.correct, share=True)
        )
        handlers = ", ".join(f"{name} {version}" for name, version in sorted(line.handlers)[:3])
        cells: list[Content] = [
            name, f"{line.rows:,}", f"{line.errors:,}" if line.errors else NONE, with_ends(line.mean),
            charts.strip(line.mean, words), correct, percent(line.no_answer.share),
            f"{line.flagged:,}" if line.flagged else NONE, f"{line.prompts:,}" if line.prompts else NONE, *stuck, handlers,
        ]  # fmt: skip
        return cells_row(cells, numbers, class_)

    by_domain = [row(line, line.name) for line in domains]
    if len(domains) > 1:
        by_domain.append(row(replace(whole, handlers=frozenset()), "all", "total"))
    by_source: list[Html] = []
    domain = None
    for line in sources[:SHOWN_SOURCES]:
        if line.domain != domain:
            domain = line.domain
            by_source.append(
                tag("tr", tag("th", domain, colspan=len(columns), scope="rowgroup"), class_="group")
            )
        by_source.append(row(line, line.name))
    more = len(sources) - SHOWN_SOURCES
    return safe(
        [
            tag(
                "p",
                "Means and shares are over judged rows, with 95 % intervals. All wrong and all right: shares of the prompts with "
                "several judged samples that a group-relative update learns nothing from.",
                class_="lead",
            ),
            tag("h3", "By domain"),
            table(
                ("domain", *columns[1:-1], "handlers"), by_domain, numbers=numbers, caption="Scores by domain"
            ),
            tag("h3", "By data source"),
            table(columns, by_source, numbers=numbers, caption="Scores by data source"),
            tag("p", f"{more:,} more data sources are not shown.", class_="lead") if more > 0 else None,
        ]
    )


def passes(report: Report, whole: Line, domains: Sequence[Line], sources: Sequence[Line]) -> Html:
    """pass@k: curves by domain, and a table."""
    if not whole.pass_at:
        return Html("")

    def points(line: Line) -> list[Point]:
        found = []
        for at in _spread(line.pass_at):
            words = f"{line.name}: pass@{at.k} {charts.interval(at.interval)}, {at.prompts:,} prompts"
            found.append(Point(at.k, at.interval, words, at.prompts == line.pass_at[0].prompts))
        return found

    with_passes = [line for line in domains if line.pass_at]
    series = [
        Series(line.name, COLOURS[place % len(COLOURS)], points(line))
        for place, line in enumerate(with_passes)
    ]
    if len(with_passes) > 1:
        series.append(Series("all", "s8", points(whole)))
    chart = charts.line_chart(series, "pass@k by domain", "k", "pass@k", size=(720, 320))
    ks = _columns_of(whole.pass_at)
    numbers = range(1, 4 + len(ks))
    rows = []
    for line in [*[one for one in sources if one.pass_at][:SHOWN_SOURCES], whole]:
        at = {one.k: one.interval.share for one in line.pass_at}
        each = str(line.most) if line.fewest == line.most else f"{line.fewest} to {line.most}"
        cells: list[Content] = [line.name, f"{line.prompts:,}", each, with_ends(line.avg)]
        cells += [f"{at[k]:.3f}" if k in at else NONE for k in ks]
        rows.append(cells_row(cells, numbers, "total" if line is whole else None))
    return safe(
        [
            tag(
                "p",
                f"Rows are samples of one prompt by {report.grouped_by}. pass@k is the unbiased estimate of the chance that one of "
                "k samples is correct, over prompts with at least k judged samples; a curve is dashed where that is not every "
                "prompt. Bands are 95 % intervals over prompts.",
                class_="lead",
            ),
            tag(
                "figure",
                charts.legend([(one.name, one.colour) for one in series]),
                chart,
                class_="card wide",
            ),
            table(
                ("data source", "prompts", "samples each", "avg@n", *(f"pass@{k}" for k in ks)),
                rows,
                numbers=numbers,
                caption="pass@k by data source",
            ),
        ]
    )


def _spread(curve: Sequence[PassAt]) -> list[PassAt]:
    """At most some sixty points of a curve, evenly spread on a logarithmic scale, both ends among them."""
    if len(curve) <= 64:
        return list(curve)
    ks = {round(len(curve) ** (place / 60)) for place in range(61)}
    return [at for at in curve if at.k in ks]


def _columns_of(curve: Sequence[PassAt]) -> list[int]:
    powers = [at.k for at in curve if at.k & (at.k - 1) == 0]
    last = curve[-1].k
    return powers if powers[-1] == last else [*powers, last]


def rates(whole: Line, domains: Sequence[Line]) -> Html:
    """How many prompts have which pass rate, by domain."""
    if not whole.rates:
        return Html("")
    figures = []
    for line in _with_all(whole, domains):
        counts = [0] * 7
        for rate, prompts in line.rates:
            place = 0 if rate == 0 else 6 if rate == 1 else 1 + min(4, int(rate * 5))
            counts[place] += prompts
        names = ("0", "<.2", "<.4", "<.6", "<.8", "<1", "1")
        colours = ("r-wrong", *("s0",) * 5, "r-right")
        bars = list(zip(names, counts, colours, strict=True))
        title = f"{line.name}: prompts by the share of their samples that are correct"
        chart = charts.histogram(bars, title, "share of correct samples", size=(300, 150))
        figures.append(_figure(line.name, f"{line.prompts:,} prompts", chart))
    words = (
        "Each prompt once, by the share of its judged samples that are correct. Prompts at 0 may be too hard, or have a verifier that "
        "rejects right answers: look at their rows. `reward-service filter` drops prompts that are too easy or impossible."
    )
    return safe([tag("p", words, class_="lead"), tag("div", figures, class_="grid-of")])


def _with_all(whole: Line, domains: Sequence[Line]) -> list[Line]:
    """The domains in which something was judged, and all of them where that is more than one."""
    judged = [line for line in domains if line.judged]
    return judged if len(judged) == 1 else [whole, *judged]


def _figure(name: str, more: str, chart: Html) -> Html:
    return tag(
        "figure", tag("figcaption", name, " ", tag("span", more, class_="muted")), chart, class_="card"
    )


def _correlation(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}"


def lengths(whole: Line, domains: Sequence[Line]) -> Html:
    """Score against response length, by domain."""
    figures = []
    for line in _with_all(whole, domains):
        if not line.bins:
            continue
        title = f"{line.name}: mean score by response length"
        chart = charts.length_chart(line.bins, title, size=(340, 190))
        more = f"r = {_correlation(line.length)}" + (
            f", within prompts {_correlation(line.within)}" if line.within is not None else ""
        )
        figures.append(_figure(line.name, more, chart))
    if not figures:
        return Html("")
    words = (
        "Line: mean score with its 95 % interval (rows taken as independent); bars: how many responses are that long. r is Pearson's "
        "correlation of the score and the logarithm of the length; within prompts, of what differs between samples of one prompt, "
        "which the difficulty of prompts can't explain."
    )
    return safe([tag("p", words, class_="lead"), tag("div", figures, class_="grid-of")])


def reasons(whole: Line, domains: Sequence[Line], sources: Sequence[Line]) -> Html:
    """Why scores are what they are."""
    if not whole.reasons:
        return Html("")
    present = {CLASS_OF.get(reason, "r-other") for reason in whole.reasons}
    keys = [(words, name) for name, (words, _) in CLASSES.items() if name in present]
    bars = []
    for line in _with_all(whole, domains):
        parts = [
            (reason, count, CLASS_OF.get(reason, "r-other"))
            for reason, count in sorted(line.reasons.items(), key=lambda pair: (_order(pair[0]), -pair[1]))
        ]
        words = f"{line.name}: " + ", ".join(f"{reason} {count:,}" for reason, count, _ in parts)
        bars.append(cells_row([line.name, charts.shares(parts, words), f"{line.judged:,}"], (2,)))
    names = [name for name, _ in whole.reasons.most_common(12)]
    rows = [
        cells_row(
            [line.name, *(f"{line.reasons[name]:,}" if line.reasons[name] else NONE for name in names)],
            range(1, 13),
        )
        for line in sources[:SHOWN_SOURCES]
        if line.judged
    ]
    meanings = tag(
        "dl",
        [(tag("dt", name), tag("dd", meaning(name))) for name in names if meaning(name)],
        class_="facts",
    )
    return safe(
        [
            charts.legend(keys),
            table(
                ("domain", "judged rows by reason", "judged"), bars, numbers=(2,), caption="Reasons by domain"
            ),
            table(("data source", *names), rows, numbers=range(1, 13), caption="Reasons by data source"),
            tag("details", tag("summary", "What the reasons mean"), meanings),
        ]
    )


def _order(reason: str) -> int:
    return list(CLASSES).index(CLASS_OF.get(reason, "r-other"))


def errors(report: Report, whole: Line, sources: Sequence[Line]) -> Html:
    """What was not judged."""
    if not whole.errors:
        return Html("")
    rows = []
    for reason, count in whole.error_reasons.most_common():
        line, message = report.measures.messages.get(reason, (0, ""))
        where = ", ".join(
            f"{one.name} {one.error_reasons[reason]:,}"
            for one in sorted(sources, key=lambda one: -one.error_reasons[reason])[:4]
            if one.error_reasons[reason]
        )
        rows.append(
            cells_row(
                [
                    reason,
                    f"{count:,}",
                    meaning(reason),
                    where,
                    f"line {line:,}: {message[:300]}" if line else "",
                ],
                (1,),
            )
        )
    words = (
        "The service could not judge these rows. That says nothing about the policy: a trainer should mask them, and every mean, share "
        "and curve here leaves them out."
    )
    columns = ("reason", "rows", "meaning", "data sources", "the first")
    return safe(
        [tag("p", words, class_="lead"), table(columns, rows, numbers=(1,), caption="Rows not judged")]
    )


def flags(report: Report, whole: Line) -> Html:
    """What was flagged."""
    if not report.measures.flags:
        return Html("")
    rows = [
        cells_row([name, f"{count:,}", percent(count / whole.rows, 2)], (1, 2))
        for name, count in report.measures.flags.most_common()
    ]
    words = "What looked like reward hacking. A flag by itself changes no score."
    return safe(
        [
            tag("p", words, class_="lead"),
            table(("flag", "rows", "share"), rows, numbers=(1, 2), caption="Flags"),
        ]
    )


def slowest(report: Report) -> Html:
    """What took long."""
    found = report.measures.slowest.values()
    if not found:
        words = "This dump holds no times. `reward-service score --timings` records them, and results of a batch have them."
        return tag("p", words, class_="lead")
    numbers = (1, 3, 5)
    rows = [
        cells_row(
            [f"line {slow.line:,}", f"{slow.ms:,.1f}", slow.data_source, si(slow.response_chars), slow.reason,
             NONE if slow.score is None else f"{slow.score:g}"],
            numbers,
        )
        for slow in found
    ]  # fmt: skip
    mean = report.measures.milliseconds / max(1, report.measures.timed)
    words = f"CPU milliseconds of checking and running, and waiting for a judge; {mean:,.2f} on average of {report.measures.timed:,} rows."
    columns = ("row", "ms", "data source", "characters", "reason", "score")
    return safe(
        [tag("p", words, class_="lead"), table(columns, rows, numbers=numbers, caption="Slowest rows")]
    )
