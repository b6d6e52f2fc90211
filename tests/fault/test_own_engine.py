"""The tests' own engine: up for as long as somebody uses it, however many that are and however they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.engine import engine as own
from tests import engine as tests_engine

pytestmark = [pytest.mark.fault, pytest.mark.docker, pytest.mark.timeout(300)]

USER = """
import sys, time
from pathlib import Path
from deploy.engine import engine as own
use = own.acquire(Path(sys.argv[1]))
print(use.host, flush=True)
sys.stdin.read()
use.release()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    if os.geteuid():
        tests_engine.unavailable("starting an engine takes root")
    tests_engine.need("dockerd", "debootstrap")
    folder = own.HOME / f"own-{os.getpid()}"
    yield folder
    until(lambda: not own.responds(folder / "docker.sock"))
    time.sleep(1.0)
    shutil.rmtree(folder)


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.1)


def user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("")
    assert process.returncode == 0


def test_an_engine_lives_as_long_as_its_users(home: Path) -> None:
    users = [user(home) for _ in range(3)]  # all at once
    hosts = [process.stdout.readline().strip() for process in users if process.stdout]
    assert hosts == [f"unix://{home}/docker.sock"] * 3
    pid = (home / "docker.pid").read_text()

    leave(users[0])
    os.kill(users[1].pid, signal.SIGKILL)  # a user that says nothing more
    users[1].communicate()
    time.sleep(own.IDLE_SECONDS + 2)
    assert own.responds(home / "docker.sock")

    again = user(home)
    assert again.stdout is not None
    again.stdout.readline()
    assert (home / "docker.pid").read_text() == pid, "it is the same engine"

    leave(users[2])
    leave(again)
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert (home / "data").is_dir(), "what was built stays"

    next_one = user(home)
    assert next_one.stdout is not None
    next_one.stdout.readline()
    assert own.responds(home / "docker.sock")
    leave(next_one)


def test_an_engine_that_can_not_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    (home / "data").write_text("no folder")
    with pytest.raises(own.NoEngine, match=r"dockerd did not start: (.|\n)*data"):
        own.acquire(home)


# Without -----------------------------------------------------------------------------------------------------------


def test_nobody_but_root_starts_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(own.NoEngine, match="takes root"):
        own.acquire(tmp_path)


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "find", lambda tool: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert own.install(("dockerd", "bwrap", "cc")) == (
        "dockerd, bwrap, cc not installed; as root: apt-get install docker.io bubblewrap build-essential"
    )
    assert own.install().startswith(", ".join(own.NEEDED))
    assert own.install((), optional=("runsc",)) == "", "what is optional is not missed"


def test_an_engine_that_runs_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests_engine, "find", lambda: "unix:///somebody/elses.sock")
    with tests_engine.running() as host:
        assert host == "unix:///somebody/elses.sock"


@pytest.mark.parametrize("ci", [True, False])
def test_a_skip_is_a_failure_in_ci(ci: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true") if ci else monkeypatch.delenv("CI", raising=False)

    def no_engine() -> own.Use:
        raise own.NoEngine("none here")

    monkeypatch.setattr(tests_engine, "find", lambda: None)
    monkeypatch.setattr(own, "acquire", no_engine)
    expected = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(expected, match="none here"), tests_engine.running():
        pytest.fail("an engine of nothing", pytrace=False)
