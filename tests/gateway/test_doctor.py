"""`reward-service doctor`: what it sees, what it says to do, and its exit code."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reward_service import doctor, keys
from reward_service.cli import app
from reward_service.doctor import State, examine, machine, parts
from reward_service.keys import Scope
from reward_service.settings import Settings
from tests.engine import docker_host, docker_image  # noqa: F401 - fixtures
from tests.fault.test_judge import Behaviour, endpoint, gullible, honest
from tests.redis_server import Server


def states(found: Any) -> dict[str, State]:
    return {finding.check: finding.state for finding in found}


@pytest.mark.parametrize(
    ("settings", "state", "seen"),
    [
        ({}, State.OK, "contradicts"),
        ({"engine": "fleet"}, State.FAIL, "without Redis"),
        ({"judge_urls": "http://127.0.0.1:9"}, State.FAIL, "without judge_model"),
        ({"cache_redis_url": "redis://h"}, State.WARN, "without redis_url"),
        ({"redis_url": "redis://h"}, State.WARN, "files_dir"),
        ({"deadline_seconds": 9_999}, State.WARN, "deadline_seconds"),
        ({"processes": 500}, State.WARN, "500 checking processes"),
        ({"max_items": 100_000}, State.WARN, "max_items"),
    ],
)
def test_settings_that_contradict(settings: dict[str, Any], state: State, seen: str) -> None:
    (finding,) = machine.settings_fit(Settings(**settings))
    assert finding.state is state and seen in finding.seen
    assert bool(finding.advice) is (state is not State.OK)


def test_keys_ports_and_folders(tmp_path: Path) -> None:
    def of(check: Any, **settings: Any) -> list[State]:
        return [finding.state for finding in check(Settings(**settings))]

    assert of(machine.api_keys) == [State.OK]
    assert of(machine.api_keys, host="0.0.0.0") == [State.FAIL]
    assert of(machine.api_keys, host="0.0.0.0", auth="off") == [State.WARN]
    file = tmp_path / "keys.json"
    assert of(machine.api_keys, keys_file=str(file)) == [State.FAIL]
    keys.write(file, [keys.make("a", [Scope.SCORE])[1]])
    assert of(machine.api_keys, keys_file=str(file)) == [State.OK]
    file.chmod(0o644)
    assert of(machine.api_keys, keys_file=str(file)) == [State.WARN]
    keys.write(file, [keys.make("a", [Scope.SCORE], days=2)[1]])
    assert of(machine.api_keys, keys_file=str(file)) == [State.WARN]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert of(machine.port, port=taken.getsockname()[1]) == [State.WARN]
    assert of(machine.port, port=0) == [State.OK]
    assert of(machine.port, host="192.0.2.1") == [State.FAIL]
    assert State.FAIL in of(machine.disk, files_dir=str(tmp_path / "nowhere"))
    assert State.FAIL not in of(machine.disk, files_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("info", "state", "seen"),
    [
        ({"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory": 1, "maxmemory_human": "1B"}, State.OK, "7.2.4"),
        ({"redis_version": "6.2.1", "aof_enabled": 1, "maxmemory": 1}, State.FAIL, "6.2.1"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.0", "aof_enabled": 0, "maxmemory": 1}, State.WARN, "appendonly"),
        ({"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory": 1, "maxmemory_policy": "allkeys-lru"}, State.WARN, "allkeys-lru"),
        ({"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory": 0}, State.WARN, "maxmemory"),
    ],
)  # fmt: skip
def test_what_redis_must_be(info: dict[str, Any], state: State, seen: str) -> None:
    (finding,) = parts.of_info(info)
    assert finding.state is state and seen in finding.seen


@pytest.mark.redis
async def test_redis_is_asked() -> None:
    server = Server()
    try:
        found = await parts.redis(Settings(redis_url=server.url))
        assert states(found)["redis"] is State.OK and states(found)["clock"] is State.OK
    finally:
        server.close()
    (gone,) = await parts.redis(Settings(redis_url=server.url))
    assert gone.state is State.FAIL and "REWARD_SERVICE_REDIS_URL" in gone.advice


async def test_a_judge_that_is_away_fails() -> None:
    settings = Settings(judge_urls="http://127.0.0.1:9/v1", judge_model="m", judge_timeout_seconds=1)
    (finding,) = await parts.judge(settings)
    assert finding.state is State.FAIL and finding.advice
    assert states(await parts.judge(Settings())) == {"judge": State.SKIP}


@pytest.mark.parametrize(
    ("behaviour", "state", "seen"),
    [(honest, State.OK, "tells right from wrong"), (gullible, State.FAIL, "where yes, no is right")],
    ids=["honest", "gullible"],
)
async def test_a_judge_is_asked_what_is_right_and_what_is_wrong(
    behaviour: Behaviour, state: State, seen: str
) -> None:
    async with endpoint(behaviour) as (url, asked):
        (finding,) = await parts.judge(Settings(judge_urls=url, judge_model="m"))
    assert (finding.state, len(asked)) == (state, 2) and seen in finding.seen


@pytest.mark.docker
async def test_a_program_runs_on_the_engine(docker_host: str, docker_image: str) -> None:  # noqa: F811
    on_engine = Settings(sandbox="docker", sandbox_hosts=docker_host, sandbox_image=docker_image)
    found = await parts.sandbox(on_engine)
    assert states(found)["engine"] is State.OK and states(found)["sandbox"] is State.OK
    assert "a program of one line ran" in found[-1].seen
    nowhere = await parts.sandbox(Settings(sandbox="docker", sandbox_hosts="unix:///nowhere/docker.sock"))
    assert states(nowhere)["sandbox"] is State.FAIL
    assert "reward-service sandbox build" in nowhere[-1].advice


async def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Settings) -> list[doctor.Finding]:
        raise OSError("secret path")

    monkeypatch.setattr(machine, "CHECKS", (breaks,))
    monkeypatch.setattr(parts, "CHECKS", ())
    (finding,) = await examine(Settings())
    assert finding.state is State.FAIL and "OSError" in finding.seen and "secret" not in finding.seen


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_SERVICE_PORT", "0")
    monkeypatch.setenv("REWARD_SERVICE_SANDBOX", "none")
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0, done.stdout
    assert {entry["check"]: entry["state"] for entry in found}["checking"] == "ok"
    assert all(entry["advice"] for entry in found if entry["state"] in ("warn", "fail"))
    monkeypatch.setattr(parts, "CHECKS", ())
    monkeypatch.setenv("REWARD_SERVICE_ENGINE", "fleet")
    failed = CliRunner().invoke(app, ["doctor"])
    assert failed.exit_code == 1 and "-> Set REWARD_SERVICE_REDIS_URL" in failed.stdout
