"""Handlers for reward-service; each module is an entry point in `pyproject.toml` and registers itself when imported."""
