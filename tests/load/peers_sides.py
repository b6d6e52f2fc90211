"""Who judges in the side-by-side benchmark: this service, a peer in an environment of its own, a fresh container per test.

What is decided here: a peer that runs programs in its own process, as root, would be the end of this machine when it is given cheats.
So every peer runs below bubblewrap: no network, nothing of the disk can be written, no other process can be seen. CPU time is that of
the side's process and of all below it, by the kernel's account.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import httpx2

from tests.load.measure import cpu_of, service
from tests.load.peers.rewards_peer import SECONDS, run_fresh

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).parent / "peers" / "rewards_peer.py"
TRAINERS = ROOT / ".venv-trainers" / "bin" / "python"
NEMO_GYM = ROOT / ".venv-peers" / "nemo-gym"
NEMO_GYM_PACKAGES = ("nemo-gym==0.4.0", "math-verify==0.8.0", "numpy==2.2.6")
"""As the requirements of its two servers say."""
CORES = os.cpu_count() or 2
INSTALL_SECONDS = 180
PATIENCE = 40.0
"""Seconds for the verdict on one cheat: some stop their judge for good. Eight times the time limit of a program."""
BATCH = 64
Row = dict[str, Any]


class Unavailable(Exception):
    """This side can't be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """scores: by number of the row; None: it gave no answer or died of it. Rows that the time did not suffice for are missing."""

    scores: dict[int, float | None]
    wall: float
    cpu: float


class Side(Protocol):
    """Somebody who judges rows."""

    version: str

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        """Judge rows, as many as the time suffices for."""


class Service:
    """This service, over HTTP, in batches on as many connections as there are cores; its cache is off."""

    def __init__(self, url: str, pid: int, kind: str) -> None:
        self.version = version("reward-service")
        self._http = httpx2.Client(base_url=url, timeout=600)
        self._pid, self._kind = pid, kind

    def _item(self, row: Row) -> Row:
        if self._kind == "math":
            return {"data_source": "math", "response": row["response"], "ground_truth": row["gold"]}
        tests = {name: value for name, value in row["tests"].items() if name != "prefix"}
        extra = {"time_limit": SECONDS, "prefix": row["tests"].get("prefix", "")}
        return {
            "data_source": "codegen__peers",
            "response": row["response"],
            "ground_truth": tests,
            "extra_info": extra,
        }

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        """at_once does not matter: a batch is what the service is for."""
        scores: dict[int, float | None] = {}
        until = time.monotonic() + seconds

        def post(start: int) -> None:
            if time.monotonic() > until:
                return
            items = [self._item(row) for row in rows[start : start + BATCH]]
            reply = self._http.post("/v1/score/batch", json={"items": items})
            reply.raise_for_status()
            scores.update({start + one["index"]: one["score"] for one in reply.json()["results"]})

        before, began = cpu_of(self._pid), time.monotonic()
        with ThreadPoolExecutor(CORES) as threads:
            list(threads.map(post, range(0, len(rows), BATCH)))
        return Judged(scores, time.monotonic() - began, (cpu_of(self._pid) - before).total)


@contextmanager
def our_service(kind: str) -> Iterator[Side]:
    """The service, started; programs run in bubblewrap."""
    with service("reward_service.registry:load", cache_items="0", sandbox="bubblewrap") as (url, pid):
        yield Service(url, pid, kind)


