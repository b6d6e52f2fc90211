"""How long a hostile item holds up its batch beyond its deadline: `python -m tests.load.overshoot_bench`.

Each kind of hostile item stands among 200 innocent ones; prints wall seconds beyond the item's own budget, the median
and the worst of several tries, and how many innocent items were touched. To be run on an idle machine.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from reward_service.engine.pool import Pool
from tests.fault import hostile
from tests.fault.test_pool import HOSTILE, task

TRIES = 5


async def main() -> None:
    """Print the table."""
    print(f"{'item':10} {'budget s':>8} {'median beyond':>13} {'worst beyond':>12} {'innocents touched':>17}")
    async with Pool(hostile.registry(), size=2, loader="tests.fault.hostile:registry") as pool:
        for response, _, budget in HOSTILE:
            beyond: list[float] = []
            touched = 0
            for _ in range(TRIES):
                tasks = [task("right") for _ in range(200)]
                tasks[77] = task(response)
                started = time.monotonic()
                outcomes = await pool.run(tasks)
                beyond.append(time.monotonic() - started - budget)
                touched += sum(
                    not getattr(outcome, "correct", False) for n, outcome in enumerate(outcomes) if n != 77
                )
            print(
                f"{response:10} {budget:8.2f} {statistics.median(beyond):13.3f} {max(beyond):12.3f} {touched:17}"
            )


if __name__ == "__main__":
    asyncio.run(main())
