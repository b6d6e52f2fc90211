"""An audit's report: for people, as JSON, and one line to get each violation again.

What is decided here: what a person needs first: which handler, what was demanded, what came, and the smallest response that
does it. Everything from a row is shown with its control characters written out.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from rich.console import Console
from rich.text import Text

from reward_service.audit.accepted import Accepted
from reward_service.audit.model import Demand, Probe
from reward_service.audit.run import Found, Key, Report
from reward_service.commands.terminal import table

COMMAND_LIMIT = 1_500
"""Characters of a command that anybody would paste."""
SHOWN = 160
WORDS = {Demand.ACCEPT: "must score 1", Demand.REJECT: "must score 0", Demand.INVARIANT: "must always hold"}


def quoted(text: str) -> str:
    """A shell word on one line."""
    if text.isprintable():
        return shlex.quote(text)
    body = "".join(_ESCAPES.get(char, char if char.isprintable() else _numbered(char)) for char in text)
    return f"$'{body}'"


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def _numbered(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def command(probe: Probe) -> str | None:
    """How to get the verdict again, on one line; None if it would be too long to paste."""
    fields = probe.fields()
    words = ["reward-service", "explain", "--data-source", quoted(str(fields["data_source"]))]
    words += ["--response", quoted(probe.response)]
    gold = fields.get("ground_truth")
    words += ["--ground-truth", quoted(_as_argument(gold))]
    extra = dict(fields.get("extra_info") or {})
    if fields.get("prompt") is not None:
        extra.setdefault("question", probe.subject.question)
    if extra:
        words += ["--extra-info", quoted(json.dumps(extra, ensure_ascii=False))]
    if fields["profile"] != "strict":
        words += ["--profile", str(fields["profile"])]
    line = " ".join(words)
    return line if len(line) <= COMMAND_LIMIT else None


def _as_argument(gold: Any) -> str:
    """`explain` takes JSON if it reads as JSON, else text."""
    if not isinstance(gold, str):
        return json.dumps(gold, ensure_ascii=False)
    try:
        json.loads(gold)
    except ValueError:
        return gold
    return json.dumps(gold, ensure_ascii=False)


def as_data(report: Report, accepted: Accepted, seed: int) -> dict[str, Any]:
    """The whole report as plain data."""
    return {
        "seed": seed,
        "judged": report.judged,
        "sources": [
            {
                "data_source": name,
                "handler": source.handler,
                "version": source.version,
                "rows": source.rows,
                "probes": {demand.value: source.probes[demand] for demand in Demand},
                "not_judged": dict(source.not_judged),
                "unusable_rows": source.unusable[:100],
                "rows_without_a_right_answer": source.without_right,
            }
            for name, source in report.sources.items()
        ],
        "violations": [_violation(report, key, found) for key, found in ordered(report)],
        "argued": [
            {"data_source": k.source, "violation": k.name, "count": n} for k, n in report.argued.items()
        ],
        "unused_entries": [entry.model_dump(exclude_none=True) for entry in accepted.unused()],
    }


def ordered(report: Report) -> list[tuple[Key, Found]]:
    """The violations, by handler."""
    return sorted(report.violations.items(), key=lambda pair: (pair[0].source, pair[0].demand, pair[0].name))


def _violation(report: Report, key: Key, found: Found) -> dict[str, Any]:
    smallest = found.smallest
    return {
        "data_source": key.source,
        "handler": report.sources[key.source].handler,
        "violation": key.name,
        "kind": key.demand.value,
        "count": found.count,
        "problem": smallest.problem,
        "row": smallest.probe.subject.number,
        "item": smallest.probe.fields(),
        "extracted": smallest.result.get("extracted"),
        "explain": command(smallest.probe),
    }


def show(out: Console, report: Report, accepted: Accepted, saved: str | None) -> None:
    """For people."""
    _show_sources(out, report)
    for number, (key, found) in enumerate(ordered(report), 1):
        _show_violation(out, number, key, found, saved)
    total = sum(found.count for found in report.violations.values())
    argued = f", {report.argued.total():,} argued" if report.argued else ""
    words = "no violation" if not total else f"{total:,} violations of {len(report.violations)} kinds"
    out.print(f"{report.judged:,} probes: {words}{argued}", style="bold red" if total else "bold green")
    for entry in accepted.unused():
        text = f"unused: {entry.violation} {entry.data_source or ''}: {entry.reason}"
        out.print(text, markup=False, style="yellow", soft_wrap=True)


def _show_sources(out: Console, report: Report) -> None:
    numbers = ("rows", "must be 1", "must be 0", "invariants", "violations", "not judged")
    shown = table("data source", "handler", *numbers, numbers=numbers)
    for name, source in report.sources.items():
        violations = sum(found.count for key, found in report.violations.items() if key.source == name)
        shown.add_row(
            Text(name),
            f"{source.handler} {source.version}",
            f"{source.rows:,}",
            *(f"{source.probes[demand]:,}" for demand in Demand),
            Text(f"{violations:,}", style="bold red" if violations else ""),
            Text(f"{source.not_judged.total():,}", style="yellow" if source.not_judged else ""),
        )
    out.print(shown)
    for name, source in report.sources.items():
        if source.not_judged:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in source.not_judged.items())
            out.print(f"{name}: not judged: {reasons}", markup=False, style="yellow", soft_wrap=True)
        if source.unusable:
            rows = ", ".join(map(str, source.unusable[:8])) + (", …" if len(source.unusable) > 8 else "")
            words = f"{name}: {len(source.unusable):,} rows are of no use (malformed): row {rows}"
            out.print(words, markup=False, style="yellow", soft_wrap=True)
        if source.without_right:
            words = f"{name}: no right answer is known for {source.without_right:,} rows (see docs/audit.md)"
            out.print(words, markup=False, style="dim", soft_wrap=True)


def _show_violation(out: Console, number: int, key: Key, found: Found, saved: str | None) -> None:
    smallest = found.smallest
    probe = smallest.probe
    out.print()
    head = f"{number}. {key.source}: {key.name} {WORDS[key.demand]}, got {smallest.problem}"
    out.print(head, markup=False, style="bold", soft_wrap=True)
    more = f" and {found.count - 1:,} more like it" if found.count > 1 else ""
    out.print(f"   row {probe.subject.number}{more}", markup=False, soft_wrap=True)
    fields = probe.fields()
    out.print(f"   ground truth {short(fields.get('ground_truth'))}", markup=False, soft_wrap=True)
    out.print(f"   response     {short(probe.response)}", markup=False, soft_wrap=True)
    if smallest.result.get("extracted") is not None:
        out.print(f"   extracted    {short(smallest.result['extracted'])}", markup=False, soft_wrap=True)
    line = command(probe)
    if line is None and saved is not None:
        line = f"reward-service explain {shlex.quote(saved)} --line {number}"
    out.print(
        f"   {line or 'too long for a command line: --save FILE keeps it'}", markup=False, soft_wrap=True
    )


def short(value: Any) -> str:
    """A value as one short line."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > SHOWN:
        text = f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"
    return "".join(char if char.isprintable() else _numbered(char) for char in text)
