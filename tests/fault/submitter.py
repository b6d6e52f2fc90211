"""`python -m tests.fault.submitter URL KEY COUNT PAUSE`: sends a batch in pieces, and says when it is accepted."""

from __future__ import annotations

import asyncio
import sys

from reward_service.adapters.redis_client import RedisOptions
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.desk import Batches
from tests.fault.fleets import entries


async def main(url: str, key: str, count: int, pause: float) -> None:
    """What a gateway does with one request."""
    options = RedisOptions(url)
    desk = Batches(RedisBatchStore(options, upload_seconds=1.0), RedisQueue(options))
    upload = await desk.begin(key=key, digest="d")
    for start in range(0, count, 64):
        await upload.add(entries(count)[start : start + 64])
        await asyncio.sleep(pause)
    print("accepted", (await upload.seal()).batch.id, flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
