"""verl's own default scoring of rows in a file, in verl's environment: called by `tests.load.cluster_step`.

As its reward loop does it: a synchronous scorer in the default thread pool, all samples at once. Prints one line of JSON:
wall and CPU seconds (children included) and a score for each row (null where verl raised).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from verl.utils.reward_score import default_compute_score  # type: ignore[import-not-found]


def score(row: dict[str, Any]) -> float | None:
    try:
        found = default_compute_score(row["data_source"], row["response"], row["ground_truth"])
    except Exception:
        return None
    if isinstance(found, dict):
        found = found["score"]
    return max(0.0, float(found))  # math_dapo says -1 for wrong


async def run(rows: list[dict[str, Any]]) -> list[float | None]:
    loop = asyncio.get_running_loop()
    return list(await asyncio.gather(*(loop.run_in_executor(None, score, row) for row in rows)))


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # its scorers print
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    score(rows[0])  # imports
    before, began = os.times(), time.monotonic()
    scores = asyncio.run(run(rows))
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    print(json.dumps({"wall": time.monotonic() - began, "cpu": cpu, "scores": scores}), file=answers)


if __name__ == "__main__":
    main()
