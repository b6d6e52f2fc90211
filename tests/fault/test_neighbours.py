"""What honest programs feel while somebody else's program misbehaves in the place beside them (F12).

For each kind, blocks of honest items without and with a hostile program under way take turns in one run, so that the machine's own
moods fall on both. What must hold: the hostile one ends with the status of its kind; the honest ones are paid, and their p95 is at most
twice what it is without; the host's memory and disk are afterwards what they were, and meanwhile what the places may have. How fast
things are, and what the host has, is asserted with FAULT=1 only.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.engine import running_host
from tests.fault.fleets import FULL, often
from tests.fault.test_cheats_under_load import DOCKER
from tests.load.measure import service

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800 if FULL else 240)]

MIB = 1 << 20
PLACES = 2
MEMORY = 512 * MIB
PLACE_MEMORY = 2048 * MIB
"""What a place may have at the most, whatever is in it: the limit of its container or cgroup."""
WALL = 4.0
RATIO, ONE_KIND_RATIO = 2.0, 3.0
"""Of p95: over everything, and beside one kind, of which there are too few items for a sharp bound."""
ITEMS = often(3, 20)
ROUNDS = often(1, 3)

HOSTILE: dict[str, tuple[str, set[str]]] = {
    "takes memory": (
        "import os\nkept = []\nfor _ in range(8):\n    os.fork()\nwhile True: kept.append(bytearray(os.urandom(1 << 20)) * 8)",
        {"memory_limit", "runtime_error", "time_limit"},
    ),
    "fork bomb": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        {"time_limit", "runtime_error"},
    ),
    "a gigabyte of output": (
        "import os\nfor _ in range(1024): os.write(1, b'x' * (1 << 20)); os.write(2, b'y' * (1 << 20))",
        {"output_limit", "ok", "time_limit"},
    ),
    "fills the disk": (
        "import os, itertools\nfor n in itertools.count():\n    for d in ('/tmp', '.', '/dev/shm', '/var/tmp'):\n        try:\n"
        "            with open(f'{d}/{n}', 'wb') as f:\n                for _ in range(64): f.write(os.urandom(1 << 20))\n        except OSError: pass",
        {"time_limit", "memory_limit", "runtime_error"},
    ),
    "sleeps past its limit": ("import time\ntime.sleep(1000)", {"time_limit"}),
    "ignores signals": (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\nwhile True: pass",
        {"time_limit"},
    ),
    "closes its streams": (
        "import os, time\nos.close(0); os.close(1); os.close(2)\ntime.sleep(1000)",
        {"time_limit"},
    ),
}
"""Name -> program, and how it may end."""


@dataclass
class Host:
    """Memory that was available and disk that was used at first; the least and the most since then."""

    memory: int = 0
    disk: int = 0
    least: int = 0
    most: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> tuple[int, int]:
        """Bytes of memory that are available, bytes of disk that are used."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) << 10
        disk = os.statvfs("/")
        return free, (disk.f_blocks - disk.f_bfree) * disk.f_frsize

    def watch(self) -> None:
        """Until `over`."""
        while not self.over.wait(0.05):
            free, used = self.look()
            self.least, self.most = min(self.least, free), max(self.most, used)


@contextmanager
def watched() -> Iterator[Host]:
    """The host, while the block lasts."""
    host = Host()
    host.memory, host.disk = host.look()
    host.least, host.most = host.memory, host.disk
    thread = threading.Thread(target=host.watch)
    thread.start()
    try:
        yield host
    finally:
        host.over.set()
        thread.join()


class Neighbour:
    """Honest items, one after the other, and what they cost; programs of others beside them."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http
        self.number = 0
        self.wrong: list[str] = []

    def honest(self) -> float:
        """Seconds that one took."""
        self.number += 1
        program = f"# {self.number}\nprint(sum(i * i for i in range(int(input()))))"
        inputs = [str(1_000 * case) for case in range(1, 21)]
        outputs = [str(sum(i * i for i in range(int(text)))) for text in inputs]
        item = {
            "data_source": "codegen__neighbour", "response": f"```python\n{program}\n```",
            "ground_truth": {"inputs": inputs, "outputs": outputs},
        }  # fmt: skip
        started = time.perf_counter()
        reply = self.http.post("/v1/score", json=item, params={"deadline_seconds": 120})
        took = time.perf_counter() - started
        if reply.json().get("score") != 1.0:
            self.wrong.append(reply.text[:300])
        return took

    def run(self, program: str) -> str:
        """How somebody's program ended."""
        limits = {
            "cpu_seconds": WALL,
            "wall_seconds": WALL,
            "total_cpu_seconds": 600,
            "memory_bytes": MEMORY,
            "output_bytes": 1 << 16,
        }
        reply = self.http.post(
            "/v1/run", json={"program": program, "limits": limits}, params={"deadline_seconds": 120}
        )
        return str(reply.json()["results"][0]["status"]) if reply.status_code == 200 else reply.text[:300]

    def beside(self, program: str, work: Callable[[], list[float]]) -> tuple[list[float], list[str]]:
        """The work while the program runs again and again, and how it ended each time."""
        over, ended = threading.Event(), list[str]()

        def go() -> None:
            while not over.is_set() or not ended:
                ended.append(self.run(program))

        thread = threading.Thread(target=go)
        thread.start()
        try:
            time.sleep(0.3)
            return work(), ended
        finally:
            over.set()
            thread.join()

    def block(self) -> list[float]:
        """Some honest items."""
        return [self.honest() for _ in range(ITEMS)]


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@pytest.mark.parametrize("engine", ["bubblewrap", DOCKER])
def test_f12_what_honest_programs_feel_beside_hostile_ones(
    engine: str, record_property: Callable[[str, object], None]
) -> None:
    settings = {"sandbox": engine, "sandbox_places": str(PLACES), "processes": "1"}
    ratios: dict[str, float] = {}
    all_alone, all_beside = list[float](), list[float]()
    with (
        running_host(engine) as more,
        service("reward_service.registry:load", **settings, **more) as (url, _),
        httpx2.Client(base_url=url, timeout=180) as http,
    ):
        it = Neighbour(http)
        it.block()
        with watched() as host:
            for name, (program, endings) in HOSTILE.items():
                alone, beside = list[float](), list[float]()
                for _ in range(ROUNDS):
                    alone += it.block()
                    took, ended = it.beside(program, it.block)
                    beside += took
                    assert set(ended) <= endings, f"{name}: {ended}"
                ratios[name] = p95(beside) / p95(alone)
                all_alone += alone
                all_beside += beside
            time.sleep(2)
            free, used = host.look()
    ratio = p95(all_beside) / p95(all_alone)
    figures = (
        f"{it.number} honest items, {len(it.wrong)} not paid; p95 beside / alone {ratio:.2f}: "
        + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        + f"; host memory at most -{(host.memory - host.least) // MIB} MiB, afterwards {(free - host.memory) // MIB:+d} MiB; "
        f"disk at most {(host.most - host.disk) // MIB:+d} MiB, afterwards {(used - host.disk) // MIB:+d} MiB"
    )
    record_property("figures", figures)
    assert it.wrong == []
    if FULL:  # the host's own figures mean something where nothing else runs
        assert host.memory - host.least < PLACE_MEMORY + 1024 * MIB
        assert free > host.memory - 512 * MIB
        assert used < host.disk + 256 * MIB
        assert ratio <= RATIO and max(ratios.values()) <= ONE_KIND_RATIO, figures
