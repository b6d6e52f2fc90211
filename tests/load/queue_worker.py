"""`python -m tests.load.queue_worker URL PLACES SPIN_US`: a worker whose judge accepts everything at once.

What is left is the queue's own cost. SPIN_US: CPU that each item takes all the same, for the curve of workers.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence

import uvloop

from reward_service.adapters.redis_client import RedisOptions
from reward_service.adapters.redis_queue import RedisQueue
from reward_service.engine.scorer import Row, Scored
from reward_service.engine.worker import Worker, WorkerOptions
from reward_service.types import accept

SCORED = Scored(accept("x"), "noop", "gym")


class NoJudge:
    """Accepts everything."""

    def __init__(self, spin: float) -> None:
        self._spin = spin

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        """One acceptance per row."""
        if self._spin:
            end = time.process_time() + self._spin * len(rows)
            while time.process_time() < end:
                pass
            await asyncio.sleep(0)
        return [SCORED] * len(rows)


async def main(url: str, places: int, spin: float) -> None:
    """Work until SIGTERM."""
    queue = RedisQueue(RedisOptions(url), lease_seconds=30)
    worker = Worker(queue, NoJudge(spin), WorkerOptions(places))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    print("ready", flush=True)
    await worker.run()
    await queue.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1e6))
