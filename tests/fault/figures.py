"""A plugin of `make fault` (`-p tests.fault.figures`): what the tests of the faults noted as the user property `figures`, printed at the end
and written to a file for docs/faults.md.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fault.fleets import FULL


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where `make fault` leaves what docs/faults.md shows."""
    parser.addoption("--figures", type=Path, help="write the figures of the faults to this file, as JSON")


FIGURES: dict[str, str] = {}
ENDED: dict[str, tuple[str, float]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a test noted as the user property `figures`, how it ended, and how long it took."""
    outcome, seconds = ENDED.get(report.nodeid, ("passed", 0.0))
    ENDED[report.nodeid] = (outcome if report.passed else report.outcome, seconds + report.duration)
    for name, text in report.user_properties:
        if name == "figures":
            bad = report.failed or FIGURES.get(report.nodeid, "").startswith("FAILED")
            FIGURES[report.nodeid] = f"{'FAILED: ' if bad else ''}{text}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures of all tests that have some, by the fault's number; with `--figures`, a file of them."""
    if FIGURES:
        terminalreporter.section("figures of the faults")
        for nodeid in sorted(FIGURES, key=lambda one: (fault_of(one) or 99, one)):
            number = fault_of(nodeid)
            label = f"F{number}" if number else "-"
            terminalreporter.line(f"{label:<4} {nodeid.partition('::')[2]}: {FIGURES[nodeid]}")
    if path := config.getoption("--figures", default=None):
        faults: dict[int, dict[str, Any]] = {}
        for nodeid in sorted(ENDED):
            if number := fault_of(nodeid):
                row = faults.setdefault(number, {"seconds": 0.0, "figures": []})
                outcome, seconds = ENDED[nodeid]
                row[outcome] = row.get(outcome, 0) + 1
                row["seconds"] = round(row["seconds"] + seconds, 1)
                case = nodeid.partition("[")[2].removesuffix("]")
                row["figures"] += (
                    [f"{case}: {FIGURES[nodeid]}" if case else FIGURES[nodeid]] if nodeid in FIGURES else []
                )
        day = time.strftime("%Y-%m-%d", time.gmtime())
        ordered = {f"F{number}": faults[number] for number in sorted(faults)}
        path.write_text(
            json.dumps({"day": day, "full": FULL, "faults": ordered}, indent=1, ensure_ascii=False) + "\n"
        )


def fault_of(nodeid: str) -> int:
    """The number in a test's name (`test_f17_…`); 0 for none."""
    found = re.search(r"::test_f(\d+)_", nodeid)
    return int(found[1]) if found else 0
