"""Right and wrong answers of the table handlers, from their ground truths alone.

What is decided here: which parts of a whole table may be written otherwise (columns in another order, blank space, the fence) and
which may not. A table in HTML is only altered as text: a cell, a row.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from reward_service.audit.kit import BARE_BOX, BOX, MATH_BOX, Answers, Form, Kit, distinct
from reward_service.audit.kits_words import PLAIN, misspelt
from reward_service.audit.model import Subject
from reward_service.audit.numbers import number, other_numbers, same_number, written

FORMS = (
    BOX,
    MATH_BOX,
    BARE_BOX,
    Form("bold_around", lambda answer: f"So it follows.\n\n**The final answer is \\boxed{{{answer}}}.**"),
)
SCALES = frozenset({"thousand", "million", "billion"})


def values_of(subject: Subject) -> list[str]:
    """The values that the answer has to name."""
    gold = subject.ground_truth
    if isinstance(gold, list):
        return [str(value) for value in gold]
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        return []
    text = str(gold).strip()
    if subject.source == "table__tablebench" and number(text) is None:
        return text.split(", ")
    return text.split("|")


def table(subject: Subject) -> Answers | None:
    if subject.source == "table__tabfact":
        return verdict(subject)
    values = values_of(subject)
    if not values or not all(value.strip() for value in values):
        return None
    scale = str(subject.extra_info.get("scale") or "")
    if len(values) > 1:
        return several(values) if not scale else None
    (text,) = values
    value = number(text)
    if value is not None:
        wrong = list(other_numbers(value))
        if scale in SCALES:
            wider = "billion" if scale == "million" else "million"
            same = [("scale_word", f"{text} {scale}"), ("scale_money", f"\\${text} \\text{{ {scale}}}")]
            wrong = [(name, f"{other} {scale}") for name, other in wrong] + [
                ("other_scale", f"{text} {wider}")
            ]
            return Answers(FORMS, same, distinct(wrong))
        if scale == "percent":
            same = [("percent", f"{text}\\%"), ("percent_sign", f"{text}%")]
            wrong = [(name, f"{other}\\%") for name, other in wrong]
            return Answers(FORMS, same, distinct(wrong))
        if scale:
            return None
        if "." in text or len(text) > 6:
            wrong = [pair for pair in wrong if pair[0] not in ("plus_one", "minus_one", "digits_swapped")]
        same = distinct(
            [("plain", text), *same_number(value), ("approximately", f"\\approx {written(value)}")]
        )
        return Answers(FORMS, same, distinct(wrong, [text]))
    if (day := date_of(text)) is not None:
        return Answers(FORMS, [("plain", text), *dates(day)], list(other_dates(day)), hedges=False)
    if not PLAIN.fullmatch(text):
        return Answers(FORMS[:1], [("plain", text)], []) if not set("{}\\$%&#_") & set(text) else None
    if text.lower() in ("yes", "no"):
        opposite = "no" if text.lower() == "yes" else "yes"
        same = [("plain", text), ("upper_case", text.upper()), ("title_case", text.title())]
        return Answers(FORMS, same, [("opposite", opposite), ("both", "yes and no")])
    same = [
        ("plain", text),
        ("upper_case", text.upper()),
        ("title_case", text.title()),
        ("text_macro", f"\\text{{{text}}}"),
        ("bold_macro", f"\\textbf{{{text}}}"),
        ("quoted", f'"{text}"'),
        ("full_stop", f"{text}."),
        ("padded", f"  {text} "),
    ]
    wrong = [("something_else", "zzqq"), ("value_more", f"{text} | zzqq"), ("more_words", f"{text} and zzqq")]
    typo = misspelt(text)
    if typo is not None:
        wrong.append(("letter_dropped", typo))
    return Answers(FORMS, same, distinct(wrong, [text]))


_MONTHS = {date(2000, month, 1).strftime("%B").lower(): month for month in range(1, 13)}
_DATES = (
    re.compile(r"(?P<month>[A-Z][a-z]{2,8})\.? (?P<day>\d{1,2}), (?P<year>[12]\d{3})"),
    re.compile(r"(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2,8})\.? (?P<year>[12]\d{3})"),
    re.compile(r"(?P<year>[12]\d{3})-(?P<number>\d{2})-(?P<day>\d{2})"),
)


def date_of(text: str) -> date | None:
    """The day that a text is, if it says day, month and year in English or ISO 8601."""
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            word = (parts.get("month") or "").lower()
            months = [n for name, n in _MONTHS.items() if word and name.startswith(word)]
            month = int(parts["number"]) if parts.get("number") else months[0] if len(months) == 1 else 0
            try:
                return date(int(parts["year"]), month, int(parts["day"]))
            except ValueError:
                return None
    return None


def dates(day: date) -> Iterator[tuple[str, str]]:
    """The day, as it is written elsewhere."""
    yield "month_first", f"{day:%B} {day.day}, {day.year}"
    yield "day_first", f"{day.day} {day:%B} {day.year}"
    yield "iso", day.isoformat()
    yield "short_month", f"{day:%b} {day.day}, {day.year}"


def other_dates(day: date) -> Iterator[tuple[str, str]]:
    """Other days, and no day."""
    for name, other in (
        ("next_day", day + timedelta(days=1)),
        ("next_month", day + timedelta(days=31)),
        ("next_year", day + timedelta(days=366)),
    ):
        yield name, f"{other:%B} {other.day}, {other.year}"
    yield "year_alone", str(day.year)
    yield "month_alone", f"{day:%B} {day.year}"


def verdict(subject: Subject) -> Answers | None:
    """TabFact's entailed or refuted."""
    names = {"1": "entailed", "0": "refuted", "entailed": "entailed", "refuted": "refuted"}
    name = names.get(str(subject.ground_truth).strip().lower())
    if name is None:
        return None
    opposite = "refuted" if name == "entailed" else "entailed"
    return Answers(
        FORMS,
        [("plain", name), ("upper_case", name.upper())],
        [("opposite", opposite), ("both", f"{name}, {opposite}")],
    )


