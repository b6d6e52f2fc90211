"""A Docker engine of the tests' own: installed if missing, started when somebody needs it, stopped after the last.

What is decided here: the engine lives under one folder (socket, data, log) that only root can enter, touches no
network set-up of the machine (no bridge, no iptables, no forwarding), and is never the machine's own engine. Who
uses it holds a shared lock on one file, which the kernel releases however the user ends; a guard process watches
that lock and stops the engine when nobody is left. The data stays, so the next run finds the image built.

    engine.py install [TOOL …]     install what is missing (root on Debian or Ubuntu); says what it can't
    engine.py run -- COMMAND …     run a command with DOCKER_HOST set to an engine that is up

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

HOME = Path(os.environ.get("REWARD_SERVICE_ENGINE_DIR", "/var/lib/reward-service-engine"))
PACKAGES = {
    "dockerd": "docker.io",
    "bwrap": "bubblewrap",
    "debootstrap": "debootstrap",
    "redis-server": "redis-server",
    "prometheus": "prometheus",
    "docker-compose": "docker-compose",
    "chromium": "chromium",
    "cc": "build-essential",
    "runsc": "runsc",
}
"""Command -> Debian package."""
NEEDED = (
    "dockerd",
    "bwrap",
    "debootstrap",
    "redis-server",
    "cc",
    "docker-compose",
    "chromium",
    "prometheus",
)
OPTIONAL = ("runsc",)
START_SECONDS = 60.0
STOP_SECONDS = 30.0
IDLE_SECONDS = 3.0
"""How long the guard lets an engine run that nobody uses."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIE_WITH_PARENT = ("/usr/bin/setpriv", "--pdeathsig", "TERM")
_POLICY = Path("/usr/sbin/policy-rc.d")


class NoEngine(Exception):
    """There is no engine here, and none can be started; the message says why and what to do."""


def find(tool: str) -> str | None:
    """The tool's path; system folders are searched whatever PATH says."""
    return shutil.which(tool, path=os.environ.get("PATH", "") + os.pathsep + _PATH)


def install(tools: Sequence[str] = NEEDED, optional: Sequence[str] = OPTIONAL) -> str:
    """Install what is missing. Returns "" or what is still missing and why. Quiet; several may call at once."""
    if not [tool for tool in (*tools, *optional) if not find(tool)]:
        return ""
    missing = [tool for tool in tools if not find(tool)]
    if os.geteuid() or not find("apt-get"):
        packages = " ".join(PACKAGES[tool] for tool in missing)
        return f"{', '.join(missing)} not installed; as root: apt-get install {packages}" if missing else ""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(HOME / "install.lock"), _no_services():
        trouble = ""
        if missing := [tool for tool in tools if not find(tool)]:
            trouble = _apt_get(missing)
        tried = HOME / "optional-tried"  # not in every release: asked for once
        if not tried.exists() and (more := [tool for tool in optional if not find(tool)]):
            tried.write_text(_apt_get(more))
    still = [tool for tool in tools if not find(tool)]
    return f"{', '.join(still)} could not be installed: {trouble}" if still else ""


