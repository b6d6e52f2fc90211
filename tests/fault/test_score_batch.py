"""`score --via batch` on a fleet: the command and the gateway are killed in the middle, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import httpx2

from reward_service.bulk import Job
from reward_service.remote_batch import note_path
from tests.fault.fleet_handlers import score_of
from tests.fault.fleets import HANDLERS, Fleet, Process, often, until
from tests.load.measure import free_port

COMMAND = [sys.executable, "-c", "from reward_service.cli import main; main()"]


def dump(path: Path, rows: int) -> list[str]:
    """Rows that take a while, every hundredth of them cut off; the responses of the others."""
    responses = [f"nap 1 {number} \u2028\u0085\f" for number in range(rows)]
    with path.open("w") as file:
        for number, text in enumerate(responses):
            line = json.dumps({"data_source": "fleet", "response": text, "ground_truth": "x", "mine": number})
            file.write((line if number % 100 != 50 else line[:-9]) + "\n")
    return [text for number, text in enumerate(responses) if number % 100 != 50]


async def test_the_same_command_goes_on_with_the_same_batch(fleet: Fleet, tmp_path: Path) -> None:
    rows, kills = often(2_500, 20_000), often(2, 8)
    fleet.lease = 10.0  # a worker that starves on a full machine is not dead
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    responses = dump(source, rows)
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    async def gateway() -> Process:
        serve = [sys.executable, "-m", "tests.load.serve", HANDLERS, str(port)]
        process = fleet.start(serve, fleet.environment(engine="fleet"))
        await until(lambda: answers(url), 60)
        return process

    def command(to: Path, via: str) -> list[str]:
        return [*COMMAND, "score", str(source), "-o", str(to), "--url", url, "--via", via]

    serving = await gateway()
    (worker,) = await fleet.workers(1)
    partial = tmp_path / "out.jsonl.partial"
    run = fleet.start(command(out, "batch"), os.environ)
    for number in range(kills):
        goal = (number + 1) * partial_size(rows) // (kills + 1)
        await until(lambda goal=goal, run=run: size_of(partial) > goal or not run.alive, 60)  # type: ignore[misc]
        if number and not run.alive:
            break  # a machine so busy that it was done before anybody looked
        assert run.alive, run.text()
        if number == 0:  # the second time only the command
            serving.signal(signal.SIGKILL)
        run.signal(signal.SIGKILL)
        run.wait()
        if number == 0:
            serving.wait()
            serving = await gateway()
        run = fleet.start(command(out, "batch"), os.environ)
    assert run.wait(100) == 3, run.text()
    assert "going on with batch_" in run.text()
    (batch,) = httpx2.get(f"{url}/v1/batches").json()["data"]
    assert batch["request_counts"] == {"total": len(responses), "completed": len(responses), "failed": 0}
    worker.signal(signal.SIGTERM)
    worker.wait()
    assert worker.stats()["items"] == len(responses), "something was scored twice"
    outcomes = [json.loads(line)["outcome"] for line in out.read_bytes().split(b"\n")[:-1]]
    assert len(outcomes) == rows
    found = [outcome["score"] for outcome in outcomes if outcome["reason"] != "malformed_item"]
    assert found == [score_of(text) for text in responses]
    assert not note_path(Job(source, out)).exists() and not partial.exists()
    # The very bytes that requests give.
    await fleet.workers(1)
    assert fleet.start(command(tmp_path / "streamed.jsonl", "stream"), os.environ).wait(100) == 3
    assert (tmp_path / "streamed.jsonl").read_bytes() == out.read_bytes()


def partial_size(rows: int) -> int:
    """About the bytes of a finished output."""
    return rows * 300


def size_of(path: Path) -> int:
    """Its bytes, if it is there."""
    return path.stat().st_size if path.exists() else 0


def answers(url: str) -> bool:
    """Is somebody there?"""
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False