def several(values: Sequence[str]) -> Answers | None:
    """Several values, joined by `|` in any order."""
    if any(set("{}\\$%&#_|") & set(value) for value in values):
        return None
    bars = " | ".join(values)
    same = [
        ("bars", bars),
        ("bars_close", "|".join(values)),
        ("bars_reversed", " | ".join(values[::-1])),
        ("text_macro", f"\\text{{{bars}}}"),
    ]
    wrong = [("value_more", f"{bars} | zzqq"), ("replaced", " | ".join([*values[:-1], "zzqq"]))]
    if len(set(values)) == len(values):
        wrong += [
            ("last_missing", " | ".join(values[:-1])),
            ("first_missing", " | ".join(values[1:])),
            ("one_twice", " | ".join([*values[:-1], values[0]])),
        ]
    return Answers(FORMS[:3], same, distinct(wrong), hedges=False)


# Whole tables


class Table(NamedTuple):
    """A table and how it was written."""

    kind: str
    header: list[str]
    rows: list[list[str]]


def read_table(text: str) -> Table | None:
    """A markdown, CSV or TSV table, or a list of JSON objects with equal keys; None for anything else."""
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0].startswith("|") and re.fullmatch(r"[|:\- ]+", lines[1]):
        cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
        found = Table("markdown", cells[0], cells[2:])
    elif text.lstrip().startswith("["):
        try:
            objects = json.loads(text)
        except ValueError:
            return None
        if not objects or not all(isinstance(row, dict) and list(row) == list(objects[0]) for row in objects):
            return None
        found = Table("json", list(objects[0]), [list(row.values()) for row in objects])
    elif text.lstrip().startswith(("<", "{")) or len(lines) < 2:
        return None
    else:
        kind = "tsv" if "\t" in lines[0] else "csv"
        cells = list(csv.reader(io.StringIO(text.strip()), delimiter="\t" if kind == "tsv" else ","))
        found = Table(kind, cells[0], cells[1:])
    whole = len(found.header) > 1 and len(set(found.header)) == len(found.header) and found.rows
    return found if whole and all(len(row) == len(found.header) for row in found.rows) else None


def write_table(kind: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as text."""
    if kind == "markdown":
        lines = [header, ["---"] * len(header), *rows]
        return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    if kind == "json":
        return json.dumps([dict(zip(header, row, strict=True)) for row in rows], ensure_ascii=False)
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
    writer.writerows([header, *rows])
    return out.getvalue().rstrip("\n")


def structure(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    if not isinstance(gold, str) or not gold.strip():
        return None
    read = read_table(gold)
    markup = gold.lstrip().startswith("<")
    kind = read.kind if read is not None else "html" if markup else ""
    if not kind:
        return None
    forms = [
        Form("fenced", lambda answer: f"Here it is:\n```{kind}\n{answer}\n```"),
        Form("alone", lambda answer: answer),
        Form(
            "words_around", lambda answer: f"Here it is:\n\n```{kind}\n{answer}\n```\n\nNothing was left out."
        ),
    ]
    if read is None:
        return Answers(forms, [("plain", gold)], list(markup_misses(gold)), hedges=False)
    header, rows = read.header, read.rows
    turned = list(range(len(header)))[::-1]
    same = [
        ("plain", gold),
        ("written_again", write_table(kind, header, rows)),
        (
            "columns_reordered",
            write_table(kind, [header[i] for i in turned], [[r[i] for i in turned] for r in rows]),
        ),
    ]
    wrong = [
        ("last_cell", write_table(kind, header, [*rows[:-1], [*rows[-1][:-1], f"{rows[-1][-1]}q"]])),
        ("header_misspelt", write_table(kind, [*header[:-1], f"{header[-1]}q"], rows)),
        ("row_more", write_table(kind, header, [*rows, [f"{cell}q" for cell in rows[-1]]])),
        ("header_alone", write_table(kind, header, [])),
    ]
    if len(rows) > 1:
        wrong.append(("row_missing", write_table(kind, header, rows[:-1])))
    if any(row[0] != row[-1] for row in rows):
        exchanged = [[row[-1], *row[1:-1], row[0]] for row in rows]
        wrong.append(("columns_exchanged", write_table(kind, header, exchanged)))
    return Answers(forms, same, distinct(wrong, [gold]), hedges=False)


def markup_misses(gold: str) -> Iterator[tuple[str, str]]:
    """An HTML table with another last cell, and without its last row."""
    cell = gold.rfind("</td>")
    if cell > 0:
        yield "last_cell", f"{gold[:cell]}q{gold[cell:]}"
    start, end = gold.rfind("<tr>"), gold.rfind("</tr>")
    if 0 < start < end and gold.count("<tr>") > 2:
        yield "row_missing", gold[:start] + gold[end + len("</tr>") :]


KITS = (
    Kit(frozenset({"table"}), table),
    Kit(frozenset({"table_structure"}), structure),
)
