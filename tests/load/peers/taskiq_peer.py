"""`python taskiq_peer.py URL COUNT BYTES`: so many no-op tasks through taskiq-redis; prints the CPU seconds. In its own environment."""

import asyncio
import json
import resource
import sys
from importlib.metadata import version

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(sys.argv[1], consumer_id="0")
done = 0


@broker.task
async def work(row: str) -> str:
    """The task."""
    global done
    done += 1
    return "x"


def spent() -> float:
    """CPU seconds so far: what starting took is not the queue's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(count: int, size: int) -> None:
    """Send, work, count."""
    before = spent()
    broker.is_worker_process = True
    await broker.startup()
    for number in range(count):
        await work.kiq(f"{number} " + "x" * size)
    task = asyncio.create_task(run_receiver_task(broker, max_async_tasks=64))
    while done < count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    print(json.dumps({"cpu": spent() - before, "version": version("taskiq-redis")}), flush=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await broker.shutdown()


asyncio.run(main(int(sys.argv[2]), int(sys.argv[3])))
