"""Right and wrong answers of the logic and grid puzzles, from their ground truths alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from reward_service.audit.kit import BARE_BOX, BOX, TAG, TAG_LINES, Answers, Form, Kit, distinct
from reward_service.audit.model import Subject

FENCED_TAG = Form("fenced_in_tag", lambda answer: f"<answer>\n```json\n{answer}\n```\n</answer>")
UPPER_TAG = Form("upper_case_tag", lambda answer: f"So it follows.\n<ANSWER>{answer}</ANSWER>")


def decoded(gold: Any) -> Any:
    """A ground truth that may be JSON in a string."""
    if isinstance(gold, str):
        try:
            return json.loads(gold)
        except ValueError:
            return gold
    return gold


# Grids

Grid = list[list[int]]


def grid_of(gold: Any) -> Grid | None:
    """One rectangular grid of whole numbers, or None."""
    read = decoded(gold)
    if not isinstance(read, list) or not read or not all(isinstance(row, list) and row for row in read):
        return None
    width = len(read[0])
    whole = all(len(row) == width and all(type(cell) is int for cell in row) for row in read)
    return read if whole else None


def grid_same(grid: Grid) -> Iterator[tuple[str, str]]:
    rows = [json.dumps(row) for row in grid]
    yield "json", json.dumps(grid)
    yield "compact", json.dumps(grid, separators=(",", ":"))
    yield "row_per_line", "[" + ",\n ".join(rows) + "]"
    yield "indented", json.dumps(grid, indent=2)
    yield "trailing_comma", "[" + ", ".join(rows) + ",]"
    yield "array_call", f"np.array({json.dumps(grid)})"
    if all(0 <= cell <= 9 for row in grid for cell in row):
        yield "digits", "\n".join(" ".join(map(str, row)) for row in grid)


def grid_other(grid: Grid) -> Iterator[tuple[str, str]]:
    def text(other: Sequence[Sequence[object]]) -> str:
        return json.dumps(other)

    last = [*grid[:-1], [*grid[-1][:-1], (grid[-1][-1] + 1) % 10]]
    yield "last_cell", text(last)
    yield "first_cell", text([[(grid[0][0] + 1) % 10, *grid[0][1:]], *grid[1:]])
    if len(grid) > 1:
        yield "row_missing", text(grid[:-1])
    yield "row_more", text([*grid, grid[-1]])
    yield "column_more", text([[*row, row[-1]] for row in grid])
    yield "ragged", text([*grid[:-1], [*grid[-1], 0]])
    yield "halves", text([[cell + 0.5 for cell in row] for row in grid])
    yield "background", text([[0 for _ in row] for row in grid])
    yield "two_grids", f"{text(last)} {text(grid)}"
    for name, other in (
        ("transposed", [list(column) for column in zip(*grid, strict=True)]),
        ("rows_reversed", grid[::-1]),
        ("columns_reversed", [row[::-1] for row in grid]),
    ):
        if other != grid:
            yield name, text(other)
    swapped = swapped_cells(grid)
    if swapped is not None:
        yield "cells_swapped", text(swapped)


def swapped_cells(grid: Grid) -> Grid | None:
    for number, row in enumerate(grid):
        for place in range(len(row) - 1):
            if row[place] != row[place + 1]:
                other = [*row[:place], row[place + 1], row[place], *row[place + 2 :]]
                return [*grid[:number], other, *grid[number + 1 :]]
    return None


def grids(subject: Subject) -> Answers | None:
    grid = grid_of(subject.ground_truth)
    if grid is None:
        return None
    same = list(grid_same(grid))
    forms = [
        TAG,
        TAG_LINES,
        UPPER_TAG,
        FENCED_TAG,
        BOX,
        Form("in_prose", lambda a: f"The output grid is:\n\n{a}\n"),
    ]
    wrong = [(name, text) for name, text in grid_other(grid) if text != same[0][1]]
    return Answers(forms, same, distinct(wrong), hedges=False)


# Zebra tables


def table_of(gold: Any) -> tuple[list[str], list[list[str]]] | None:
    read = decoded(gold)
    if (
        not isinstance(read, dict)
        or not isinstance(read.get("header"), list)
        or not isinstance(read.get("rows"), list)
    ):
        return None
    header, rows = read["header"], read["rows"]
    whole = rows and all(isinstance(row, list) and len(row) == len(header) for row in rows)
    return (header, rows) if whole and len(header) > 1 else None


def zebra(subject: Subject) -> Answers | None:
    read = table_of(subject.ground_truth)
    if read is None:
        return None
    header, rows = read

    def text(head: Sequence[str], body: Sequence[Sequence[str]], **how: Any) -> str:
        return json.dumps({"header": list(head), "rows": [list(row) for row in body]}, **how)

    turned = [0, *range(len(header) - 1, 0, -1)]
    lines = [header, ["---"] * len(header), *rows]
    same = [
        ("json", text(header, rows)),
        ("indented", text(header, rows, indent=2)),
        ("compact", text(header, rows, separators=(",", ":"))),
        ("keys_reversed", json.dumps({"rows": rows, "header": header})),
        ("python", repr({"header": header, "rows": rows})),
        ("columns_reordered", text([header[i] for i in turned], [[row[i] for i in turned] for row in rows])),
        ("upper_case", text(header, [[str(cell).upper() for cell in row] for row in rows])),
        ("blank_in_cells", text(header, [[f"{cell} " for cell in row] for row in rows])),
        ("markdown", "\n".join(f"| {' | '.join(map(str, row))} |" for row in lines)),
    ]
    other = [
        ("every_cell_unknown", text(header, [[row[0], *("___" for _ in row[1:])] for row in rows])),
        (
            "header_moved",
            text([header[i] for i in turned], rows) if len(header) > 2 else text(["zz"] * len(header), rows),
        ),
        ("cell_misspelt", text(header, [[*rows[0][:-1], f"{rows[0][-1]}q"], *rows[1:]])),
        ("hedged_cell", text(header, [[*rows[0][:-1], f"{rows[0][-1]} or {rows[-1][-1]}"], *rows[1:]])),
    ]
    if len(rows) > 1:
        other += [
            ("row_missing", text(header, rows[:-1])),
            (
                "rows_exchanged",
                text(header, [[rows[0][0], *rows[1][1:]], [rows[1][0], *rows[0][1:]], *rows[2:]]),
            ),
            (
                "cells_exchanged",
                text(header, [[*rows[0][:-1], rows[1][-1]], [*rows[1][:-1], rows[0][-1]], *rows[2:]]),
            ),
        ]
    if rows[0][-1] == rows[-1][-1]:
        other = [
            pair for pair in other if pair[0] not in ("cells_exchanged", "rows_exchanged", "hedged_cell")
        ]
    fence = Form("fence", lambda answer: f"So it follows.\n```json\n{answer}\n```")
    return Answers(
        [TAG, TAG_LINES, UPPER_TAG, FENCED_TAG, fence], same, distinct(other, [same[0][1]]), hedges=False
    )


# Orderings and nodes


def ordering(subject: Subject) -> Answers | None:
    names = decoded(subject.ground_truth)
    if (
        not isinstance(names, list)
        or len(names) < 2
        or not all(isinstance(n, str) and n.isalpha() for n in names)
    ):
        return None
    same = [
        ("python_list", repr(names)),
        ("json_list", json.dumps(names)),
        ("no_quotes", f"[{', '.join(names)}]"),
        ("no_brackets", ", ".join(names)),
        ("title_case", repr([name.title() for name in names])),
        ("lines", "[\n" + ",\n".join(f"  {name!r}" for name in names) + "\n]"),
        ("numbered", "\n".join(f"{place}. {name}" for place, name in enumerate(names, 1))),
        ("tuple", f"({', '.join(map(repr, names))})"),
    ]
    other = [
        ("first_two_exchanged", repr([names[1], names[0], *names[2:]])),
        ("last_two_exchanged", repr([*names[:-2], names[-1], names[-2]])),
        ("reversed", repr(names[::-1])),
        ("one_missing", repr(names[:-1])),
        ("one_more", repr([*names, "zzqq"])),
        ("one_twice", repr([*names, names[-1]])),
        ("all_twice", repr(names * 2)),
        ("two_orders", f"{names!r} or {names[::-1]!r}"),
        ("empty_list", "[]"),
    ]
    if len(set(map(str.lower, names))) < len(names):
        return Answers([TAG], same[:2], [])
    return Answers([TAG, TAG_LINES, UPPER_TAG, FENCED_TAG, BARE_BOX], same, distinct(other, [repr(names)]))


def graph(subject: Subject) -> Answers | None:
    name = subject.ground_truth
    if not isinstance(name, str) or not name.isalpha() or len(name) < 3:
        return None
    same = [
        ("plain", name),
        ("upper_case", name.upper()),
        ("quoted", f'"{name}"'),
        ("bold", f"**{name}**"),
        ("code", f"`{name}`"),
        ("full_stop", f"{name}."),
        ("box_inside", f"\\boxed{{{name}}}"),
    ]
    other = [
        ("something_else", "zzqq"),
        ("cut_short", name[:-1]),
        ("longer", f"{name}q"),
        ("letters_exchanged", name[1] + name[0] + name[2:]),
        ("way", f"zzqq -> {name}"),
        ("several", f"zzqq, {name}, qqzz"),
    ]
    return Answers([TAG, TAG_LINES, UPPER_TAG, BARE_BOX], same, distinct(other, [name]))


# Knights and knaves

_ROLE = re.compile(r"(\w+) is a (knight|knave)")


def knights(subject: Subject) -> Answers | None:
    gold = decoded(subject.ground_truth)
    pairs = (
        list(gold.items()) if isinstance(gold, dict) else _ROLE.findall(gold) if isinstance(gold, str) else []
    )
    if not pairs or not all(isinstance(role, str) and role in ("knight", "knave") for _, role in pairs):
        return None
    flipped = {"knight": "knave", "knave": "knight"}

    def listed(roles: Sequence[tuple[str, str]], shape: str = "({place}) {name} is a {role}") -> str:
        return "\n".join(shape.format(place=i, name=n, role=r) for i, (n, r) in enumerate(roles, 1))

    (first, role), *rest = pairs
    same = [
        ("numbered", listed(pairs)),
        ("reordered", listed(pairs[::-1])),
        ("dotted", listed(pairs, "{place}. {name} is a {role}.")),
        ("bold_role", listed(pairs, "({place}) {name} is a **{role}**")),
        ("colons", listed(pairs, "({place}) {name}: {role}")),
        ("sentence", ", ".join(f"{name} is a {role}" for name, role in pairs) + "."),
        ("lower_case", listed(pairs).lower()),
    ]
    other = [
        ("first_flipped", listed([(first, flipped[role]), *rest])),
        ("last_flipped", listed([*pairs[:-1], (pairs[-1][0], flipped[pairs[-1][1]])])),
        ("all_flipped", listed([(name, flipped[role]) for name, role in pairs])),
        ("both_roles", listed([*pairs, *((name, flipped[role]) for name, role in pairs)])),
        ("either", listed(pairs, "({place}) {name} is a knight or a knave")),
        ("denied", listed(pairs, "({place}) it is false that {name} is a {role}")),
        ("others", listed([(f"{name}zz", role) for name, role in pairs])),
    ]
    if rest:
        other.append(("one_missing", listed(pairs[:-1])))
    forms = [
        Form("conclusion", lambda answer: f"So it follows.\nCONCLUSION:\n{answer}"),
        Form("bold_heading", lambda answer: f"So it follows.\n**CONCLUSION:**\n{answer}"),
        Form("lower_heading", lambda answer: f"So it follows.\nConclusion:\n{answer}"),
    ]
    return Answers(forms, same, distinct(other), hedges=False)


KITS = (
    Kit(frozenset({"grid"}), grids),
    Kit(frozenset({"zebra"}), zebra),
    Kit(frozenset({"ordering"}), ordering),
    Kit(frozenset({"graph"}), graph),
    Kit(frozenset({"knights_knaves"}), knights),
)
