"""Zebra puzzles (houses in a row, attributes to be assigned): a table against a table.

What is decided here: which cells count, and what a partly right table is worth.
- Columns are aligned by name, in any order; rows by their house number, written `1`, `"1"` or `House 1`. Cells
  are compared without case, outer spaces and hyphens. A cell that holds a list, an object or nothing is wrong:
  ZeroEval's own evaluator takes the first of a list and so pays hedges (domains.md §1.2). A table with
  other columns or another number of rows isn't an answer to the puzzle, and earns nothing.
- `correct` only when every cell is right. Below that the score is partial credit, as published, but for what
  the policy had to find out: columns whose values are the houses' own numbers are given, and don't count; the
  share of right cells is rescaled so that the best constant guess (one name in every house) earns 0:
  `max(0, (right - constant) / (cells - constant))` (security.md §3.3). `extra_info.scoring` is "partial"
  (the default) or "all_or_nothing".

Accepted shapes: `{"header": [...], "rows": [[...]]}` (also with rows as objects), ZeroEval's
`{"reasoning": ..., "solution": {"House 1": {...}}}`, and a markdown table, in the last `<answer>` or box;
without one the last JSON object. A raw line break inside a JSON string is tolerated, as ZeroEval does.

The guru profile is the published rule (guru.md §2a, §5.2): last `<answer>` on one line, header ignored, the
fraction of literally equal cells by position, given columns included, rows and columns in excess ignored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._literal import LiteralError, last_json, parse_json, parse_literal
from reward_service.handlers._logic import hedged, last_answer, plain, published_answer, undress
from reward_service.handlers._text import final_part, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import (
    Domain,
    Example,
    Item,
    Outcome,
    Profile,
    Reason,
    accept,
    cannot_judge,
    malformed,
    reject,
    scored,
)

MAX_CHARS = 32_000
"""Characters of an answer; a table of 30 houses and 30 attributes is shorter."""

_NUMBER = re.compile(r"(?:house|position|pos\.?|no\.?|#)? ?(\d{1,4})")
_NUMBER_COLUMNS = frozenset({"position", "house", "house number", "#"})
_RULE = re.compile(r"[\s|:-]+")

GOLD = '`{"header": ["Position", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]}` (also as JSON in a string)'

Row = dict[str, str | None]
"""Cells by the plain name of their column; None for what is no cell (a list, an object, nothing)."""


class _Gold(NamedTuple):
    """The ground truth. `rows` as it came; `table` and `columns` in plain form; `label`: the houses' numbers."""

    rows: list[list[Any]]
    columns: list[str]
    table: list[list[str]]
    label: str | None


class _Unreadable(ValueError):
    """The answer is no table; says why."""


