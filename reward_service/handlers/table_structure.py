"""Whole tables: a table that was to be written in another format (LiveBench tablereformat).

What is decided here: the answer is parsed in the format of the gold (or in the declared `format`), and no other; columns
are aligned by their names, so their order doesn't count; rows are compared by position, unless `row_order` is
false; a cell is equal as text (case counts: it was to be copied) or as the same number (`1956.0` is `1956`). One cell, one row or
one name off is wrong; the share of equal cells is reported as `cell_f1`, and never paid.

Sources: `reference/domains.md` §1.1 and §2 (LiveBench's `table_process_results`: same columns as sets, same number of rows, cells by position).
Where the table is: the last `<solution>`, else the last code fence, else the text itself; prose around it is left
out. The published Reasoning360 scorer raises on every row, so both profiles judge alike.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import lxml.etree
import lxml.html
from markdown_it import MarkdownIt

from reward_service.handlers._literal import LiteralError, last_json, parse_json
from reward_service.handlers._text import collapse, fences, final_part, plain_characters, tags
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_CHARS = 1 << 17
MAX_CELLS = 40_000


class TableError(ValueError):
    """The text is not one table of that format."""


@dataclass(frozen=True, slots=True)
class Table:
    """Column names in order, and rows of as many cells; white space collapsed, missing cells empty."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
        gold, form = _gold(item.ground_truth)
    except (TableError, LiteralError) as error:
        return malformed(f"the ground truth is not a table: {error}")
    form = declared if declared in READERS else form
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


def _gold(value: Any) -> tuple[Table, str]:
    if (
        isinstance(value, dict)
        and isinstance(value.get("header"), list)
        and isinstance(value.get("rows"), list)
    ):
        rows = [row for row in value["rows"] if isinstance(row, list)]
        if len(rows) != len(value["rows"]):
            raise TableError("a row is not a list")
        return _table(
            [_cell(name) for name in value["header"]], [[_cell(cell) for cell in row] for row in rows]
        ), "json"
    if isinstance(value, list | dict):
        return _records(value), "json"
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARS:
        raise TableError("neither a text nor an object, or too long")
    return _parsed_gold(value)


@lru_cache(maxsize=256)
def _parsed_gold(text: str) -> tuple[Table, str]:
    text = text.replace("\r\n", "\n").strip("\n")
    form = _format_of(text)
    return READERS[form](text, None), form


def _format_of(text: str) -> str:
    start = text.lstrip()
    if start.startswith("<"):
        return "html"
    if start.startswith(("[", "{")):
        return "jsonl" if _is_json_lines(start) else "json"
    lines = start.split("\n", 2)
    if len(lines) > 1 and _DELIMITER.fullmatch(lines[1].strip()):
        return "markdown"
    return "tsv" if "\t" in lines[0] else "csv"


def _is_json_lines(text: str) -> bool:
    first, _, rest = text.strip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


# ---------------------------------------------------------------- the formats

Reader = Callable[[str, Sequence[str] | None], Table]
"""Text and the gold's header (None when the gold itself is read) -> Table, or TableError or LiteralError."""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Short rows are filled up with empty cells; a row with more than the header's is an error."""
    width = len(header)
    if not width or not any(header):
        raise TableError("no column names")
    if width * (len(rows) + 1) > MAX_CELLS:
        raise TableError(f"more than {MAX_CELLS} cells")
    filled = []
    for row in rows:
        if any(row[width:]):
            raise TableError("a row with more cells than there are columns")
        filled.append(tuple(row[:width]) + ("",) * (width - len(row)))
    return Table(tuple(header), tuple(filled))


_MISSING = frozenset({"nan", "null", "<na>"})


def _cell(value: object) -> str:
    text = collapse(plain_characters("" if value is None else str(value)))
    return "" if text.lower() in _MISSING else text


_MARKDOWN = MarkdownIt("commonmark").enable("table")
_MARKDOWN.core.ruler.enableOnly(["normalize", "block"])
_DELIMITER = re.compile(r"\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?|\| *:?-+:? *")


def _markdown(text: str, _: Sequence[str] | None) -> Table:
    lines = text.split("\n")
    at = max(
        (i for i, line in enumerate(lines) if _is_delimiter(line) and i and lines[i - 1].strip()), default=0
    )
    if not at:
        raise TableError("no line of dashes under a header")
    block = [lines[at - 1].strip(), lines[at].strip()]
    for line in lines[at + 1 :]:
        if "|" not in line:
            break
        block.append(line.strip())
    if len(block) > MAX_CELLS:
        raise TableError(f"more than {MAX_CELLS} cells")
    rows: list[list[str]] = []
    for token in _MARKDOWN.parse("\n".join(block)):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(_cell(token.content))
    if not rows:
        raise TableError("header and dashes don't fit together")
    # markdown-it cuts rows that are too long, as the specification says; a table that was to be copied has none.
    if any(line.replace("\\|", "").strip().strip("|").count("|") >= len(rows[0]) for line in block[2:]):
        raise TableError("a row with more cells than there are columns")
    return _table(rows[0], rows[1:])