def _apt_get(tools: Sequence[str]) -> str:
    options = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "PATH": _PATH}
    install_command = ["apt-get", "install", "-y", "--no-install-recommends", *options]
    output = ""
    for command in (["apt-get", "update", *options], install_command + [PACKAGES[tool] for tool in tools]):
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        output = (done.stdout + done.stderr).strip()[-600:] if done.returncode else ""
    return output


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Packages installed meanwhile don't start their services: Debian's policy file says no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Daemon:
    """One dockerd under a folder of its own. Starting, stopping and killing it is the caller's business.

    It also ends when the thread that started it does, whatever becomes of the process.
    """

    def __init__(self, home: Path, *, live_restore: bool = False) -> None:
        self.home = home
        self.live_restore = live_restore
        self.socket = home / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. NoEngine with the end of its log if it doesn't."""
        dockerd = find("dockerd")
        if not dockerd:
            raise NoEngine("dockerd is not installed")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.home / "daemon.json"
        config.write_text(json.dumps(self._config()))
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own arguments
                [*_DIE_WITH_PARENT, dockerd, "--config-file", str(config)],
                env={"PATH": _PATH, "HOME": "/root"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while not responds(self.socket):
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise NoEngine(f"dockerd did not start: {self._log_end()}")
            time.sleep(0.05)

    def _config(self) -> dict[str, object]:
        runsc = find("runsc")
        return {
            "hosts": [self.host],
            "data-root": str(self.home / "data"),
            "exec-root": str(self.home / "exec"),
            "pidfile": str(self.home / "docker.pid"),
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "ip-forward": False,
            "shutdown-timeout": 5,
            "live-restore": self.live_restore,
            # ptrace: the platform of gVisor that works without KVM, in every release.
            "runtimes": {"runsc": {"path": runsc, "runtimeArgs": ["--platform=ptrace", "--network=none"]}}
            if runsc
            else {},
        }

    def _log_end(self) -> str:
        log = self.home / "log"
        return log.read_text(errors="replace")[-600:] if log.exists() else ""

    def stop(self) -> None:
        """End it and its containers, in order; by force if that takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End it at once; its containers may live on until it is started again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            # Its containerd dies with it, but may be a zombie for a while, which the next dockerd takes for alive.
            (self.home / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)


def responds(path: Path) -> bool:
    """Does an engine answer on that socket?"""
    connection = http.client.HTTPConnection("engine", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(str(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Use:
    """The right to an engine that is up, until `release` (or the end of this process)."""

    def __init__(self, host: str, lock: IO[str]) -> None:
        self.host = host
        self._lock = lock

    def release(self) -> None:
        """This user is done; the guard stops the engine if it was the last."""
        self._lock.close()


def acquire(home: Path = HOME) -> Use:
    """Use the shared engine; starts it if it isn't up. NoEngine if it can't be."""
    if os.geteuid():
        raise NoEngine("no Docker engine answers, and starting one takes root")
    if trouble := install(("dockerd", "debootstrap")):
        raise NoEngine(trouble)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon = Daemon(home)
    with locked(home / "start.lock"):
        lock = (home / "users.lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not responds(daemon.socket):
            try:
                _start_guard(daemon)
            except NoEngine:
                lock.close()
                raise
    return Use(daemon.host, lock)


def _start_guard(daemon: Daemon) -> None:
    with (daemon.home / "guard.log").open("wb") as log:
        guard = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-I", str(Path(__file__).resolve()), "guard", str(daemon.home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS + 5
    while not responds(daemon.socket):
        if guard.poll() is not None or time.monotonic() > until:
            raise NoEngine((daemon.home / "guard.log").read_text(errors="replace")[-800:])
        time.sleep(0.05)
    guard.returncode = 0  # it outlives us on purpose: no complaint when this object is collected


def guard(home: Path) -> None:
    """Run the engine for as long as somebody holds the users' lock."""
    daemon = Daemon(home)
    try:
        daemon.start()
    except NoEngine as error:
        sys.exit(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    idle_since = None
    try:
        while daemon.process is not None and daemon.process.poll() is None:
            time.sleep(0.5)
            with locked(home / "start.lock"), (home / "users.lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    idle_since = None
                    continue
                idle_since = idle_since or time.monotonic()
                if time.monotonic() - idle_since > IDLE_SECONDS:
                    daemon.stop()
                    return
    finally:
        daemon.stop()


def main(arguments: list[str]) -> int:
    """The command line; see the module's docstring."""
    match arguments:
        case ["install", *tools]:
            trouble = install(tools) if tools else install()
            print(trouble, file=sys.stderr) if trouble else None
            return bool(trouble)
        case ["guard", home]:
            guard(Path(home))
            return 0
        case ["run", "--", *command] if command:
            try:
                use = acquire()
            except NoEngine as error:
                print(error, file=sys.stderr)
                return 1
            try:
                return subprocess.run(  # noqa: S603 - what the caller typed
                    command, env={**os.environ, "DOCKER_HOST": use.host}, check=False
                ).returncode
            finally:
                use.release()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