@handler(
    "zebra",
    version="2",
    domain=Domain.LOGIC,
    reads=("scoring",),
    sources=[
        Source(
            "logic__zebra_puzzle_dataset",
            gold=GOLD,
            example=Example(
                'So: <answer> {"header": ["Position", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]} </answer>',
                {"header": ["Position", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]},
            ),
            aliases=("logic__zebra_puzzle", "zebra_puzzle_dataset", "zebralogic", "zebra_logic", "zebra"),
        )
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """Every cell of the table is right; partly right tables earn their share above the best constant guess."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a table: header and rows of strings or integers, of one width")
    scoring = item.extra_info.get("scoring") or "partial"
    if scoring not in ("partial", "all_or_nothing"):
        return cannot_judge(Reason.MALFORMED_ITEM, 'extra_info.scoring is "partial" or "all_or_nothing"')
    partial = scoring == "partial"
    if item.profile is Profile.GURU:
        return _published(item.response, gold, partial)

    found = last_answer(item.response)
    flags = found.flags if found is not None else ()
    content = found.content if found is not None else final_part(item.response)[-MAX_CHARS:]
    if len(content) > MAX_CHARS:
        return reject(Reason.BUDGET_EXCEEDED, flags=(*flags, "oversized_answer"))
    text = undress(content)
    if not text:
        return reject(Reason.NO_ANSWER, flags=flags)
    try:
        rows = _aligned(_rows(_value(text, tagged=found is not None)), gold)
    except (LiteralError, _Unreadable) as error:
        reason = Reason.MALFORMED_ANSWER if found is not None else Reason.NO_ANSWER
        return reject(reason, text, flags=flags, message=str(error)[:200])
    return _score(rows, gold, partial, text, flags, item.explain)


def _score(
    rows: list[Row], gold: _Gold, partial: bool, text: str, flags: tuple[str, ...], explain: bool
) -> Outcome:
    right = cells = constant = 0
    wrong: list[str] = []
    for at, column in enumerate(gold.columns):
        if column == gold.label:
            continue
        wanted = [row[at] for row in gold.table]
        hits = sum(row[column] == cell for row, cell in zip(rows, wanted, strict=True))
        right += hits
        cells += len(wanted)
        constant += max(Counter(wanted).values())
        if explain and hits < len(wanted):
            wrong.append(column)
            for house, (row, cell) in enumerate(zip(rows, wanted, strict=True), 1):
                if row[column] != cell:
                    narrate.check(f"house {house}, {column}", False, expected=cell, got=row[column])
    narrate.compared("cell by cell", right == cells, f"{right} of {cells} cells are right")
    trace = {"gold": gold.table, "wrong_columns": wrong, "constant_guess": constant} if explain else {}
    if right == cells:
        return accept(text, flags=flags, trace=trace, cells=cells, right=right)
    score = (right - constant) / (cells - constant) if partial and cells > constant else 0.0
    if score > 0:
        return scored(score, Reason.PARTIALLY_EQUAL, text, flags=flags, trace=trace, cells=cells, right=right)
    return reject(Reason.NOT_EQUAL, text, flags=flags, trace=trace, cells=cells, right=right)


def _gold(value: Any) -> _Gold | None:
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except LiteralError:
            return None
    if not isinstance(value, dict):
        return None
    header, rows = value.get("header"), value.get("rows")
    if not isinstance(header, list) or not isinstance(rows, list) or not header or not rows:
        return None
    if not all(isinstance(row, list) and len(row) == len(header) for row in rows):
        return None
    columns = [name for name in map(_cell, header) if name is not None]
    table = [[cell for cell in map(_cell, row) if cell is not None] for row in rows]
    if len(set(columns)) < len(header) or any(len(row) < len(header) for row in table):
        return None
    numbers = [str(number) for number in range(1, len(rows) + 1)]
    labels = [
        name
        for at, name in enumerate(columns)
        if "1" in table[0][at] and [_house(row[at]) for row in table] == numbers
    ]
    if len(columns) == 1 and labels:
        return None
    return _Gold(rows, columns, table, labels[0] if labels else None)


def _cell(value: Any) -> str | None:
    """The form in which cells are compared; None for what is no cell."""
    if isinstance(value, str):
        if value.isascii() and value.isalnum():
            return value.lower()
        return plain(plain_characters(value)) or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else None
    return None


def _house(cell: str | None) -> str | None:
    if cell is None or cell in "123456789":
        return cell or None
    match = _NUMBER.fullmatch(cell)
    return str(int(match.group(1))) if match is not None else None


def _value(text: str, *, tagged: bool) -> Any:
    """The one table in the text, as data. LiteralError or _Unreadable if there is none, or more than one."""
    flat = text.replace("\n", " ")
    if not tagged:
        return last_json(flat)
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0:
        return _markdown(text)
    end = max(text.rfind("}"), text.rfind("]")) + 1
    if hedged(text[:start]) or hedged(text[end:]):
        raise _Unreadable("words beside the table that turn it round")
    return parse_literal(flat[start:end])


def _markdown(text: str) -> Any:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    table = [line.strip("|").split("|") for line in lines if "|" in line and not _RULE.fullmatch(line)]
    if not table or hedged(" ".join(line for line in lines if "|" not in line)):
        raise _Unreadable("no table")
    return {"header": table[0], "rows": table[1:]}


def _rows(value: Any) -> list[Row]:
    """The rows of a table in any of the accepted shapes. _Unreadable if it has none of them."""
    if isinstance(value, dict) and isinstance(value.get("solution"), dict):
        value = value["solution"]
    if isinstance(value, dict) and isinstance(value.get("header"), list):
        header = [_cell(name) for name in value["header"]]
        rows = value.get("rows")
        if None in header or len(set(header)) < len(header) or not isinstance(rows, list | tuple):
            raise _Unreadable("the header names each column once, and rows is a list")
        if not all(isinstance(row, list | tuple) and len(row) == len(header) for row in rows):
            raise _Unreadable("rows as wide as the header")
        return [{str(name): _cell(cell) for name, cell in zip(header, row, strict=True)} for row in rows]
    if isinstance(value, dict) and isinstance(value.get("rows"), list):
        value = value["rows"]
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return [_row(row) for row in value]
    if isinstance(value, dict) and all(isinstance(row, dict) for row in value.values()):
        return [{**_row(row), "#": _cell(name)} for name, row in value.items()]
    raise _Unreadable("a header and rows, or one object for each house")


def _row(value: Mapping[Any, Any]) -> Row:
    row = {_cell(name) or "": _cell(cell) for name, cell in value.items()}
    if len(row) < len(value):
        raise _Unreadable("a column is given twice")
    return row


def _aligned(rows: list[Row], gold: _Gold) -> list[Row]:
    """The rows in the order of the houses, without their numbers. _Unreadable if they don't fit the puzzle."""
    if len(rows) != len(gold.rows):
        raise _Unreadable("another number of rows than the puzzle has")
    labels = _NUMBER_COLUMNS.difference(gold.columns) | ({gold.label} if gold.label is not None else set())
    wanted = set(gold.columns) - labels
    houses: dict[str, Row] = {}
    for number, row in enumerate(rows, 1):
        claimed = {_house(cell) for column, cell in row.items() if column in labels} or {str(number)}
        rest = {column: cell for column, cell in row.items() if column not in labels}
        if rest.keys() != wanted:
            raise _Unreadable("other columns than the puzzle has")
        house = claimed.pop()
        if claimed or house is None or house in houses:
            raise _Unreadable("each house has a number of its own")
        houses[house] = rest
    try:
        return [houses[str(number)] for number in range(1, len(rows) + 1)]
    except KeyError:
        raise _Unreadable("the houses are numbered from 1") from None


def _published(response: str, gold: _Gold, partial: bool) -> Outcome:
    answer = published_answer(response)
    if not answer:
        return reject(Reason.NO_ANSWER)
    if len(answer) > MAX_CHARS:
        return reject(Reason.BUDGET_EXCEEDED, flags=("oversized_answer",))
    try:
        rows = parse_literal(answer)["rows"]
        cells = [(rows[y][x], cell) for y, row in enumerate(gold.rows) for x, cell in enumerate(row)]
    except (LiteralError, LookupError, TypeError):
        return reject(Reason.MALFORMED_ANSWER, answer)
    right = sum(type(cell) is type(wanted) and cell == wanted for cell, wanted in cells)
    if right == len(cells):
        return accept(answer, cells=len(cells), right=right)
    if partial and right:
        return scored(right / len(cells), Reason.PARTIALLY_EQUAL, answer, cells=len(cells), right=right)
    return reject(Reason.NOT_EQUAL, answer, cells=len(cells), right=right)
