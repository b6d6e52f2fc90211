"""The run of the whole stack takes minutes: only with REWARD_SERVICE_TEST_COMPOSE=1 (`make test-compose`)."""

from __future__ import annotations

import os

import pytest

from tests.engine import docker_host

__all__ = ["docker_host"]


def pytest_configure(config: pytest.Config) -> None:
    """The marker of this folder."""
    config.addinivalue_line("markers", "stack: runs docker-compose.yml; only by `make test-compose`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the stack out, unless it is asked for."""
    asked = os.environ.get("REWARD_SERVICE_TEST_COMPOSE")
    left_out = [] if asked else [item for item in items if item.get_closest_marker("stack")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
