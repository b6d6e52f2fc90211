"""`python arq_peer.py URL COUNT BYTES`: so many no-op tasks through arq; prints the CPU seconds. In arq's own environment."""

import asyncio
import json
import resource
import sys
from importlib.metadata import version

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker


async def work(context: dict, row: str) -> str:
    """The task."""
    return "x"


def spent() -> float:
    """CPU seconds so far: what starting took is not the queue's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(url: str, count: int, size: int) -> None:
    """Send, work, count."""
    before = spent()
    pool = await create_pool(RedisSettings.from_dsn(url))
    for number in range(count):
        await pool.enqueue_job("work", f"{number} " + "x" * size)
    worker = Worker([work], redis_pool=pool, burst=True, max_jobs=64, poll_delay=0.01, handle_signals=False)
    await worker.main()
    assert worker.jobs_complete == count, worker.jobs_complete
    print(json.dumps({"cpu": spent() - before, "version": version("arq")}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
