"""An explanation as a terminal shows it.

What is decided here: the order in which a reader asks. What is the verdict and why; what was read, and where in the
response it stands; how both sides looked when they were compared, and who decided; which tests failed; what a right
answer would have needed. Everything that a response may have written is shown with its control characters as escapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_service.commands.terminal import NONE, table
from reward_service.visible import clean

AROUND = 400
"""Characters of the response that are shown before and after what was read."""
SHORT = 800
SAID = {"equal": "green", "not equal": "red", "can't say": "dim"}


def show_explained(console: Console, told: Mapping[str, Any]) -> None:
    """One judged item, for people."""
    error = told["status"] == "error"
    verdict = "error: not judged" if error else f"score {told['score']:g}"
    colour = "yellow" if error else ("green" if told["correct"] else "red")
    console.print(Text.assemble((verdict, f"bold {colour}"), f"  {told['reason']}: {told['reason_text']}"))
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    if told["needed"]:
        made.add_row("in short", Text(clean(told["needed"])))
    made.add_row("data source", Text(clean(_routed(told["routing"]))))
    if told["handler"]:
        made.add_row("handler", f"{told['handler']} {told['version']}, profile {told['profile']}")
        made.add_row("rule", Text(told["rule"] or ""))
    made.add_row("ground truth", Text(_short(told["ground_truth"])))
    made.add_row("response", _response(told))
    made.add_row("extracted", Text(NONE if told["extracted"] is None else _short(told["extracted"])))
    if told["extraction"] and told["extraction"]["rule"]:
        searched = " (its place was searched for)" if told["extraction"]["by_search"] else ""
        made.add_row("found as", Text(clean(told["extraction"]["rule"] + searched)))
    for flag in told["flags"]:
        made.add_row("flag", Text.assemble((clean(flag["flag"]), "yellow"), f"  {flag['text']}"))
    for part in ("detail", "trace"):
        for key, value in told[part].items():
            made.add_row(Text(clean(f"{part}: {key}")), Text(_short(value)))
    made.add_row("time", _times(told["timings"]))
    if told["verdict"]:
        made.add_row("verdict", told["verdict"])
    console.print(made)
    _show_forms(console, told["forms"])
    _show_ladder(console, told["comparators"])
    _show_checks(console, told["checks"])
    for name, count in told["left_out"].items():
        console.print(f"({count} more {clean(name)} are left out)", style="dim")
    for hidden in told["hidden"]:
        console.print(f"Hidden: {hidden}", style="yellow")


def _routed(routing: Mapping[str, Any]) -> str:
    names = [routing["asked"], routing["data_source"], routing["entry"], routing["handler"]]
    steps: list[str] = [NONE if names[0] is None else str(names[0])]
    for name in names[1:]:
        if name is not None and name != steps[-1]:
            steps.append(str(name))
    return " → ".join(steps)


def _response(told: Mapping[str, Any]) -> Text:
    """The response around what was read, which is marked."""
    response: str = told["response"]
    found = told["extraction"]
    if not found or found["start"] is None:
        text = clean(response)
        cut = text if len(text) <= SHORT else f"({len(text):,} characters) …{text[-SHORT:]}"
        return Text(cut)
    start, end = found["start"], found["end"]
    before, after = response[max(0, start - AROUND) : start], response[end : end + AROUND]
    inside = response[start:end]
    if len(inside) > 2 * SHORT:
        inside = f"{inside[:SHORT]} … {inside[-SHORT:]}"
    return Text.assemble(
        f"({start:,} characters) …" if start > AROUND else "",
        clean(before),
        (clean(inside), "reverse"),
        clean(after),
        f"… ({len(response) - end:,} characters)" if len(response) - end > AROUND else "",
    )


def _times(timings: Mapping[str, float]) -> str:
    names = {
        "verify_ms": "checking",
        "queue_ms": "waiting",
        "sandbox_ms": "sandbox",
        "judge_ms": "judge model",
    }
    return ", ".join(f"{label} {timings[name]:.2f} ms" for name, label in names.items() if timings[name])


def _show_forms(console: Console, forms: list[Mapping[str, Any]]) -> None:
    if not forms:
        return
    made = table("read as", "answer", "ground truth")
    for form in forms:
        what = f"{form['what']} ({form['about']})" if form.get("about") else form["what"]
        made.add_row(
            Text(clean(what)), Text(_short(form["answer"])), Text(_short(form.get("ground_truth", NONE)))
        )
    console.print(made)


def _show_ladder(console: Console, steps: list[Mapping[str, Any]]) -> None:
    if not steps:
        return
    made = table("", "comparator", "said", "note")
    for step in steps:
        note = "; ".join(part for part in (step.get("about", ""), step["note"]) if part)
        said = Text(step["said"], style=SAID.get(step["said"], ""))
        made.add_row("→" if step["fired"] else "", Text(clean(step["comparator"])), said, Text(clean(note)))
    console.print(made)


def _show_checks(console: Console, checks: list[Mapping[str, Any]]) -> None:
    if not checks:
        return
    made = table("", "check", "input", "expected", "got", "message")
    for check in checks:
        message = "\n".join(str(check[name]) for name in ("message", "stderr") if check.get(name))
        cells = (check["name"], *(check.get(name, "") for name in ("input", "expected", "got")), message)
        mark = Text("✓", style="green") if check["passed"] else Text("✗", style="red")
        made.add_row(mark, *(Text(_short(cell)) for cell in cells))
    console.print(made)


def _short(value: Any) -> str:
    text = clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHORT else f"{text[:SHORT]}… ({len(text):,} characters)"