class Peer:
    """A peer's driver below bubblewrap; started again when a row kills it."""

    def __init__(self, python: Path, name: str) -> None:
        self._python, self._name, self.version = python, name, ""
        self._start()

    def _start(self) -> None:
        self._mark = secrets.token_hex(8)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*walls(), str(self._python), "-B", str(DRIVER), self._name, self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        said = next(self._said(120), None)
        if said is None:
            raise Unavailable(f"does not start: {self._trouble()}")
        self.version = str(said)

    def _trouble(self) -> str:
        """The last line that it wrote to stderr."""
        self._errors.seek(0)
        return (self._errors.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1][:200]

    def _said(self, seconds: float) -> Iterator[Any]:
        """What it says, until it has said nothing for so long or is dead."""
        assert self._process.stdout is not None
        descriptor, rest = self._process.stdout.fileno(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while selector.select(seconds):
                if not (found := os.read(descriptor, 1 << 16)):
                    return
                *lines, rest = (rest + found).split(b"\n")
                for line in lines:
                    if line.startswith(self._mark.encode()):
                        yield json.loads(line[len(self._mark) :])

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        """With at_once = 1 a row that gets no answer is put once more, to a new driver: an earlier one may have broken the old."""
        before, began = cpu_of(self._process.pid), time.monotonic()
        if at_once > 1:
            scores, ended = self._asked(rows, at_once, seconds)
            if not ended:
                raise Unavailable(f"died of the rows: {self._trouble()}")
            return Judged(scores, time.monotonic() - began, (cpu_of(self._process.pid) - before).total)
        found: dict[int, float | None] = {}
        for number, row in enumerate(rows):
            if time.monotonic() > began + seconds:
                break
            scores, ended = self._asked([row], 1, seconds, PATIENCE)
            found[number] = scores.get(0)
            if found[number] is None:
                hangs = not ended and self._alive()
                self.close()
                self._start()
                if not hangs:
                    found[number] = self._asked([row], 1, seconds, PATIENCE)[0].get(0)
                    self.close()
                    self._start()
        return Judged(found, time.monotonic() - began, (cpu_of(self._process.pid) - before).total)

    def _alive(self) -> bool:
        """Whether it is still there, though it says nothing."""
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _asked(
        self, rows: list[Row], at_once: int, seconds: float, patience: float = 120.0
    ) -> tuple[dict[int, float | None], bool]:
        """The scores of one request, and whether it lived to the end of it."""
        scores: dict[int, float | None] = {}
        request = {"rows": rows, "at_once": at_once, "seconds": seconds}
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            for said in self._said(patience):
                if said == "end":
                    return scores, True
                scores[said[0]] = said[1]
        return scores, False

    def close(self) -> None:
        """End it, and with it everything in its process namespace."""
        self._process.kill()
        self._process.wait(60)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def walls() -> list[str]:
    """The command in front of a peer's."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Unavailable("bubblewrap is not installed, and without it no peer is given hostile rows")
    options = (
        "--unshare-all --die-with-parent --new-session --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp"
    )
    return [
        bwrap, *options.split(), "--ro-bind", str(ROOT), str(ROOT), "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--chdir", "/tmp", "--clearenv",
        "--setenv", "HOME", "/tmp", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "RAY_USAGE_STATS_ENABLED", "0",
        "--setenv", "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0",
    ]  # fmt: skip


@contextmanager
def peer(python: Callable[[], Path], name: str) -> Iterator[Side]:
    """A peer, started; raises Unavailable."""
    started = Peer(python(), name)
    try:
        yield started
    finally:
        started.close()


def own_python() -> Path:
    """The interpreter of this environment: math-verify is in it."""
    return Path(sys.executable)


def trainers_python() -> Path:
    """The environment of `make test-trainers`."""
    if not TRAINERS.exists():
        raise Unavailable("not installed: `make test-trainers` makes its environment")
    return TRAINERS


def nemo_gym_python() -> Path:
    """An environment with NeMo Gym, made if there is a Python for it."""
    python = NEMO_GYM / "bin" / "python"
    if (NEMO_GYM / "installed").exists():
        return python
    base = next(filter(None, map(working, newer_pythons())), None)
    if base is None:
        raise Unavailable("not installable here: it wants Python 3.12 or newer, and there is none")
    uv = Path(sys.executable).parent / "uv"
    for command in (
        [uv, "venv", "-q", "--clear", "--python", base, NEMO_GYM],
        [uv, "pip", "install", "-q", "--python", python, *NEMO_GYM_PACKAGES],
    ):
        try:
            done = subprocess.run(
                list(map(str, command)), capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"not installable here: {error}"[:200]) from error
        if done.returncode:
            raise Unavailable(f"not installable here: {' '.join(done.stderr.split())[-160:]}")
    (NEMO_GYM / "installed").touch()
    return python


def newer_pythons() -> Iterator[str]:
    """Where a Python of 3.12 or newer might be."""
    for minor in (13, 12, 14):
        if found := shutil.which(f"python3.{minor}"):
            yield found
        yield from map(str, (Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python3.{minor}"))


def working(python: str) -> str | None:
    """The interpreter if it starts (pyenv's shims may not)."""
    return (
        python if subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0 else None
    )


class Container:
    """`docker run` for each test. Its daemons' CPU time is counted as far as they live on: a lower bound."""

    def __init__(self, host: str, image: str) -> None:
        from tests.load.sandbox_bench import daemons, waited

        self.version = "docker run, runc"
        self._cpu = lambda: daemons() + waited()
        self._command = [
            "docker", "-H", host, "run", "--rm", "-i", "--network=none", "--read-only", "--tmpfs=/tmp", "--memory=512m",
            "--pids-limit=64", "--entrypoint=timeout", image, "-s", "KILL", str(SECONDS), "python3", "-c",
        ]  # fmt: skip

    def judge(self, rows: list[Row], at_once: int, seconds: float) -> Judged:
        """As many containers at once as said."""
        scores: dict[int, float | None] = {}
        before, began, lock = self._cpu(), time.monotonic(), threading.Lock()

        def one(number: int) -> None:
            if time.monotonic() < began + seconds:
                score = run_fresh(self._command, rows[number], str, SECONDS + 30)
                with lock:
                    scores[number] = score

        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(one, range(len(rows))))
        return Judged(scores, time.monotonic() - began, self._cpu() - before)


@contextmanager
def container() -> Iterator[Side]:
    """An engine that is up, with the sandbox's image."""
    from _pytest.outcomes import OutcomeException

    from tests.engine import image, running

    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(running())
            name = image(host)
        except OutcomeException as error:
            raise Unavailable(f"no container engine: {error}"[:200]) from error
        yield Container(host, name)


@dataclass(frozen=True, slots=True)
class Entrant:
    """One line of the table. styles: how tests may be put to programs for it; `wide`: it wants many rows at once."""

    name: str
    open: Callable[[], AbstractContextManager[Side]]
    styles: tuple[str, ...] = ("stdio", "function", "assert")
    wide: bool = False


CALLS = ("stdio", "function")
ENTRANTS: dict[str, tuple[Entrant, ...]] = {
    "math": (
        Entrant("this service", lambda: our_service("math")),
        Entrant("math-verify in a process pool", lambda: peer(own_python, "math_verify")),
        Entrant("verl, `math_verify`", lambda: peer(trainers_python, "verl_math_verify")),
        Entrant("verl, `prime_math`", lambda: peer(trainers_python, "verl_prime_math")),
        Entrant("verl, `math_dapo`", lambda: peer(trainers_python, "verl_math_dapo")),
        Entrant("NeMo Gym, `math_with_judge`", lambda: peer(nemo_gym_python, "nemo_gym_math"), wide=True),
    ),
    "code": (
        Entrant("this service", lambda: our_service("code")),
        Entrant("verl, `prime_code`", lambda: peer(trainers_python, "verl_prime_code"), CALLS),
        Entrant("NeMo Gym, `code_gen`", lambda: peer(nemo_gym_python, "nemo_gym_code"), CALLS),
        Entrant("a fresh `python3` per test", lambda: peer(own_python, "fresh_python")),
        Entrant("a fresh container per test", container),
    ),
}
"""Ours is the first of each."""
