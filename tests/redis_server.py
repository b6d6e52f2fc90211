"""A redis-server of the tests' own: a real one, on a socket or port of its own, in a folder of its own.

What is decided here: appendonly with everysec, as in `docs/guarantees.md`, so that killing it is a fair test. The
binary is installed if that is possible; otherwise the test is skipped, loudly, and in CI that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from reward_service.adapters.redis_client import RedisOptions
from tests.engine import need
from tests.load.measure import free_port

START_SECONDS = 20.0


class Server:
    """One redis-server. port: listen on TCP as well (0 takes a free one); options: more of its command line; wrapper: a
    command in front of it.
    """

    def __init__(self, *options: str, port: int | None = None, wrapper: Sequence[str] = ()) -> None:
        need("redis-server")
        self.folder = Path(tempfile.mkdtemp(prefix="reward-redis-"))
        self.socket = self.folder / "redis.sock"
        self.port = free_port() if port == 0 else port or 0
        self._options = options
        self._wrapper = wrapper
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def options(self, prefix: str = "reward", **more: Any) -> RedisOptions:
        """How to reach it."""
        return RedisOptions(self.url, prefix, **more)

    def client(self) -> redis.Redis:
        """A plain client, to look at it or to harm it."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=30, decode_responses=True)

    def start(self) -> None:
        """Start it (again, with its data), and wait until it answers."""
        binary = shutil.which("redis-server") or "redis-server"
        setpriv = shutil.which("setpriv")  # a test run that is killed leaves no server behind
        command = [
            *([setpriv, "--pdeathsig", "KILL"] if setpriv else []), *self._wrapper, binary, "--port", str(self.port), "--unixsocket", str(self.socket), "--dir", str(self.folder),
            "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--bind", "127.0.0.1",
            *self._options,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.01)

    def settle(self) -> None:
        """Wait until what it has acknowledged is in the kernel's hands.

        With `everysec` it holds writes back, for up to two seconds, while an fsync takes long: on a stalled disk even a
        SIGKILL can lose that much. `docs/guarantees.md` says so; tests of a disk that keeps up wait for it here.
        """
        until = time.monotonic() + START_SECONDS
        with self.client() as client:
            while time.monotonic() < until:
                state = client.info("persistence")
                if not state["aof_pending_bio_fsync"] and not state["aof_buffer_length"]:
                    return
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: what a crash of its host's kernel would not do, and everything else would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """It is there, and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def cluster() -> Server:
    """A Redis Cluster of one node that has all slots."""
    server = Server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), port=0)
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until = time.monotonic() + START_SECONDS
        while "cluster_state:ok" not in str(client.execute_command("CLUSTER", "INFO")):
            assert time.monotonic() < until
            time.sleep(0.05)
    return server
