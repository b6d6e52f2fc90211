"""Grids: ARC-AGI 1 and 2, and BARC. Every cell right, or nothing.

What is decided here: equality of whole grids of integers, and how a grid may be written. A grid is brought to
one canonical text (`[[1,0],[0,2]]`) by replacing characters, never by evaluating; equal texts are equal grids.
Cells are integers as they stand: `1.9`, `...` and `True` are refused (the published scorer truncated floats),
and what can't be read is no grid at all (the published default `[[0]]` was a right answer for some tasks;
guru.md §5.2, domains.md §1.2). A share of right cells earns nothing, because a blank grid has 99 % of them.

Accepted shapes of an answer, in the last `<answer>` or box, else at the end of the text:
- one grid: JSON in any layout, a Python tuple, `np.array(…)`, numpy's own print-out, quoted digits, rows of
  digits (`0 1 2` or `012` a line; only inside a tag or box);
- several test inputs (the ground truth is a list of grids): a list of grids, or the grids one after another, in
  the order of the test inputs. All must be right;
- two attempts per test input, only where the ground truth says `{"outputs": [...], "attempts": 2}` (ARC's own
  rule): `{"attempt_1": grid, "attempt_2": grid}`, or a list of such objects, one for each test input.
Two different grids where one is asked for are ambiguous, whichever comes first.

The guru profile: last `<answer>`, from `[[` to `]]`, a literal whose floats are truncated; no default grid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._literal import LiteralError, parse_json, parse_literal
from reward_service.handlers._logic import hedged, last_answer, published_answer, undress
from reward_service.handlers._text import final_part, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MAX_CHARS = 100_000
"""Characters of an answer: twenty grids of 30 x 30, pretty-printed."""
_PROSE = 400

GOLD = "grid of integers `[[1, 0], [0, 2]]`, a list of grids (several test inputs), or either as JSON in a string"

_GRID = re.compile(r"\[\[-?\d+(?:,-?\d+)*\](?:,\[-?\d+(?:,-?\d+)*\])*\]")
_DIGITS = re.compile(r"[\d,;| \t-]+")
_CODE = re.compile(r"[\w.]{1,24}\(|[ )]\.[A-Za-z]|[*+@] *\d")
"""Calls, attributes and arithmetic beside a grid: `np.rot90([[…]])`, `[[…]].T` and `[[0]] * 3` are no grids."""
_ARRAYS = frozenset(("array(", "np.array(", "numpy.array("))


class _Gold(NamedTuple):
    grids: list[str]
    rows: list[list[list[int]]]
    attempts: int


@handler(
    "grid",
    version="2",
    domain=Domain.LOGIC,
    sources=[
        Source(
            name,
            gold=GOLD,
            example=Example("Mirrored: <answer>\n[[1, 0],\n [0, 2]]\n</answer>", [[1, 0], [0, 2]]),
            aliases=aliases,
        )
        for name, aliases in (
            ("simulation__arcagi1", ("logic__arcagi1", "arcagi1", "arc_agi_1", "arc-agi-1", "arc_agi")),
            ("simulation__arcagi2", ("logic__arcagi2", "arcagi2", "arc_agi_2", "arc-agi-2")),
            ("simulation__barc", ("logic__barc", "barc")),
        )
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """Every grid of the answer equals the ground truth's, cell by cell; integers only."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a rectangular grid of integers, or a list of them")
    trace = {"gold": gold.grids, "comparator": "canonical text"} if item.explain else {}
    if item.profile is Profile.GURU and len(gold.grids) == 1:
        return _published(item.response, gold.rows[0])

    found = last_answer(item.response)
    flags = found.flags if found is not None else ()
    if found is None:
        text = plain_characters(final_part(item.response)[-MAX_CHARS:])
        grids, reason = _last_grids(text, len(gold.grids))
    elif len(found.content) > MAX_CHARS:
        return reject(Reason.BUDGET_EXCEEDED, flags=(*flags, "oversized_answer"), trace=trace)
    else:
        text = undress(found.content)
        if gold.attempts > 1 and "attempt" in text:
            return _attempts(text, gold, flags)
        grids, reason = _grids(text, found.closed)
    if reason is not None:
        return reject(reason, text, flags=flags, trace=trace)
    if len(gold.grids) == 1 and len(set(grids)) > 1:
        return reject(Reason.AMBIGUOUS_ANSWER, text, flags=("multiple_answers",), trace=trace)
    if len(gold.grids) == 1:
        grids = grids[:1]
    extracted = "".join(grids)
    if narrate.listening():
        _tell(grids, gold)
    if grids == gold.grids:
        return accept(extracted, flags=flags, trace=trace)
    return reject(Reason.NOT_EQUAL, extracted, flags=flags, trace=trace, grids=len(grids))


