"""reasoning-gym's scorers, for the tasks in which they are used.

What is decided here: how the library is called. It is imported with stand-ins for what only makes puzzles; a scorer
gets a deep copy of the row's entry (some write into it), and whatever it raises is a 0, because the entry is checked
before. Scorers are made once per process, those of `LIBRARY` before children are forked.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from reward_service.handlers._optional import load
from reward_service.handlers.gym.tasks import LIBRARY

EXTRA = "gym"
Scorer = Callable[[str, dict[str, Any]], float]


@cache
def _scorer(task: str) -> Scorer:
    load("reasoning_gym", EXTRA, without=("cellpylib", "pycosat"))
    scorer: Scorer = load("reasoning_gym.factory", EXTRA).get_score_answer_fn(task)
    return scorer


_MOVES = re.compile(r"(?:[A-Z][+-]\d{1,2}[\s,]*+){1,500}")
"""A plan for rush_hour. Its scorer walks one step at a time, and finds its moves in any text: `A+9999999999` never ends."""

_SHAPES = {
    "sokoban": re.compile(r"[ULDR\s,;>→-]+"),
    "quantum_lock": re.compile(r"[A-Ca-c\s,;>→\[\]\"'-]+"),
    "kakurasu": re.compile(r"[01\s,|\[\]()]+"),
}
"""Tasks whose scorers pick what they know out of any text: "not ULDR" and "ULDR or nothing" would be ULDR."""


def shaped(task: str, answer: str) -> bool:
    """Is there nothing in the answer but what the task's scorer reads?"""
    shape = _SHAPES.get(task)
    return shape is None or shape.fullmatch(answer) is not None


def score(task: str, answer: str, entry: Mapping[str, Any]) -> float:
    """The library's score, in [0, 1]; 0 where the scorer stumbles. `Missing` if the extra isn't installed."""
    scorer = _scorer(task)
    if task == "rush_hour" and not _MOVES.fullmatch(answer.strip()):
        return 0.0
    try:
        found = float(scorer(answer, copy.deepcopy(dict(entry))))
    except (RecursionError, MemoryError):
        raise
    except Exception:  # a scorer that stumbles over the answer
        return 0.0
    return found if 0.0 <= found <= 1.0 else 0.0


def warm_up() -> None:
    """Import the library and make the scorers of `LIBRARY`."""
    for task in sorted(LIBRARY):
        _scorer(task)
