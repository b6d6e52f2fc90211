"""Fleets for the fault tests, and which of those tests an ordinary run leaves out."""

from __future__ import annotations

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
