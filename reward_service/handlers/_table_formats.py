"""A table from its text: markdown, HTML, CSV, TSV, JSON or JSON lines.

What is decided here: what counts as one table in each format, and the caps under which it is read (characters, cells,
nesting). Prose around the table is left out where the format lets it be told apart; of several tables the last one
counts. Cells keep their text (no guessed types: "007" stays "007"), with white space collapsed and missing values
empty.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lxml.etree
import lxml.html
from markdown_it import MarkdownIt

from reward_service.handlers._literal import LiteralError, last_json, parse_json
from reward_service.handlers._text import collapse, plain_characters

MAX_CHARS = 1 << 17
MAX_CELLS = 40_000


class TableError(ValueError):
    """The text is not one table of that format."""


@dataclass(frozen=True, slots=True)
class Table:
    """Column names in order, and rows of as many cells; white space collapsed, missing cells empty."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def format_of(text: str) -> str:
    """The format that a text (which is a table) is written in: a key of `READERS`."""
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


Reader = Callable[[str, Sequence[str] | None], Table]
"""Text and the gold's header (None when the gold itself is read) -> Table, or TableError or LiteralError."""


def table_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
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


def cell_text(value: object) -> str:
    """A cell's text: plain characters, single spaces, "" for a missing value."""
    text = collapse(plain_characters("" if value is None else str(value)))
    return "" if text.lower() in _MISSING else text


_MARKDOWN = MarkdownIt("commonmark").enable("table")
_MARKDOWN.core.ruler.enableOnly(["normalize", "block"])
_DELIMITER = re.compile(r"\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?|\| *:?-+:? *")


def _markdown(text: str, _: Sequence[str] | None) -> Table:
    block = _last_block(text.split("\n"))
    if len(block) > MAX_CELLS:
        raise TableError(f"more than {MAX_CELLS} cells")
    rows: list[list[str]] = []
    for token in _MARKDOWN.parse("\n".join(block)):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(cell_text(token.content))
    if not rows:
        raise TableError("header and dashes don't fit together")
    # markdown-it cuts rows that are too long, as the specification says; a table that was to be copied has none.
    if any(line.replace("\\|", "").strip().strip("|").count("|") >= len(rows[0]) for line in block[2:]):
        raise TableError("a row with more cells than there are columns")
    return table_of(rows[0], rows[1:])


def _last_block(lines: Sequence[str]) -> list[str]:
    """Header, dashes and rows of the last run of lines with `|` in them (later dashes in it are cells)."""
    block: list[str] = []
    found: list[str] = []
    for line in [*lines, ""]:
        if "|" in line:
            block.append(line.strip())
            continue
        at = next((i for i in range(1, len(block)) if _is_delimiter(block[i])), 0)
        found = block[at - 1 :] if at else found
        block = []
    if not found:
        raise TableError("no line of dashes under a header")
    return found


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
        [cell_text(cell.text_content()) for cell in row if cell.tag in ("td", "th")]
        for row in root.iter("tr")
    ]
    rows = [row for row in rows if row]
    if not rows:
        raise TableError("a table without rows")
    return table_of(rows[0], rows[1:])


def _separated(delimiter: str) -> Reader:
    def read(text: str, header: Sequence[str] | None) -> Table:
        text = text if header is None else _from_header(text, header, delimiter)
        rows: list[list[str]] = []
        try:
            for row in csv.reader(io.StringIO(text), delimiter=delimiter):
                blank = len(row) < 2 and not "".join(row).strip()  # `,,` is a row of empty cells
                if blank and not rows:
                    continue
                if blank and len(rows[0]) > 1:
                    break
                rows.append([cell_text(cell) for cell in row])
                if len(rows) > MAX_CELLS:
                    raise TableError(f"more than {MAX_CELLS} cells")
        except csv.Error as error:
            raise TableError(str(error)) from None
        if not rows:
            raise TableError("no rows")
        return table_of(rows[0], rows[1:])

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
            if Counter(filter(None, map(cell_text, names))) == Counter(
                {k: n for k, n in wanted.items() if k}
            ):
                return "\n".join(lines[at:])
    raise TableError("no line with the column names")


def _json(text: str, _: Sequence[str] | None) -> Table:
    text = text.strip()
    try:
        value = parse_json(text)
    except LiteralError:
        value = last_json(text, "[" if text.rfind("]") > text.rfind("}") else "{")
    return records(value)


def _json_lines(text: str, _: Sequence[str] | None) -> Table:
    lines = [line.strip() for line in text.split("\n") if line.strip().startswith("{")]
    if not lines or len(lines) > MAX_CELLS:
        raise TableError("no JSON lines, or too many")
    return records([parse_json(line) for line in lines])


def records(value: Any) -> Table:
    """Rows from records, from an index of records ("0": {…}), or from columns ("name": […] or {"0": …})."""
    if isinstance(value, dict):
        inner = list(value.values())
        if inner and all(isinstance(one, list) for one in inner) and len({len(one) for one in inner}) == 1:
            value = [dict(zip(value, row, strict=True)) for row in zip(*inner, strict=True)]
        elif inner and not any(isinstance(one, list | dict) for one in inner):
            value = [value]  # one row
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
    return table_of(
        [cell_text(name) for name in header], [[cell_text(row[name]) for name in header] for row in value]
    )


READERS: Mapping[str, Reader] = {
    "markdown": _markdown,
    "md": _markdown,
    "html": _html,
    "csv": _separated(","),
    "tsv": _separated("\t"),
    "json": _json,
    "jsonl": _json_lines,
}
