"""Implementations of the engine's ports: one module per technology."""
