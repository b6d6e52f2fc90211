"""A worker's page: what it counts, and what it says of itself while Redis is gone and while it stops."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable

import httpx2
import pytest

from tests.fault.fleets import Fleet, entries, finished, until
from tests.load.measure import free_port

pytestmark = [pytest.mark.fault, pytest.mark.redis]


def pages(port: int) -> Callable[[str], tuple[int, str]]:
    """A function from a path to the page's status code and text; (0, "") while nobody listens."""

    def read(path: str) -> tuple[int, str]:
        try:
            reply = httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=10)
        except httpx2.ConnectError:
            return 0, ""
        return reply.status_code, reply.text

    return read


async def test_the_page_tells_the_truth(fleet: Fleet) -> None:
    port = free_port()
    read = pages(port)
    worker = fleet.worker(worker_port=port, redis_seconds=0.5)
    await until(lambda: read("/readyz") == (200, '{"status":"ready"}'), 60)
    async with fleet.desk() as desk:
        await finished(desk, (await desk.submit(entries(100))).batch.id, 30)
        status, metrics = read("/metrics")
        assert status == 200
        assert 'reward_service_worker_items_total{kind="judged"} 100.0' in metrics
        counted = re.findall(r'reward_service_items_total{data_source="fleet",.* (\d+)\.0', metrics)
        assert sum(map(int, counted)) == 100
        assert "reward_service_pool_processes 1.0" in metrics
        assert "reward_service_worker_in_touch 1.0" in metrics

        fleet.server.kill()
        await until(lambda: read("/readyz") == (503, '{"status":"Redis does not answer"}'), 30)
        assert read("/healthz") == (200, '{"status":"alive"}')  # no reason to kill it: Redis comes back
        fleet.server.start()
        await until(lambda: read("/readyz")[0] == 200, 30)

        await desk.submit(entries(32, "nap 100"))
        await until(lambda: "reward_service_worker_chunks_at_work 1.0" in read("/metrics")[1], 30)
        worker.signal(signal.SIGTERM)
        await until(lambda: read("/readyz") == (503, '{"status":"stopping"}'), 5)
        assert worker.wait() == 0


async def test_a_taken_port_is_one_clear_line(fleet: Fleet) -> None:
    port = fleet.server.port
    worker = fleet.start(
        [sys.executable, "-m", "reward_service.cli", "worker"],
        fleet.environment(worker_port=port),
    )
    assert worker.wait() == 1
    assert worker.text() == (
        f"reward-service: can't listen on 127.0.0.1 port {port}: Address already in use; "
        "each worker needs its own worker_port\n"
    )
