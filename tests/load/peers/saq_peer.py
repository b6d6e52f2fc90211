"""`python saq_peer.py URL COUNT BYTES`: so many no-op tasks through saq; prints the CPU seconds. In saq's own environment."""

import asyncio
import json
import resource
import sys
from importlib.metadata import version

from saq import Queue, Worker

done = 0


async def work(context: dict, *, row: str) -> str:
    """The task."""
    global done
    done += 1
    return "x"


def spent() -> float:
    """CPU seconds so far: what starting took is not the queue's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(url: str, count: int, size: int) -> None:
    """Send, work, count."""
    before = spent()
    queue = Queue.from_url(url)
    await queue.connect()
    for number in range(count):
        await queue.enqueue("work", row=f"{number} " + "x" * size)
    worker = Worker(queue, functions=[work], concurrency=64)
    task = asyncio.create_task(worker.start())
    while done < count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    print(json.dumps({"cpu": spent() - before, "version": version("saq")}), flush=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
