"""The side-by-side benchmark: its page is what was measured, a broken peer is a row, and a hostile row stays between its walls."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.engine import need
from tests.load import peers_bench, peers_page, peers_rows
from tests.load.peers.rewards_peer import run_fresh, unboxed
from tests.load.peers_rows import Row, Rows
from tests.load.peers_sides import ENTRANTS, Entrant, Judged, Side, Unavailable, own_python, peer

HERE = Path("/nonexistent")
MEASURED = json.loads((peers_page.DOCS / "benchmarks.json").read_text())["peers"]


def test_the_picture_is_what_was_measured() -> None:
    kept = (peers_page.DOCS / "benchmarks.svg").read_text()
    assert kept == peers_page.plot(MEASURED), "run `make bench ARGS='peers --write'`"
    ElementTree.fromstring(kept)


def test_everybody_is_in_the_figures() -> None:
    assert [(row["kind"], row["name"]) for row in MEASURED] == [
        (kind, one.name) for kind, entrants in ENTRANTS.items() for one in entrants
    ]
    ours = [row for row in MEASURED if row["name"] == "this service"]
    assert all(row["cheats"]["accepted"] == 0 and row["ratio"] == 1.0 for row in ours)


class Fixed:
    """Pays everything, at a known price."""

    version = "1"

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        return Judged(dict.fromkeys(range(len(rows)), 1.0), wall=2.0, cpu=0.001 * len(rows))


@contextmanager
def fixed() -> Iterator[Side]:
    yield Fixed()


@contextmanager
def absent() -> Iterator[Side]:
    raise Unavailable("not <installable> here")
    yield


class Breaking(Fixed):
    """Dies of the cheats."""

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        if any("cheat" in row for row in rows):
            raise BrokenPipeError
        return super().judge(rows, at_once, seconds)


@contextmanager
def breaking() -> Iterator[Side]:
    yield Breaking()


def test_a_missing_or_broken_peer_is_a_row_with_its_reason() -> None:
    right, wrong = {"right": True}, {"right": False}
    rows = Rows([right] * 4, [right, wrong, wrong], [{**wrong, "cheat": 1}], "made up")
    entrants = (Entrant("this service", fixed), Entrant("gone", absent), Entrant("weak", breaking))
    found = peers_bench.measured("math", entrants, rows, 1.0, 1.0)
    assert [row.get("missing") for row in found] == [None, "not <installable> here", "BrokenPipeError()"]
    assert found[0]["labelled"] == {"judged": 3, "accepted": 2, "refused": 0, "silent": 0}
    assert (found[0]["rate"], found[0]["cpu"], found[0]["ratio"]) == (2.0, pytest.approx(1000.0), 1.0)
    cells = peers_page.rows(found, "math")
    assert {len(row) for row in cells} == {len(peers_page.HEADER)}
    assert "not &lt;installable&gt; here" in peers_page.plot(found)


def test_no_answer_refuses_a_right_row_and_pays_no_wrong_one() -> None:
    rows = [{"right": True}, {"right": False}, {"right": True}]
    counts = peers_bench.wrong(rows, Judged({0: None, 1: None}, 1.0, 1.0))
    assert counts == {"judged": 2, "accepted": 0, "refused": 1, "silent": 2}


@pytest.mark.parametrize("make", [peers_rows.math, peers_rows.code])
def test_rows_that_ship(make) -> None:
    rows = make(HERE)
    assert len(rows.timed) > 100 and len(rows.labelled) > 50 and len(rows.cheats) > 50
    assert {row["right"] for row in rows.labelled} == {True, False}
    assert not any(row["right"] for row in rows.cheats)


@pytest.mark.parametrize(
    ("boxed", "line"),
    [
        ("so \\boxed{\\frac{1}{2}}.", "so \nAnswer: \\frac{1}{2}\n."),
        ("\\boxed{1} or \\boxed{2}", "\nAnswer: 1\n or \nAnswer: 2\n"),
        ("\\boxed{1", "\nAnswer: 1\n"),
        ("none", "none"),
    ],
)
def test_another_dress(boxed: str, line: str) -> None:
    assert unboxed(boxed) == line


@pytest.mark.parametrize(
    ("style", "program", "paid"),
    [
        ("stdio", "print(int(input()) + 1)", 1.0),
        ("stdio", "print(int(input()))", 0.0),
        ("function", "def more(x): return x + 1", 1.0),
        ("function", "class Solution:\n    def more(self, x): return x + 1", 1.0),
        ("function", "def more(x): return x", 0.0),
        ("assert", "def more(x): return x + 1", 1.0),
        ("assert", "raise SystemExit(0)", 1.0),  # what the fresh process can't see: a cheat that it pays
    ],
)
def test_a_fresh_python(style: str, program: str, paid: float) -> None:
    tests: dict[str, object] = {"inputs": ["1\n", "7\n"], "outputs": ["2\n", "8\n"]}
    if style == "function":
        tests = {"fn_name": "more", "inputs": [[1], [7]], "outputs": [2, 8]}
    if style == "assert":
        tests = {"functional": "assert more(1) == 2"}
    row = {"response": peers_rows.fenced(program), "tests": tests}
    assert run_fresh([sys.executable, "-I", "-c"], row, str) == paid


def test_a_cheat_that_kills_its_judge_takes_nothing_else_with_it() -> None:
    need("bwrap")
    tests = {"inputs": ["1\n"], "outputs": ["2\n"]}
    programs = (
        "print(int(input()) + 1)",
        "import os\nos.kill(-1, 9)",
        f"open({str(Path(__file__))!r}, 'a')\nprint(2)",
        "print(2)",
    )
    rows = [{"response": peers_rows.fenced(program), "tests": tests} for program in programs]
    with peer(own_python, "fresh_python") as side:
        judged = side.judge(rows, 1, 60.0)
    assert judged.scores == {0: 1.0, 1: None, 2: 0.0, 3: 1.0}
