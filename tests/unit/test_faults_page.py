"""`docs/faults.md` and the tests agree: every fault has its row, and every test that is called after a fault is in a file of that row."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = set(range(1, 26))


def rows() -> dict[int, set[str]]:
    """Number -> the files that its row names before a semicolon."""
    page = (ROOT / "docs" / "faults.md").read_text().partition("## Figures")[0]
    found = re.findall(r"^\| F(\d+) \|.*\| ([^|]+) \|$", page, re.M)
    return {int(number): set(re.findall(r"`([^`]+)`", cell.partition(";")[0])) for number, cell in found}


def named() -> dict[int, set[str]]:
    """Number -> the files with a test of its name (the tests of the handler `f1` are no fault's)."""
    found: dict[int, set[str]] = {}
    for path in sorted(set((ROOT / "tests").rglob("test_*.py")) - {ROOT / "tests/handlers/test_f1.py"}):
        for number in re.findall(r"^(?:async )?def test_f(\d+)_", path.read_text(), re.M):
            found.setdefault(int(number), set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_fault_has_its_tests_and_every_test_its_row() -> None:
    assert rows().keys() == FAULTS
    assert rows() == named()


def test_every_fault_has_its_figures() -> None:
    measured = json.loads((ROOT / "docs" / "faults.json").read_text())
    assert measured["full"] and {int(name[1:]) for name in measured["faults"]} == FAULTS
    for row in measured["faults"].values():
        assert row["passed"] and not row.get("failed") and all(row["figures"]) and row["figures"]


def test_make_fault_runs_every_file_of_them() -> None:
    (line,) = re.findall(r"^\tFAULT=1 .*$", (ROOT / "Makefile").read_text(), re.M)
    run = set(re.findall(r"tests/\S+", line))
    missing = {
        file
        for files in rows().values()
        for file in files
        if file not in run and str(Path(file).parent) not in run
    }
    assert not missing
