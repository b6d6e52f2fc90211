"""The report's rows to look at: what was said, what was read out of it, and why it got its score.

What is decided here: the end of a response is what is seen first, because answers stand there; what was extracted is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_service.analysis.comparison import Flipped
from reward_service.analysis.markup import Content, Html, safe, tag
from reward_service.analysis.measures import Kind, Sample
from reward_service.analysis.page_parts import NONE, Report, meaning

SHOWN_SAMPLES = 40
EXTRACT = 80
DEPTH = 5
CHECKS = 12


def samples(report: Report, kind: Kind) -> Html:
    """Rows of a kind."""
    found = report.measures.samples(kind, SHOWN_SAMPLES)
    if not found:
        return Html("")
    return safe([sample_shown(report, sample) for sample in found])


def sample_shown(report: Report, sample: Sample, flipped: Flipped | None = None) -> Html:
    """One row, closed until it is opened."""
    row = sample.judged
    found = row.found
    told = report.told.get(sample.line, {})
    extract = NONE if found.extracted is None else found.extracted[:EXTRACT]
    tags = [tag("span", found.reason or NONE, class_="tag")]
    if flipped is not None:
        way = "good" if flipped.now >= 1.0 else "bad"
        tags = [
            tag("span", f"{flipped.before:g} → {flipped.now:g}", class_=f"tag {way}"),
            tag("span", f"{flipped.reason_before or NONE} → {flipped.reason_now or NONE}", class_="tag"),
        ]
    tags += [tag("span", flag, class_="tag warn") for flag in found.flags]
    if told.get("differs"):
        tags.append(tag("span", "another verdict now", class_="tag bad"))
    summary = tag(
        "summary",
        tag("strong", sample.data_source),
        tag(
            "span",
            f"line {sample.line:,}" + (f", id {row.name}" if row.name is not None else ""),
            class_="muted",
        ),
        tags,
        tag("span", extract, class_="extract"),
    )
    facts: list[tuple[str, Content]] = [
        ("score", "not judged" if found.score is None else f"{found.score:g}"),
        ("reason", f"{found.reason}: {meaning(found.reason)}" if meaning(found.reason) else found.reason),
        ("extracted", NONE if found.extracted is None else tag("code", found.extracted[:1_000])),
        ("ground truth", tag("code", sample.ground_truth) if sample.ground_truth else NONE),
    ]
    if found.message:
        facts.append(("message", found.message[:1_000]))
    if found.handler:
        facts.append(("handler", f"{found.handler} {found.version}"))
    if told:
        facts += _told(told)
    inside = tag(
        "div",
        tag(
            "div",
            tag("h3", f"Response ({sample.response_chars:,} characters)"),
            tag("pre", tag("span", _marked(sample, told)), class_="end", tabindex=0),
        ),
        tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in facts], class_="facts"),
        tag("div", tag("h3", "Prompt"), tag("pre", sample.prompt, tabindex=0), class_="whole")
        if sample.prompt
        else None,
        class_="inside",
    )
    return tag("details", summary, inside, class_="card sample")


def _marked(sample: Sample, told: Mapping[str, Any]) -> Content:
    """The response with the place marked that the handler read, else the last one that reads like what was extracted."""
    response, extracted = sample.response, sample.judged.found.extracted
    place = told.get("extraction") or {}
    start, end = place.get("start"), place.get("end")
    if start is None or end is None or len(response) != sample.response_chars:
        start = response.rfind(extracted) if extracted else -1
        end = start + len(extracted or "")
    if not 0 <= start < end:
        return response
    return safe([response[:start], tag("mark", response[start:end]), response[end:]])


def _told(told: Mapping[str, Any]) -> list[tuple[str, Content]]:
    """What the handlers of this version say."""
    facts: list[tuple[str, Content]] = [("rule", str(told.get("rule") or NONE))]
    if told.get("differs"):
        score = "not judged" if told["score"] is None else f"{told['score']:g}"
        facts.append(("judged now", f"{score}, {told['reason']} ({told['handler']} {told['version']})"))
    if told.get("needed"):
        facts.append(("what is missing", str(told["needed"])))
    if place := told.get("extraction"):
        facts.append(
            (
                "read by",
                f"{place.get('rule') or 'the rule'}{' (place found by search)' if place.get('by_search') else ''}",
            )
        )
    for form in told.get("forms", ()):
        words = f"{form.get('answer')} ≟ {form.get('ground_truth')}"
        facts.append(
            (f"compared as {form['what']}" if form.get("what") else "compared", tag("code", words[:800]))
        )
    for step in told.get("comparators", ()):
        words = f"{step.get('said')}{': ' if step.get('note') else ''}{step.get('note', '')}"
        facts.append((str(step.get("comparator")), tag("strong", words) if step.get("fired") else words))
    for check in list(told.get("checks", ()))[:CHECKS]:
        rest = {key: value for key, value in check.items() if key not in ("name", "passed", "about")}
        facts.append(
            (f"{'✓' if check.get('passed') else '✗'} {check.get('name')}", _value(rest) if rest else "")
        )
    for part in ("detail", "trace"):
        facts += [
            (str(name), _value(value))
            for name, value in dict(told.get(part) or {}).items()
            if name != "message"
        ]
    return facts


def _value(value: Any, depth: int = 0) -> Content:
    """JSON data as lists of facts, and text."""
    if isinstance(value, Mapping) and value and depth < DEPTH:
        pairs = list(value.items())[:32]
        return tag(
            "dl",
            [(tag("dt", str(key)), tag("dd", _value(one, depth + 1))) for key, one in pairs],
            class_="facts",
        )
    if isinstance(value, list) and any(isinstance(one, Mapping) for one in value) and depth < DEPTH:
        return safe(
            [_value(one, depth + 1) for one in value[:12]]
            + ([f"… {len(value) - 12} more"] if len(value) > 12 else [])
        )
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 800 else f"{text[:800]}… ({len(text):,} characters)"
