"""Disks that run full, each a small tmpfs: the files that were uploaded, and the journal of Redis (F19). The engine's is in `test_sandbox_faults.py`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from reward_service.errors import Overloaded
from tests.engine import unavailable
from tests.fault.fleets import Fleet, entries, finished, often, patiently
from tests.load.measure import service
from tests.redis_server import Server

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

KIB = 1 << 10
DISK = 2 << 20
LINE = b'{"data_source":"math","response":"1","ground_truth":"1"}\n'


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    if os.geteuid():
        unavailable("mounting a small disk takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_f19_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(
    disk: Path, request: pytest.FixtureRequest
) -> None:
    """Around the last free page: also where the lines still fit, and what describes them does not."""
    kept = refused = 0
    kind = {"content-type": "application/x-ndjson"}
    settings = {"sandbox": "none", "processes": "1", "files_dir": str(disk)}
    with (
        service("reward_service.registry:load", **settings) as (url, _),
        httpx2.Client(base_url=url, timeout=60) as http,
    ):
        for size in range(DISK - 24 * KIB, DISK + 12 * KIB, often(2, 1) * KIB):
            reply = http.post("/v1/files", content=LINE * (size // len(LINE)), headers=kind)
            assert reply.status_code in (201, 507), reply.text
            if reply.status_code == 201:
                kept += 1
                name = reply.json()["id"]
                assert len(http.get(f"/v1/files/{name}/content").content) == reply.json()["bytes"]
                assert http.delete(f"/v1/files/{name}").status_code < 300
            else:
                refused += 1
                assert reply.json()["type"].endswith("no-room")
                assert int(reply.headers["retry-after"]) > 0
            assert list(disk.iterdir()) == []
            assert http.get("/v1/files").json()["data"] == []
        (disk / "somebody's").write_bytes(b"x" * 100)
        assert http.post("/v1/files", content=LINE, headers=kind).status_code == 201
    assert kept and refused
    request.node.user_properties.append(("figures", f"{kept} uploads kept, {refused} refused, 0 in part"))


@pytest.mark.redis
async def test_f19_a_journal_that_can_not_be_written_refuses_work_until_there_is_room(
    disk: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fleet = Fleet(Server("--dir", str(disk), port=0), tmp_path)
    sent = entries(300, "spin 1")
    ballast = disk / "ballast"
    try:
        async with fleet.desk() as desk:
            batch = (await desk.submit(sent)).batch.id
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 4 * KIB)
            refused, accepted = 0, []
            for number in range(200):
                try:
                    accepted.append((await desk.submit(entries(200, f"more {number}"))).batch.id)
                except Overloaded as error:
                    assert error.retry_after
                    refused += 1
                if refused == 3:
                    break
            assert refused == 3
            ballast.unlink()
            accepted.append((await patiently(lambda: desk.submit(entries(100, "afterwards")))).batch.id)
            await fleet.workers(1)
            for one in (batch, *accepted):
                await finished(desk, one, 60)
            await fleet.check(desk, batch, sent)
            request.node.user_properties.append(
                (
                    "figures",
                    f"{refused} refused with Retry-After, {1 + len(accepted)} batches accepted and finished, 0 lost",
                )
            )
    finally:
        fleet.stop()
        fleet.server.close()
