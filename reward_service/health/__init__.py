"""Reward health: what the scores of a run look like over time, and when they look wrong. Pure; nothing here does I/O."""
