"""The sandbox that a suite runs on: one fixture, a parameter for each adapter (`tests/sandboxes.py`)."""

from tests.sandboxes import sandbox

__all__ = ["sandbox"]
