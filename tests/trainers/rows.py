"""Rows that every trainer's client is sent: right, wrong, in other scripts, large, and one that can't be judged."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A row, a response, and the reward that it must get (None: it can't be judged)."""

    data_source: str
    ground_truth: Any
    response: str
    reward: float | None

    @property
    def row(self) -> dict[str, Any]:
        """The row, for a label that holds one."""
        return {"data_source": self.data_source, "ground_truth": self.ground_truth}

    @property
    def label(self) -> str:
        """The row as JSON text."""
        return json.dumps(self.row, ensure_ascii=False)


ORDER = "logic__ordering_puzzle"
MATH = "math__dapo"
BIRDS = ["Eule", "Krähe", "鶴"]
CASES = [
    Case(MATH, "42", "6 · 7, so \\boxed{42}", 1.0),
    Case(MATH, "42", "I think \\boxed{41}", 0.0),
    Case(ORDER, BIRDS, "<answer>['Eule', 'Krähe', '鶴']</answer> 🙂", 1.0),
    Case(ORDER, BIRDS, "<answer>['鶴', 'Krähe', 'Eule']</answer>", 0.0),
    Case(MATH, "42", "ä🙂 " * 25_000 + "\\boxed{42}", 1.0),
    Case("nothing like it", "42", "\\boxed{42}", None),
    Case(MATH, "1/2", "\\boxed{0.5}", 1.0),
]
MANY = [Case(MATH, str(n), f"\\boxed{{{n if n % 3 else n + 1}}}", float(n % 3 > 0)) for n in range(200)]
"""Two hundred different items whose rewards tell if any is out of place."""


def rewards(cases: list[Case], missing: float) -> list[float]:
    """The rewards that must come out, with `missing` for what can't be judged."""
    return [missing if case.reward is None else case.reward for case in cases]