def _is_delimiter(line: str) -> bool:
    line = line.strip()
    return (
        "|" in line
        and "-" in line
        and len(line) < 20_000
        and not line.strip("|:- ")
        and bool(_DELIMITER.fullmatch(line))
    )


_TABLE_TAG = re.compile(r"</table\s*>|<table\b", re.IGNORECASE)


def _html(text: str, _: Sequence[str] | None) -> Table:
    marks = list(_TABLE_TAG.finditer(text))
    end = max((i for i, mark in enumerate(marks) if mark.group()[1] == "/"), default=0)
    if not end or marks[end - 1].group()[1] == "/":
        raise TableError("no complete <table>, or one inside another")
    try:
        root = lxml.html.document_fromstring(text[marks[end - 1].start() : marks[end].end()])
    except (lxml.etree.LxmlError, ValueError, AssertionError):
        raise TableError("not readable as HTML") from None
    rows = [
        [_cell(cell.text_content()) for cell in row if cell.tag in ("td", "th")] for row in root.iter("tr")
    ]
    rows = [row for row in rows if row]
    if not rows:
        raise TableError("a table without rows")
    return _table(rows[0], rows[1:])


def _separated(delimiter: str) -> Reader:
    def read(text: str, header: Sequence[str] | None) -> Table:
        text = text if header is None else _from_header(text, header, delimiter)
        rows: list[list[str]] = []
        try:
            for row in csv.reader(io.StringIO(text), delimiter=delimiter):
                if not "".join(row).strip():
                    if rows:
                        break
                    continue
                rows.append([_cell(cell) for cell in row])
                if len(rows) > MAX_CELLS:
                    raise TableError(f"more than {MAX_CELLS} cells")
        except csv.Error as error:
            raise TableError(str(error)) from None
        if not rows:
            raise TableError("no rows")
        return _table(rows[0], rows[1:])

    return read


def _from_header(text: str, header: Sequence[str], delimiter: str) -> str:
    """The text from the last line that holds the gold's column names, in any order: prose may stand before it."""
    wanted = Counter(header)
    lines = text.split("\n")
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].count(delimiter) >= len(header) - 1 and len(lines[at]) < 20_000:
            try:
                (names,) = csv.reader([lines[at]], delimiter=delimiter)
            except (csv.Error, ValueError):
                continue
            if Counter(filter(None, map(_cell, names))) == Counter({k: n for k, n in wanted.items() if k}):
                return "\n".join(lines[at:])
    raise TableError("no line with the column names")


def _json(text: str, _: Sequence[str] | None) -> Table:
    text = text.strip()
    try:
        value = parse_json(text)
    except LiteralError:
        value = last_json(text, "[" if text.rfind("]") > text.rfind("}") else "{")
    return _records(value)


def _json_lines(text: str, _: Sequence[str] | None) -> Table:
    lines = [line.strip() for line in text.split("\n") if line.strip().startswith("{")]
    if not lines or len(lines) > MAX_CELLS:
        raise TableError("no JSON lines, or too many")
    return _records([parse_json(line) for line in lines])


def _records(value: Any) -> Table:
    """Rows from records, from an index of records ("0": {…}), or from columns ("name": […] or {"0": …})."""
    if isinstance(value, dict):
        inner = list(value.values())
        if inner and all(isinstance(one, list) for one in inner) and len({len(one) for one in inner}) == 1:
            value = [dict(zip(value, row, strict=True)) for row in zip(*inner, strict=True)]
        elif inner and all(isinstance(one, dict) for one in inner):
            if all(str(key).isdigit() for one in inner for key in one) and not all(
                str(k).isdigit() for k in value
            ):
                keys = list(inner[0])
                value = [{name: column.get(key) for name, column in value.items()} for key in keys]
            else:
                value = inner
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise TableError("not a list of objects with the same keys")
    header = list(value[0])
    if any(set(row) != set(header) for row in value):
        raise TableError("objects with different keys")
    if any(isinstance(cell, list | dict) for row in value for cell in row.values()):
        raise TableError("a cell that is not a single value")
    return _table([_cell(name) for name in header], [[_cell(row[name]) for name in header] for row in value])


READERS: Mapping[str, Reader] = {
    "markdown": _markdown,
    "md": _markdown,
    "html": _html,
    "csv": _separated(","),
    "tsv": _separated("\t"),
    "json": _json,
    "jsonl": _json_lines,
}


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
