"""The tasks of reasoning-gym, about a hundred procedural puzzles.

What is decided here: who judges a task, and which score pays.

The library's scorers were made for its own process: several evaluate the response, one takes any text for True, one
never looks at the numbers that it gave, two compare tuples with the lists that JSON makes of them. The handler's process
is no sandbox, so a scorer that evaluates is not called at all. Task by task (`tasks.py`):

| tasks | the library's scorer | here |
|---|---|---|
| binary_matrix, n_queens, spiral_matrix, string_insertion | `eval` of the response | compared with the answer or boards |
| countdown, puzzle24 | sympy's `parse_expr`; puzzle24 takes any numbers | own arithmetic, exactly the given numbers |
| simple_integration, intermediate_integration | `parse_expr`, `simplify` | own grammar, equal up to a constant |
| polynomial_multiplication | `parse_expr` | coefficients of a multiplied-out sum |
| coin_flip, power_function, decimal_… | `Fraction`, `Decimal` with any exponent | own numbers, bounded |
| number_sorting | accepts numbers that are off by 1, `eval` of the answer | equal numbers |
| game_of_life_halting | `bool` of the text: everything is True | True or False by name |
| arc_agi, rearc | tuples; 0.05 for the right grid after JSON | the grid as text |
| prime_factorization | raises on text | own factors |
| gsm_symbolic, time_intervals, fraction_simplification, … | the first number in a sentence, hedges | the whole answer |
| LIBRARY: many right answers (moves, colourings, paths, …) | reads the response, evaluates nothing | asked, full marks only |
| all others: one right answer | equality, or partial credit | equality, white space aside |

`strict`: 1 for a right answer, and nothing below. The library's partial credit (0.01 for an empty answer, 0.05 for the
right number of words) pays for having said something; 0.999 of it is a rounding error, and full. Repeating a premise is
no conclusion (propositional_logic). The answer is the last `<answer>` or box, a line "the answer is …", or all of the
final part; its dress is taken off. `guru`: the library's score of the last `<answer>`, as it is written, else of what
follows `</think>`; below 0.1 nothing, and the tasks in `NEVER` by the checks here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._literal import LiteralError, parse_json
from reward_service.handlers._logic import last_answer, published_answer, undress
from reward_service.handlers._optional import Missing, missing
from reward_service.handlers._text import answer_lines, final_part
from reward_service.handlers.gym import library
from reward_service.handlers.gym.tasks import CHECKS, LIBRARY, NEVER, NO_ANSWER, TASKS
from reward_service.registry import Source, handler
from reward_service.types import (
    Domain,
    Example,
    Item,
    Limits,
    Outcome,
    Profile,
    Reason,
    accept,
    cannot_judge,
    malformed,
    reject,
    scored,
)

MAX_ANSWER = 20_000
FULL = 0.999
FLOOR = 0.1
_TASK = re.compile(r"[a-z0-9_]{2,40}")
_EXAMPLE = Example(
    "48 minus 36 is 12, and 12 divides 36.\n<answer>12</answer>",
    "12",
    {"task": "gcd", "metadata": '{"numbers": [36, 48], "result": 12}'},
)
_GOLD = (
    "the answer as text, or the whole entry; null for tasks that have none; `task` and `metadata` beside it"
)


@handler(
    "gym",
    version="2",
    domain=Domain.GYM,
    sources=[
        Source("reasoning_gym", _GOLD, _EXAMPLE, ("reasoninggym",)),
        Source("gym/*", _GOLD, _EXAMPLE),
        Source("gym__*", _GOLD, _EXAMPLE),
        Source("reasoning_gym/*", _GOLD, _EXAMPLE),
        Source("reasoning_gym__*", _GOLD, _EXAMPLE),
    ],
    reads=("task", "entry", "metadata"),
    limits=Limits(cpu_seconds=4.0),
)
@one_answer
def plan(item: Item) -> Outcome:
    """The answer solves the puzzle, by the task's own check or by reasoning-gym's."""
    row = _row(item)
    if isinstance(row, Outcome):
        return row
    try:
        return _published(item, row) if item.profile is Profile.GURU else _judge(item, row)
    except Missing as error:
        return missing(error)


class Row(NamedTuple):
    """A puzzle: the task's name, the answer ("" where there is none) and the metadata."""

    task: str
    gold: str
    metadata: Mapping[str, Any]

    @property
    def entry(self) -> dict[str, Any]:
        """What the library's scorers take."""
        return {"question": "", "answer": self.gold, "metadata": self.metadata}


