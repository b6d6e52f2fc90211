"""Knights and knaves: who is what. Every inhabitant exactly one role, and the right one.

What is decided here: the conclusion is read sentence by sentence with a small grammar, and never searched for
substrings. The data set's own evaluator does the latter (mem-kk-logic; domains.md §1.2), and so pays "A is a
knight or A is a knave", "it is false that A is a knave", and lists of both roles, and refuses `A: knight` and
any text with "if" in a word.
- Where: after the last `CONCLUSION:` (any letter case, bold or not); a later `<answer>` goes before it. Without
  one: the last `<answer>` or box, else a final JSON object, else the last "answer is …" line.
- What it says: the grammar of `_roles`.
An inhabitant without a role, or a role for somebody who isn't there, is wrong. Roles are those of the ground truth
and their counterparts (the data set renames them: saint and sinner, hero and villain, …). No published
Reasoning360 scorer exists: both profiles are this rule.
"""

from __future__ import annotations

import re
from typing import Any

from reward_service import narrate
from reward_service.handlers._literal import LiteralError, parse_json
from reward_service.handlers._logic import last_answer
from reward_service.handlers._roles import AmbiguousError, read_roles
from reward_service.handlers._text import answer_lines, final_part, plain_characters, tags
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_CHARS = 8_000
"""Characters of a conclusion; a longer one is no list of inhabitants."""

_MARKER = re.compile(r"\bconclusion\b[*_ \t]*(?:[:,：]|$)", re.IGNORECASE | re.MULTILINE)
_GOLD_CLAUSE = re.compile(r"(?:\(?\d+[.)] ?)?([^\W\d_][^,:()]*?) is an? (\w+)")

GOLD = '`"Zoey is a knave, and Oliver is a knight."`, or an object of roles by name `{"Zoey": "knave"}`'


@handler(
    "knights_knaves",
    version="1",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "logic__knights_knaves",
            gold=GOLD,
            example=Example(
                "If Zoey were a knight, …\nCONCLUSION:\n(1) Zoey is a knave\n(2) Oliver is a knight",
                "Zoey is a knave, and Oliver is a knight.",
            ),
            aliases=("knights_knaves", "kk_logic", "mem_kk_logic", "knights_and_knaves"),
        )
    ],
)
def plan(item: Item) -> Outcome:
    """The conclusion gives every inhabitant one role, the right one, and nobody two."""
    gold = _gold(item.ground_truth)
    if not gold:
        return malformed(
            "the ground truth is `X is a knight, and Y is a knave.` or an object of roles by name"
        )
    trace = {"gold": gold, "comparator": "role by name"} if item.explain else {}
    segment, flags = _conclusion(item.response)
    narrate.found_text("the conclusion, <answer>, box or last answer line", segment.strip())
    if len(segment) > MAX_CHARS:
        return reject(Reason.BUDGET_EXCEEDED, flags=(*flags, "oversized_answer"), trace=trace)
    try:
        read = read_roles(segment, gold)
    except AmbiguousError as problem:
        return reject(
            Reason.AMBIGUOUS_ANSWER, segment.strip(), flags=flags, trace=trace, message=str(problem)
        )
    extracted = ", ".join(f"{name}: {role}" for name, role in read.roles.items())
    for name, role in gold.items() if narrate.listening() else ():
        got = read.roles.get(name)
        narrate.check(name, got == role, expected=role, got=got or "no role")
    if read.strangers:
        narrate.check("somebody else", False, expected="no role", got="a role")
    if not read.roles:
        return reject(Reason.NO_ANSWER, segment.strip() or None, flags=flags, trace=trace)
    if read.roles == gold and not read.strangers:
        return accept(extracted, flags=flags, trace=trace)
    return reject(Reason.NOT_EQUAL, extracted, flags=flags, trace=trace, named=len(read.roles))


def _gold(value: Any) -> dict[str, str] | None:
    """Roles by name, both in lower case; names of several words are joined by hyphens."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parse_json(value)
        except LiteralError:
            return None
    if isinstance(value, dict):
        value = value.get("solution_text", value.get("solution_text_format", value))
    if isinstance(value, dict):
        if not all(isinstance(role, str) and role and name.strip() for name, role in value.items()):
            return None
        return {_name(name): role.strip().casefold() for name, role in value.items()}
    if not isinstance(value, str) or len(value) > MAX_CHARS:
        return None
    roles: dict[str, str] = {}
    text = plain_characters(value).strip().rstrip(".").replace("\n", ", ")
    clauses = [clause for clause in text.replace(" and ", ", ").split(", ") if clause.strip(" ,")]
    for clause in clauses:
        match = _GOLD_CLAUSE.fullmatch(clause.strip(" ,."))
        if match is None or _name(match.group(1)) in roles:
            return None
        roles[_name(match.group(1))] = match.group(2).casefold()
    return roles


def _name(name: str) -> str:
    return "-".join(plain_characters(name).casefold().split())


def _conclusion(response: str) -> tuple[str, tuple[str, ...]]:
    """The part of the response that says who is what, and flags."""
    text = final_part(response)
    markers = list(_MARKER.finditer(text))
    tagged = tags(text, "answer")
    if markers and not (tagged and tagged[-1].start > markers[-1].start()):
        end = next((span.end for span in tagged if span.end > markers[-1].end()), len(text))
        return text[markers[-1].end() : end].replace("</answer>", " "), ()
    found = last_answer(response)
    if found is not None:
        return (found.content, found.flags) if found.closed else ("", ())
    end = text.rstrip().rfind("}") + 1
    if end and not text[end:].strip(" .`\n"):
        return text[text.rfind("{", 0, end) : end], ()
    *_, line = ("", *answer_lines(text))
    return line, ()
