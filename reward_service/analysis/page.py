"""The report as one page: what it shows, in which order, and in which words.

What is decided here: the page is read from the top by somebody who wants to know whether these rewards can be trusted. First
what was not judged, then how good the policy is and how sure that is, then what could be wrong with it: prompts that teach
nothing, length, reasons, flags, and rows to look at with one's own eyes.
"""

from __future__ import annotations

from importlib import resources

from reward_service.analysis import page_scores as figures
from reward_service.analysis.markup import Html, document, link, safe, tag
from reward_service.analysis.measures import Kind, Line
from reward_service.analysis.page_pairs import comparison
from reward_service.analysis.page_parts import Report, ends, percent, short, span
from reward_service.analysis.page_rows import samples


def render(report: Report) -> str:
    """The page."""
    whole, domains, sources = report.measures.lines()
    sections = [
        ("scores", "Scores", figures.scores(whole, domains, sources)),
        ("comparison", f"Against {report.before_name}", comparison(report, whole)),
        ("pass", "pass@k", figures.passes(report, whole, domains, sources)),
        ("prompts", "Prompts by pass rate", figures.rates(whole, domains)),
        ("length", "Score against response length", figures.lengths(whole, domains)),
        ("reasons", "Reasons", figures.reasons(whole, domains, sources)),
        ("errors", "Not judged", figures.errors(report, whole, sources)),
        ("flags", "Flags", figures.flags(report, whole)),
        ("slow", "Slowest rows", figures.slowest(report)),
        ("wrong", "Wrong and partly right answers to look at", samples(report, Kind.WRONG)),
        ("flagged", "Flagged rows to look at", samples(report, Kind.FLAGGED)),
        ("no-answer", "Responses without an answer", samples(report, Kind.NO_ANSWER)),
        ("not-judged", "Rows that were not judged", samples(report, Kind.ERROR)),
        ("methods", "How to read this", _methods(report)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    places = tag("ul", [tag("li", link(anchor, title)) for anchor, title, _ in shown])
    body = tag(
        "main",
        tag("h1", f"Rewards of {report.name}"),
        tag("p", f"{report.generated} · Reward Service {report.version}", class_="lead"),
        _notices(report, whole),
        _cards(report, whole),
        tag("nav", places, aria_label="Sections"),
        [
            tag(
                "section",
                tag("h2", title, id=f"{anchor}-title"),
                body,
                id=anchor,
                aria_labelledby=f"{anchor}-title",
            )
            for anchor, title, body in shown
        ],
        tag("footer", f"Made by Reward Service {report.version}. This page loads nothing and runs nothing."),
        class_="report",
        id="main",
    )
    return document(f"Rewards of {report.name}", style(), safe([_skip(), body]))


def style() -> str:
    """The pages' common style sheet, and the report's own."""
    common = resources.files("reward_service.gateway").joinpath("static/base.css").read_text("utf-8")
    own = resources.files("reward_service.analysis").joinpath("report.css").read_text("utf-8")
    return common + own


def _skip() -> Html:
    return Html('<a class="skip" href="#main">Skip to the content</a>')


def _notices(report: Report, whole: Line) -> Html:
    found: list[Html] = []
    if not whole.rows:
        found.append(tag("p", "There are no rows.", class_="notice bad"))
    if whole.errors:
        words = (
            f"{whole.errors:,} of {whole.rows:,} rows ({percent(whole.errors / whole.rows)}) were not judged. They are masked: they "
            "have no score, and no figure on this page counts them as 0. "
        )
        found.append(tag("p", words, link("errors", "What they are"), class_="notice bad"))
    for name, versions in sorted(report.measures.versions.items()):
        if len(versions) > 1:
            words = f"Handler {name} judged with versions {', '.join(sorted(versions))}: scores of different versions may not compare."
            found.append(tag("p", words, class_="notice"))
    changed = [line for line, told in report.told.items() if told.get("differs")]
    if changed:
        lines = ", ".join(f"{line:,}" for line in sorted(changed)[:10])
        words = (
            f"{len(changed)} of the {len(report.told)} rows shown below get another verdict from the handlers of this version "
            f"(lines {lines}): `reward-service rescore` judges all rows again."
        )
        found.append(tag("p", words, class_="notice"))
    if report.why_not_told:
        found.append(tag("p", report.why_not_told, class_="notice"))
    return safe(found)


def _cards(report: Report, whole: Line) -> Html:
    def card(name: str, value: str, more: str = "", class_: str = "") -> Html:
        return tag(
            "div",
            tag("dt", name),
            tag("dd", value, class_=class_ or None),
            tag("dd", more, class_="more"),
            class_="card",
        )

    cards = [
        card("rows", f"{whole.rows:,}", f"{whole.judged:,} judged"),
        card("mean score", short(whole.mean), ends(whole.mean)),
        card("correct", percent(whole.correct.share), span(whole.correct)),
        card("no answer", percent(whole.no_answer.share), span(whole.no_answer)),
        card("not judged", f"{whole.errors:,}", "masked, not 0", "bad" if whole.errors else ""),
        card("flagged", f"{whole.flagged:,}", percent(whole.flagged / whole.rows) if whole.rows else ""),
    ]
    if whole.prompts:
        each = f"{whole.fewest}" if whole.fewest == whole.most else f"{whole.fewest} to {whole.most}"
        cards.append(
            card("prompts", f"{whole.prompts:,}", f"{each} judged samples each, by {report.grouped_by}")
        )
    if whole.pass_at:
        best = whole.pass_at[-1]
        cards.append(
            card(
                f"pass@{best.k}",
                percent(best.interval.share),
                f"pass@1 {percent(whole.pass_at[0].interval.share)}",
            )
        )
    return tag("dl", cards, class_="cards")


def _methods(report: Report) -> Html:
    points = (
        "A row that was not judged has no score. It is counted, listed, and left out of everything else; n in pass@k counts judged "
        "samples only.",
        "Shares (correct, no answer, flips) have Wilson's interval at 95 %. Where samples share prompts, it is that of as many "
        "independent rows as would vary as the prompts do, with Student's t (Korn and Graubard 1998).",
        "Means have mean ± t · standard error, kept within the range of scores. Where samples share prompts, the standard error is that "
        "of a cluster sample with the prompt as cluster. With one prompt there is no interval.",
        "Correct is full marks. Partial credit enters the mean score and no share.",
        "pass@k is 1 − C(n − c, k) / C(n, k) for n judged samples of which c are correct (Chen et al. 2021), averaged over prompts.",
        "Rows to look at are drawn at random, a few of each data source, and are the same whenever this report is made. What is shown "
        "beside a response (rule, detail) is what the handlers of this version say about it now.",
        "Long texts are cut in the middle. Characters that would move or hide text are written as \\uXXXX.",
    )
    grouped = (
        f"Samples of one prompt are rows with the same {report.grouped_by}."
        if report.grouped_by
        else "No row names its prompt."
    )
    items = [
        tag("li", point) for point in (*points, grouped, f"The judgement is in the column {report.column!r}.")
    ]
    return tag("ul", items, class_="methods-list")
