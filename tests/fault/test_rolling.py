"""Rolling restarts: two gateways behind a balancer that honours readiness, replaced in turn under load."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import httpx2
import pytest

from tests.fault.fleets import often
from tests.load.measure import free_port

pytestmark = pytest.mark.fault

ITEM = {"data_source": "logic__graph", "response": "<answer>owl</answer>", "ground_truth": "owl"}


class Gateway:
    """A gateway on a port of its own, as `reward-service serve` runs it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.ready = False
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {
            "PORT": str(self.port),
            "PROCESSES": "1",
            "SPARE_PROCESSES": "0",
            "SANDBOX": "none",
            "DRAIN_NOTICE_SECONDS": "1.5",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reward_service.cli", "serve"],
            env=os.environ | {f"REWARD_SERVICE_{name}": value for name, value in settings.items()},
            stdout=subprocess.DEVNULL,
        )


async def watch(gateway: Gateway) -> None:
    """What a balancer does: asks ten times a second."""
    async with httpx2.AsyncClient(timeout=2) as client:
        while True:
            try:
                gateway.ready = (await client.get(gateway.url + "/readyz")).status_code == 200
            except httpx2.HTTPError:
                gateway.ready = False
            await asyncio.sleep(0.1)


async def until_ready(gateway: Gateway) -> None:
    async with asyncio.timeout(90):
        while not gateway.ready:  # noqa: ASYNC110 - the watcher asks
            await asyncio.sleep(0.05)


async def test_f10_a_rolling_restart_under_load_fails_no_request(request: pytest.FixtureRequest) -> None:
    gateways = [Gateway(), Gateway()]
    watchers = [asyncio.create_task(watch(gateway)) for gateway in gateways]
    sent, failures, stop = 0, [], False

    async def load(number: int, client: httpx2.AsyncClient) -> None:
        nonlocal sent
        while not stop:
            ready = [gateway for gateway in gateways if gateway.ready]
            if not ready:
                failures.append("no gateway is ready")
                return
            sent += 1
            try:
                reply = await client.post(
                    f"{ready[sent % len(ready)].url}/v1/score", json={**ITEM, "id": number}
                )
                if reply.status_code != 200 or reply.json()["score"] != 1.0:
                    failures.append(reply.text)
            except httpx2.HTTPError as error:
                failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.02)

    try:
        for gateway in gateways:
            await until_ready(gateway)
        async with httpx2.AsyncClient(timeout=30) as client:
            clients = [asyncio.create_task(load(number, client)) for number in range(4)]
            for _ in range(often(1, 5)):
                for gateway in gateways:
                    gateway.process.send_signal(signal.SIGTERM)
                    started = time.monotonic()
                    await asyncio.to_thread(gateway.process.wait, 40)
                    assert not gateway.ready or time.monotonic() - started < 40
                    gateway.start()
                    gateway.ready = False
                    await until_ready(gateway)
            stop = True
            await asyncio.gather(*clients)
    finally:
        for watcher in watchers:
            watcher.cancel()
        for gateway in gateways:
            gateway.process.kill()
            gateway.process.wait()
    request.node.user_properties.append(
        ("figures", f"{sent} requests during {2 * often(1, 5)} restarts, {len(failures)} failed")
    )
    assert sent > 100
    assert not failures, failures[:5]
