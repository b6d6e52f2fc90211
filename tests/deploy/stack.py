"""The stack of docker-compose.yml on an engine of the tests' own, in a network of its own.

What is decided here: two engines. The one that tests share builds the images, with the machine's network and without
any of its own; another one, in a network namespace that nothing else is in, runs the stack, so that bridges,
addresses and published ports can't meet the machine's. What the test asks over HTTP it asks from in there: a thread
that has entered the namespace makes the connections.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from deploy.engine import engine as own
from reward_service.adapters.docker_api import EngineApi
from reward_service.sandbox_images import DEFAULT_BASE, find_base
from tests.deploy import wheelhouse
from tests.engine import need, unavailable

ROOT = Path(__file__).resolve().parents[2]
HOME = own.HOME / "stack"
PROJECT = "stack"
STARTED = ("gateway", "worker", "prometheus")
"""And what they depend on. Grafana is no package of Debian."""
IMAGES = (
    "reward-service:local", "reward-service-engine:local",
    "reward-service/stand-in-redis:test", "reward-service/stand-in-prometheus:test",
)  # fmt: skip
_NEWNET = 0x40000000
_LOOPBACK_UP = (
    "import fcntl, os, socket, struct, sys; "
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x49)); os.execv(sys.argv[1], sys.argv[1:])"
)
T = TypeVar("T")


class Stack:
    """An engine in a network namespace, and docker-compose's project on it."""

    def __init__(self) -> None:
        self.host = f"unix://{HOME / 'docker.sock'}"
        self._base = DEFAULT_BASE
        self._inside: ThreadPoolExecutor | None = None
        self._engine: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def build(self, host: str) -> None:
        """Build every image on that engine, from its Dockerfile."""
        need("docker-compose")
        wheelhouse.fill()
        self._base = find_base(EngineApi(host, seconds=600), DEFAULT_BASE)
        self.compose("build", "--quiet", "setup", "engine", "redis", "prometheus", host=host)

    def start_engine(self) -> None:
        """Start the engine that the stack runs on."""
        if os.geteuid():
            unavailable("an engine of the stack's own takes root")
        own.HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (own.HOME / "stack.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # one at a time; the kernel releases it however this ends
        subprocess.run(["rm", "-rf", str(HOME)], check=True)
        HOME.mkdir(mode=0o700)
        config = HOME / "daemon.json"
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
        config.write_text(
            json.dumps(
                {name: str(HOME / path) for name, path in paths.items()}
                | {"hosts": [self.host], "bridge": "none", "iptables": False, "ip6tables": False}
                | {"shutdown-timeout": 5}
            )
        )
        dockerd = own.find("dockerd") or "dockerd"
        command = ["unshare", "--net", "setpriv", "--pdeathsig", "TERM"]
        command += [sys.executable, "-c", _LOOPBACK_UP, dockerd, "--config-file", str(config)]
        with (HOME / "log").open("wb") as log:
            self._engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until(lambda: own.responds(HOME / "docker.sock"), 60)
        self._inside = ThreadPoolExecutor(1, initializer=enter, initargs=(self._engine.pid,))

    def load(self, host: str) -> None:
        """Bring the images from the engine that built them."""
        saving = ["docker", "-H", host, "save", *IMAGES]
        with subprocess.Popen(saving, stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", self.host, "load", "--quiet"], stdin=saved.stdout, check=True)
        assert saved.returncode == 0

    def compose(self, *arguments: str, host: str = "", check: bool = True) -> str:
        """docker-compose's output."""
        files = [
            "-f",
            str(ROOT / "docker-compose.yml"),
            "-f",
            str(Path(__file__).with_name("compose.test.yml")),
        ]
        environment = {
            **os.environ, "DOCKER_HOST": host or self.host, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0",
            "TEST_BASE": self._base, "SANDBOX_PLACES": "2", "SANDBOX_CPUS": "2", "WORKER_PROCESSES": "1",
        }  # fmt: skip
        done = subprocess.run(
            ["docker-compose", "-p", PROJECT, "--project-directory", str(ROOT), "--profile", "tools", *files, *arguments],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def run(self, *command: str, check: bool = True) -> str:
        """What `docker` says about this engine."""
        done = subprocess.run(
            ["docker", "-H", self.host, *command], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def inside(self, service: str, *command: str, number: int = 1) -> str:
        """What a command says in one of a service's containers, whatever its exit code."""
        return self.run("exec", f"{PROJECT}_{service}_{number}", *command, check=False)

    def healthy(self, containers: int) -> bool:
        """Are so many containers up and well?"""
        listed = self.run("ps", "--format", "{{.Status}}").splitlines()
        return sum("(healthy)" in status for status in listed) >= containers

    def within(self, call: Callable[..., T], *arguments: Any) -> T:
        """The call's result, made from inside the stack's network."""
        assert self._inside is not None
        return self._inside.submit(call, *arguments).result()

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; AssertionError if it does not come."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.2)

    def close(self) -> None:
        """Take everything down; nothing of the stack is kept."""
        if self._engine is None:
            return
        try:
            if left := self.run("ps", "--all", "--quiet", check=False).split():
                self.run("rm", "--force", *left, check=False)
        finally:
            if self._inside is not None:
                self._inside.shutdown()
            self._engine.send_signal(signal.SIGTERM)
            self._engine.wait(60)
            subprocess.run(["rm", "-rf", str(HOME)], check=False)
            if self._lock is not None:
                self._lock.close()


def enter(pid: int) -> None:
    """Move this thread into a process' network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as namespace:
        if libc.setns(namespace.fileno(), _NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
