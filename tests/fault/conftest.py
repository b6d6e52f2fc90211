"""Fleets for the fault tests, which of those tests an ordinary run leaves out, and the figures at the end of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.fleets import FULL, Fleet
from tests.redis_server import Server


def pytest_configure(config: pytest.Config) -> None:
    """The marker of this folder."""
    config.addinivalue_line("markers", "long: only with FAULT=1 (`make fault`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, unless everything is asked for."""
    left_out = [] if FULL else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


FIGURES: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a test noted as the user property `figures`, and how it ended."""
    for name, text in report.user_properties:
        if name == "figures":
            bad = report.failed or FIGURES.get(report.nodeid, "").startswith("FAILED")
            FIGURES[report.nodeid] = f"{'FAILED: ' if bad else ''}{text}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all tests that have some, by the fault's number."""
    if FIGURES:
        terminalreporter.section("figures of the faults")
        for nodeid in sorted(FIGURES, key=lambda one: (fault_of(one) or 99, one)):
            number = fault_of(nodeid)
            label = f"F{number}" if number else "-"
            terminalreporter.line(f"{label:<4} {nodeid.partition('::')[2]}: {FIGURES[nodeid]}")


def fault_of(nodeid: str) -> int:
    """The number in a test's name (`test_f17_…`); 0 for none."""
    found = re.search(r"::test_f(\d+)_", nodeid)
    return int(found[1]) if found else 0


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A Redis of the test's own, with nobody at work yet. What a test notes in `figures` is in the summary."""
    server = Server(port=0)
    found = Fleet(server, tmp_path)
    try:
        yield found
    finally:
        found.stop()
        server.close()
        if found.figures:
            text = ", ".join(f"{value} {name}" for name, value in found.figures.items())
            request.node.user_properties.append(("figures", text))
