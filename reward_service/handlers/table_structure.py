"""Whole tables: a table that was to be written in another format (LiveBench tablereformat).

What is decided here: the answer is parsed in the format of the gold (or in the declared `format`), and no other;
columns are aligned by their names, so their order doesn't count; rows are compared by position, unless `row_order` is
false; a cell is equal as text (case counts: it was to be copied) or as the same plain decimal (`1956.0` is `1956`).
One cell, one row or one name off is wrong; the share of equal cells is reported as `cell_f1`, and never paid.

Sources: `reference/domains.md` §1.1 and §2 (LiveBench's own rule: same columns as sets, same number of rows, cells by
position). Where the table is: the last `<solution>`, else the last code fence, else the text itself; prose around it
is left out. The published Reasoning360 scorer raises on every row, so both profiles judge alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from reward_service import narrate
from reward_service.handlers._literal import LiteralError
from reward_service.handlers._table_formats import (
    MAX_CHARS,
    READERS,
    Table,
    TableError,
    cell_text,
    format_of,
    records,
    table_of,
)
from reward_service.handlers._text import fences, final_part, tags
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

_EXAMPLE = "| Year | Wins |\n|---|---|\n| 1956 | 3 |\n| 1957 | 12 |"


@handler(
    "table_structure",
    version="1",
    domain=Domain.TABLE,
    sources=[
        Source(
            "table__structured",
            "a table as markdown, HTML, CSV, TSV, JSON or JSON lines; or an object {header, rows}",
            Example(f"Here it is:\n```markdown\n{_EXAMPLE}\n```", _EXAMPLE),
            ("table__tablereformat", "livebench__tablereformat", "table__table_struct"),
        )
    ],
    reads=("format", "row_order"),
)
def plan(item: Item) -> Outcome:
    """The response's table has the same columns (in any order), rows and cells as the gold."""
    declared = item.extra_info.get("format")
    declared = declared.strip().lower() if isinstance(declared, str) else ""
    try:
        gold, form = _gold(item.ground_truth, declared)
    except (TableError, LiteralError) as error:
        return malformed(f"the ground truth is not a table: {error}")
    text = _where(final_part(item.response))
    if not text.strip():
        return reject(Reason.NO_ANSWER)
    if len(text) > MAX_CHARS:
        return reject(Reason.BUDGET_EXCEEDED, flags=("oversized_answer",), message="the table is too long")
    try:
        answer = READERS[form](text, gold.header)
    except (TableError, LiteralError) as error:
        return reject(Reason.MALFORMED_ANSWER, text, format=form, message=str(error)[:200])
    ordered = item.extra_info.get("row_order") is not False
    equal = _equal(gold, answer, ordered)
    narrate.compared("columns, rows and cells", equal)
    trace = {"header": gold.header, "rows": gold.rows[:50]} if item.explain else {}
    if equal:
        return accept(text, trace=trace, format=form)
    return reject(Reason.NOT_EQUAL, text, trace=trace, format=form, cell_f1=_cell_f1(gold, answer))


# ---------------------------------------------------------------- where it is, and in which format


def _where(text: str) -> str:
    text = text.replace("\r\n", "\n")
    solutions = tags(text, "solution")
    if solutions:
        text = solutions[-1].content
    fenced = fences(text)
    return fenced[-1].body if fenced else text


def _gold(value: Any, declared: str) -> tuple[Table, str]:
    """The gold, and the format that the answer must have: the declared one, else that of the gold."""
    if declared not in READERS:
        declared = ""
    if (
        isinstance(value, dict)
        and isinstance(value.get("header"), list)
        and isinstance(value.get("rows"), list)
    ):
        rows = [row for row in value["rows"] if isinstance(row, list)]
        if len(rows) != len(value["rows"]):
            raise TableError("a row is not a list")
        header = [cell_text(name) for name in value["header"]]
        return table_of(header, [[cell_text(cell) for cell in row] for row in rows]), declared or "json"
    if isinstance(value, list | dict):
        return records(value), declared or "json"
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARS:
        raise TableError("neither a text nor an object, or too long")
    return _parsed_gold(value, declared)


@lru_cache(maxsize=256)
def _parsed_gold(text: str, declared: str) -> tuple[Table, str]:
    text = text.replace("\r\n", "\n").strip("\n")
    form = format_of(text)
    if form == "csv" and declared == "tsv" and "," not in text.partition("\n")[0]:
        form = declared  # one column looks like either
    return READERS[form](text, None), declared or form


# ---------------------------------------------------------------- comparison


def _equal(gold: Table, answer: Table, ordered: bool) -> bool:
    if len(gold.rows) != len(answer.rows):
        return False
    order = _alignment(gold.header, answer.header)
    if order is None:
        return False
    aligned = [tuple(row[at] for at in order) for row in answer.rows]
    if ordered:
        return all(
            left == right or _row_key(left) == _row_key(right)
            for left, right in zip(gold.rows, aligned, strict=True)
        )
    return Counter(map(_row_key, gold.rows)) == Counter(map(_row_key, aligned))


def _alignment(gold: Sequence[str], answer: Sequence[str]) -> list[int] | None:
    """For each column of the gold the answer's column of that name; equal names in their order. None: names differ."""
    if sorted(gold) != sorted(answer):
        return None
    free: dict[str, list[int]] = {}
    for at, name in enumerate(answer):
        free.setdefault(name, []).append(at)
    return [free[name].pop(0) for name in gold]


_PLAIN_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]{0,40})\.([0-9]{1,40})")


def _row_key(row: Sequence[str]) -> tuple[str, ...]:
    """The row with plain decimals without final zeros: 1956.0 is 1956. Anything else (007, $5, 1,956) was to be copied."""
    return tuple(_number_key(cell) if "." in cell else cell for cell in row)


def _number_key(cell: str) -> str:
    match = _PLAIN_NUMBER.fullmatch(cell)
    if match is None:
        return cell
    sign, whole, fraction = match.groups()
    fraction = fraction.rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign if whole != '0' else ''}{whole}"


def _cell_f1(gold: Table, answer: Table) -> float:
    """Share of equal (column, row, cell) triples; a diagnosis, never a score."""
    left = Counter(_triples(gold))
    right = Counter(_triples(answer))
    common = sum((left & right).values())
    total = sum(left.values()) + sum(right.values())
    return round(2 * common / total, 4) if total else 0.0


def _triples(table: Table) -> list[tuple[str, int, str]]:
    return [
        (name, at, key)
        for at, row in enumerate(table.rows)
        for name, key in zip(table.header, _row_key(row), strict=True)
    ]