def _row(item: Item) -> Row | Outcome:
    entry = _object(item.extra_info.get("entry"))
    gold = item.ground_truth
    if isinstance(gold, str) and gold.lstrip()[:1] == "{" and "metadata" in gold:
        gold = _object(gold) or gold
    if isinstance(gold, dict) and "answer" in gold:
        entry, gold = gold, gold["answer"]
    if gold is None and entry:
        gold = entry.get("answer")
    metadata = _object(item.extra_info.get("metadata")) or _object(entry.get("metadata"))
    task = item.extra_info.get("task") or _named(item) or metadata.get("source_dataset")
    if not isinstance(task, str) or task not in TASKS:
        known = isinstance(task, str) and _TASK.fullmatch(task)
        return cannot_judge(
            Reason.MALFORMED_ITEM, f"there is no task {task}" if known else "the row names no task (`task`)"
        )
    if isinstance(gold, int | float) and not isinstance(gold, bool):
        gold = str(gold)
    if task in NO_ANSWER:
        gold = gold if isinstance(gold, str) else ""
        if not metadata:
            return malformed("this task is judged by its metadata, and the row has none")
    elif not isinstance(gold, str) or not (gold.strip() or metadata.get("real_solutions") == []):
        return malformed("the ground truth is the answer as text, or an entry with one")
    elif not metadata and (task in LIBRARY or task in {"countdown", "puzzle24", "n_queens", "futoshiki"}):
        return malformed("this task is judged by its metadata, and the row has none")
    return Row(task, gold, metadata)


def _named(item: Item) -> str | None:
    for prefix in ("gym/", "gym__", "reasoning_gym/", "reasoning_gym__"):
        if item.data_source.startswith(prefix):
            return item.data_source[len(prefix) :].removesuffix("_dataset")
    return None


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except LiteralError:
            return {}
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- strict


def _judge(item: Item, row: Row) -> Outcome:
    trace = {"task": row.task, "gold": row.gold} if item.explain else {}
    found = last_answer(item.response)
    if found is not None and not found.closed:
        return reject(Reason.NO_ANSWER, trace=trace, message="an <answer> that never closes")
    flags = found.flags if found is not None else ()
    content = found.content if found is not None else _unmarked(item.response)
    if not any(map(str.isprintable, content.strip())):
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace)
    if len(content) > MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=(*flags, "oversized_answer"), trace=trace)
    for candidate in _candidates(content):
        right = _right(candidate, row)
        narrate.forms(candidate, row.gold, "text")
        narrate.compared(f"the task's check ({row.task})", right)
        if right:
            return accept(candidate, flags=flags, trace=trace)
    return reject(Reason.NOT_EQUAL, undress(content), flags=flags, trace=trace)


def _unmarked(response: str) -> str:
    text = final_part(response)
    lines = list(answer_lines(text))
    return lines[-1] if lines else text


_LEAD = re.compile(
    r"(?:so |thus |therefore,? )?(?:the |my )?(?:final |correct )?answer(?: is|:)\s*:?\s*", re.IGNORECASE
)


def _candidates(content: str) -> Iterator[str]:
    """The answer as it is written, and with less and less around it."""
    seen: set[str] = set()
    bare = undress(content)
    lead = _LEAD.match(bare)
    steps = [content.strip(), bare, bare.removesuffix(".")]
    if lead:
        steps.append(undress(bare[lead.end() :]))
    steps += [
        inner
        for mark in ("**", '"', "'", "`")
        if len(bare) > 2 * len(mark) and bare.startswith(mark) and bare.endswith(mark)
        for inner in (bare[len(mark) : -len(mark)].strip(),)
    ]  # the same mark inside: `"["a", "b"]"`, `**x**2**`
    for step in steps:
        if step and step not in seen:
            seen.add(step)
            yield step


def _right(answer: str, row: Row) -> bool:
    check = CHECKS.get(row.task)
    if check is not None:
        return check(answer, row.gold, row.metadata)
    if row.task == "propositional_logic" and _is_premise(answer, row.metadata.get("premises")):
        return False
    return library.shaped(row.task, answer) and library.score(row.task, answer, row.entry) >= FULL


def _is_premise(answer: str, premises: Any) -> bool:
    """Is the answer one of the premises, parentheses and spaces aside?"""
    given = premises if isinstance(premises, list) else []
    return _formula(answer) in {_formula(str(premise)) for premise in given}


def _formula(text: str) -> str:
    return re.sub(r"[\s()]", "", text)


# ---------------------------------------------------------------- guru


def _published(item: Item, row: Row) -> Outcome:
    trace = {"task": row.task, "gold": row.gold} if item.explain else {}
    content = published_answer(item.response, over_lines=True)
    if content is None:
        content = item.response.rpartition("</think>")[2].strip()
    if not content:
        return reject(Reason.NO_ANSWER, trace=trace)
    if len(content) > MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",), trace=trace)
    if row.task in NEVER:
        score = float(CHECKS[row.task](content, row.gold, row.metadata))
    else:
        score = library.score(row.task, content, row.entry)
    if score >= FULL:
        return accept(content, trace=trace)
    if score < FLOOR:
        return reject(Reason.NOT_EQUAL, content, trace=trace)
    return scored(score, Reason.PARTIALLY_EQUAL, content, trace=trace)


def warm_up() -> None:
    """Load the library where it is installed; called in the zygote before children are forked."""
    try:
        library.warm_up()
    except Missing:
        pass