def _tell(grids: Sequence[str], gold: _Gold) -> None:
    """Cell by cell, for whoever asks why."""
    narrate.forms("\n".join(grids), "\n".join(gold.grids), "canonical text")
    narrate.compared("cell by cell", list(grids) == gold.grids)
    if len(grids) != len(gold.grids):
        narrate.check("number of grids", False, expected=len(gold.grids), got=len(grids))
    for number, (one, wanted) in enumerate(zip(grids, gold.rows, strict=False), 1):
        rows = [row.split(",") for row in one.strip("[]").split("],[")]
        shape = f"{len(wanted)}×{len(wanted[0])}", f"{len(rows)}×{len(rows[0])}"
        name = f"grid {number}, " if len(gold.grids) > 1 else ""
        if shape[0] != shape[1]:
            narrate.check(f"{name}rows × columns", False, expected=shape[0], got=shape[1])
            continue
        for y, (row, want) in enumerate(zip(rows, wanted, strict=True), 1):
            if [cell.strip() for cell in row] != [str(cell) for cell in want]:
                narrate.check(f"{name}row {y}", False, expected=want, got=",".join(row))


def _gold(value: Any) -> _Gold | None:
    """Canonical grids of the ground truth; None if it is no rectangular grid of integers, or several."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except LiteralError:
            return None
    attempts = 1
    if isinstance(value, dict):
        attempts = value.get("attempts", 1)
        value = value.get("outputs", value.get("output"))
        if attempts not in (1, 2) or isinstance(attempts, bool):
            return None
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        return None
    rows = value if isinstance(value[0][0], list) else [value]
    if not all(_is_grid(grid) for grid in rows):
        return None
    return _Gold([str(grid).replace(" ", "") for grid in rows], rows, attempts)


def _is_grid(value: Any) -> bool:
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        return False
    width = len(value[0])
    return all(isinstance(row, list) and len(row) == width and set(map(type, row)) == {int} for row in value)


def _last_grids(text: str, count: int) -> tuple[list[str], Reason | None]:
    """Without tag and box: the last grids of the text, if what stands beside them doesn't take them back."""
    form = _canonical(text)
    matches = list(_GRID.finditer(form))
    if len(matches) < count:
        return [], Reason.NO_ANSWER
    start, end = matches[-count].start(), matches[-1].end()
    before = matches[-count - 1].end() if len(matches) > count else 0
    if hedged(form[max(before, start - _PROSE // 8) : start]) or hedged(form[end:]):
        return [], Reason.AMBIGUOUS_ANSWER
    if "[" in form[end:]:
        return [], Reason.MALFORMED_ANSWER
    return [match.group() for match in matches[-count:]], None


def _grids(text: str, marked: bool) -> tuple[list[str], Reason | None]:
    """The canonical grids in a text, or the reason why there are none. Digit rows count only where `marked`."""
    if not text:
        return [], Reason.NO_ANSWER
    if "[" not in text:
        if "".join(text[:100].split()).startswith("(("):
            text = text.replace("(", "[").replace(")", "]")
        else:
            return _digit_rows(text) if marked else ([], Reason.MALFORMED_ANSWER)
    form = _canonical(text)
    matches = list(_GRID.finditer(form))
    grids = [match.group() for match in matches]
    if not grids:
        return [], Reason.NO_ANSWER if form in ("[]", "[[]]") else Reason.MALFORMED_ANSWER
    around = _GRID.sub(" ", form).replace(",", " ")
    if len(around) > _PROSE * len(grids):
        return [], Reason.MALFORMED_ANSWER
    if hedged(around) or "n't" in text:
        return [], Reason.AMBIGUOUS_ANSWER
    if any(code.lstrip() not in _ARRAYS for code in _CODE.findall(around)):
        return [], Reason.MALFORMED_ANSWER
    lead, trail = form[: matches[0].start()], form[matches[-1].end() :]
    brackets = around.count("["), around.count("]"), lead.count("["), trail.count("]")
    if brackets not in ((0, 0, 0, 0), (1, 1, 1, 1)):
        return [], Reason.MALFORMED_ANSWER
    return grids, None


def _canonical(text: str) -> str:
    """Text in which equal grids are written alike: no spaces inside, commas between, no quotes around cells."""
    form = " ".join(text.split())
    if '"' in form or "'" in form:
        form = form.replace('"', "").replace("'", "")
    if "(" in form:
        form = form.replace("[(", "[[").replace(")]", "]]").replace("),", "],").replace(", (", ", [")
    form = form.replace("[ ", "[").replace(" ]", "]").replace(" ,", ",").replace(", ", ",")
    return form.replace(",]", "]").replace(" ", ",")


def _digit_rows(text: str) -> tuple[list[str], Reason | None]:
    """Lines of digits, with or without separators; an empty line starts the next grid."""
    grids: list[str] = []
    rows: list[str] = []
    for line in (*text.splitlines(), ""):
        line = line.strip().strip(",;|").strip()
        if not line:
            if rows:
                grids.append("[" + ",".join(rows) + "]")
                rows = []
            continue
        if not (line.isascii() and _DIGITS.fullmatch(line)):
            return [], Reason.MALFORMED_ANSWER
        cells = list(line) if line.isdigit() else line.replace(",", " ").replace("|", " ").split()
        rows.append("[" + ",".join(cells) + "]")
    return (grids, None) if grids else ([], Reason.NO_ANSWER)


def _attempts(text: str, gold: _Gold, flags: tuple[str, ...]) -> Outcome:
    """ARC's submission form: each test input has up to two attempts, and one of them must be right."""
    try:
        value = parse_literal(text)
    except LiteralError:
        return reject(Reason.MALFORMED_ANSWER, text, flags=flags)
    tests = value if isinstance(value, list) else [value]
    if len(tests) != len(gold.grids):
        return reject(Reason.NOT_EQUAL, text, flags=flags)
    solved = 0
    for test, wanted in zip(tests, gold.rows, strict=True):
        if not isinstance(test, dict) or not set(test) <= {"attempt_1", "attempt_2"}:
            return reject(Reason.MALFORMED_ANSWER, text, flags=flags)
        solved += any(_is_grid(attempt) and attempt == wanted for attempt in test.values())
    if solved == len(tests):
        return accept(text, flags=flags)
    return reject(Reason.NOT_EQUAL, text, flags=flags, solved=solved)


def _published(response: str, gold: list[list[int]]) -> Outcome:
    answer = published_answer(response, over_lines=True)
    if not answer:
        return reject(Reason.NO_ANSWER)
    start, end = answer.find("[["), answer.rfind("]]")
    if not 0 <= start < end or end - start > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, answer)
    try:
        rows = [[int(cell) for cell in row] for row in parse_literal(answer[start : end + 2])]
    except (LiteralError, TypeError, ValueError, OverflowError):
        return reject(Reason.MALFORMED_ANSWER, answer)
    return accept(answer) if rows == gold else reject(Reason.NOT_EQUAL, answer)
