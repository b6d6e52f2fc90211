"""Skyscrapers: fill an n by n grid so that every row and column has 1..n once, and as many towers are seen as the clues say.

What is decided here: the answer is the last `<answer>`, rows on lines or separated by `;`, numbers by spaces or commas.
Any grid that keeps the rules is right; none is stored. A clue of 0 asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_SIZE = 12
MAX_ANSWER = 2_000
SIDES = ("top", "bottom", "left", "right")


@handler(
    "skyscrapers",
    version="1",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "synlogic__skyscrapers",
            gold='the clues: `{"top": […], "bottom": […], "left": […], "right": […]}`, 0 where there is none',
            example=Example(
                "Three towers are seen from the left of row 1.\n<answer>1 2 3\n2 3 1\n3 1 2</answer>",
                {"top": [3, 2, 1], "bottom": [1, 2, 2], "left": [3, 2, 1], "right": [1, 2, 2]},
            ),
        )
    ],
)
def plan(item: Item) -> Outcome:
    """The grid keeps the rules of the puzzle and every clue."""
    clues = read_clues(item.ground_truth)
    if clues is None:
        return malformed(
            "the ground truth has four lists of clues of one length, numbers from 0 to that length"
        )
    size = len(clues[0])
    final = item.response.rpartition("</think>")[2]
    if "<think>" in final:
        return reject(Reason.NO_ANSWER, message="the thinking never ends")
    answers = re.findall(r"<answer>([^<]*)</answer>", final)
    if not answers or not answers[-1].strip():
        return reject(Reason.NO_ANSWER, message="no <answer>…</answer>")
    if len(answers[-1]) > MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",))
    grid = read_grid(answers[-1], size)
    if grid is None:
        return reject(Reason.MALFORMED_ANSWER, answers[-1])
    broken = violation(grid, clues)
    if broken:
        return reject(Reason.CONSTRAINT_VIOLATED, answers[-1], message=broken)
    return accept(answers[-1].strip())


def read_clues(gold: object) -> list[list[int]] | None:
    """The four lists in the order of `SIDES`, or None if they are of no use."""
    if not isinstance(gold, dict):
        return None
    clues = [gold.get(side) for side in SIDES]
    size = len(clues[0]) if isinstance(clues[0], list) else 0
    good = 1 < size <= MAX_SIZE and all(
        isinstance(side, list) and len(side) == size and all(type(n) is int and 0 <= n <= size for n in side)
        for side in clues
    )
    return clues if good else None  # type: ignore[return-value]


def read_grid(text: str, size: int) -> list[list[int]] | None:
    """`size` rows of `size` numbers, or None."""
    rows = [re.findall(r"\d{1,2}", row) for row in re.split(r"[\n;]", text.strip()) if row.strip()]
    if re.search(r"[^\d\s,;|\[\]]", text) or len(rows) != size or any(len(row) != size for row in rows):
        return None
    return [[int(cell) for cell in row] for row in rows]


def violation(grid: Sequence[Sequence[int]], clues: Sequence[Sequence[int]]) -> str:
    """What the grid breaks, in words that give nothing away; "" if it keeps everything."""
    size = len(grid)
    columns = [list(column) for column in zip(*grid, strict=True)]
    if any(sorted(line) != list(range(1, size + 1)) for line in (*grid, *columns)):
        return "a row or column doesn't have each number once"
    top, bottom, left, right = clues
    lines = [*columns, *(column[::-1] for column in columns), *grid, *(list(row)[::-1] for row in grid)]
    for line, clue in zip(lines, (*top, *bottom, *left, *right), strict=True):
        if clue and seen(line) != clue:
            return "a clue isn't met"
    return ""


def seen(line: Sequence[int]) -> int:
    """How many towers are seen from the start of the line."""
    count = tallest = 0
    for tower in line:
        if tower > tallest:
            count, tallest = count + 1, tower
    return count
