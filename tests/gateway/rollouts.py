"""Rollouts that the tests of both clients send."""

from __future__ import annotations

from typing import Any


def item(number: int, right: bool = True) -> dict[str, Any]:
    """An ordering puzzle's item, a different one for each number."""
    words = ["owl", "crow"] if right else ["crow", "owl"]
    return {
        "data_source": "logic__ordering_puzzle",
        "response": f"{number} <answer>{words}</answer>",
        "ground_truth": ["owl", "crow"],
    }
