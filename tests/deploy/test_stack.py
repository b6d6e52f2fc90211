"""The whole stack, from its Dockerfiles: built, started, used, hurt and looked at (`make test-compose`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.deploy.stack import PROJECT, STARTED, Stack
from tests.deploy.test_chart import pods

pytestmark = [pytest.mark.stack, pytest.mark.docker, pytest.mark.timeout(1800)]

TESTS = json.dumps({"functional": "def check(f):\n    assert f(2, 3) == 5\n\ncheck(add)"})
RIGHT, WRONG = "return a + b", "return a - b"
HOSTILE = "import socket\n    socket.create_connection(('redis', 6379), timeout=2)\n    return a + b"


def program(body: str, name: object = None) -> dict[str, Any]:
    response = f"```python\ndef add(a, b):\n    {body}\n```"
    return {"id": name, "data_source": "codegen__mbpp", "response": response, "ground_truth": TESTS}


def slow(body: str, number: int, name: str) -> dict[str, Any]:
    """One that no other is equal to, so that no cache helps, and that takes a moment."""
    return program(f"import time\n    time.sleep(0.1)  # {number}\n    {body}", name)


def number(value: int, name: object = None, more: str = "") -> dict[str, Any]:
    response = f"So it is \\boxed{{{value}}}.{more}"
    return {"id": name, "data_source": "math__aime", "response": response, "ground_truth": "42"}


@pytest.fixture(scope="module")
def stack(docker_host: str) -> Iterator[Stack]:
    """Built, up and well, with two workers."""
    found = Stack()
    try:
        found.build(docker_host)
        found.start_engine()
        found.load(docker_host)
        found.compose("up", "--detach", "--no-build", "--scale", "worker=2", *STARTED)
        found.until(lambda: found.healthy(7), 180)
        found.until(lambda: found.within(ask, "GET", "/readyz", "").status_code == 200, 60)
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """A trainer's key, made as docs/deploy.md says."""
    scopes = ["--scope", "score", "--scope", "batch"]
    made = stack.compose("run", "--rm", "-T", "keys", "create", "trainer", *scopes).strip()
    assert made.startswith("rsk_")
    return made


def ask(method: str, path: str, key: str, body: object = None, port: int = 8080) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers, timeout=120)


def test_without_a_key_nothing_is_scored(stack: Stack) -> None:
    assert stack.within(ask, "POST", "/v1/score", "", number(42)).status_code == 401
    assert stack.within(ask, "GET", "/metrics", "").status_code == 401
    assert stack.within(ask, "GET", "/readyz", "").status_code == 200


def test_rules_and_programs_are_judged_through_the_whole_stack(stack: Stack, key: str) -> None:
    items = [number(42), number(41), program(RIGHT), program(WRONG), program(HOSTILE)]
    reply = stack.within(ask, "POST", "/v1/score/batch", key, {"items": items})
    assert reply.status_code == 200, reply.text
    found = [(one["score"], one["reason"]) for one in reply.json()["results"]]
    assert found[:4] == [(1.0, "equal"), (0.0, "not_equal"), (1.0, "tests_passed"), (0.0, "tests_failed")]
    assert found[4][0] == 0.0, "it reached Redis"


def test_a_batch_outlives_a_killed_worker(stack: Stack, key: str) -> None:
    items = [
        item
        for n in range(100)
        for item in (slow(RIGHT, n, f"r{n}"), slow(WRONG, n, f"w{n}"), number(42, f"n{n}", f" ({n})"))
    ]
    batch = stack.within(ask, "POST", "/v1/batches", key, {"items": items}).json()
    where = f"/v1/batches/{batch['id']}"

    def done() -> int:
        return int(stack.within(ask, "GET", where, key).json()["request_counts"]["completed"])

    stack.until(lambda: done() > 0, 60)
    stack.run("kill", f"{PROJECT}_worker_1")  # which compose does not start again: somebody killed it
    assert done() < len(items), "it was over before the kill"
    ended = stack.within(ask, "GET", f"{where}?wait=100", key).json()
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 300, "completed": 300, "failed": 0}
    lines = stack.within(ask, "GET", f"{where}/results", key).text.splitlines()
    results = [json.loads(line) for line in lines]
    assert [one["id"] for one in results] == [item["id"] for item in items]
    assert all(one["score"] == float(one["id"][0] != "w") for one in results)


def test_a_worker_that_is_stopped_drains(stack: Stack) -> None:
    stack.run("start", f"{PROJECT}_worker_1")
    stack.until(lambda: stack.healthy(7), 120)
    stack.run("stop", f"{PROJECT}_worker_1")
    assert stack.run("inspect", "-f", "{{.State.ExitCode}}", f"{PROJECT}_worker_1").strip() == "0"
    stack.run("start", f"{PROJECT}_worker_1")
    stack.until(lambda: stack.healthy(7), 120)


def test_prometheus_reads_every_gateway_and_worker(stack: Stack) -> None:
    def up() -> list[tuple[str, str]]:
        found = stack.within(ask, "GET", "/api/v1/query?query=up", "", None, 9090).json()["data"]["result"]
        return sorted((one["metric"]["job"], one["value"][1]) for one in found)

    stack.until(lambda: up() == [("gateway", "1"), ("worker", "1"), ("worker", "1")], 90)
    query = "/api/v1/query?query=sum(reward_service_worker_items_total)"
    counted = stack.within(ask, "GET", query, "", None, 9090).json()["data"]["result"]
    assert float(counted[0]["value"][1]) > 0


def test_no_part_reaches_what_it_has_no_use_for(stack: Stack) -> None:
    assert "No such file" in stack.inside("worker", "ls", "/run/engine")
    assert "No such file" in stack.inside("gateway", "ls", "/run/runner/runner.sock")
    for service in ("gateway", "worker", "runner", "redis", "prometheus", "engine"):
        assert "Read-only file system" in stack.inside(service, "touch", "/etc/x"), service
    for service in ("gateway", "worker", "runner"):
        status = stack.inside(service, "cat", "/proc/self/status")
        assert re.findall(r"^(?:Uid|CapEff|CapBnd|NoNewPrivs):\s+(\S+)", status, re.MULTILINE) == [
            "10001", 16 * "0", 16 * "0", "1",
        ]  # fmt: skip
    for service in ("engine", "runner"):
        interfaces = stack.inside(service, "cat", "/proc/net/dev").splitlines()[2:]
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    reach = "import socket; socket.create_connection(('198.51.100.1', 80), 3)"
    assert "unreachable" in stack.inside("worker", "python3", "-c", reach)


def test_redis_wants_its_user_and_lets_it_administer_nothing(stack: Stack) -> None:
    assert "NOAUTH" in stack.inside("redis", "redis-cli", "dbsize")
    ours = (
        "redis-cli --user reward --pass $(cat /run/secrets/reward_service_redis_password) --no-auth-warning "
    )
    assert "PONG" in stack.inside("redis", "sh", "-c", f"{ours} ping")
    for command in ("flushall", "config get dir", "keys '*'", "acl list", "shutdown"):
        assert "NOPERM" in stack.inside("redis", "sh", "-c", ours + command), command


def test_sandboxes_are_nobody_outside_with_limits_of_their_own(stack: Stack) -> None:
    script = (
        "export DOCKER_HOST=unix:///run/engine/docker.sock; for c in $(docker ps -q); do "
        'docker inspect -f "{{.HostConfig.NetworkMode}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}" $c; '
        'p=$(docker inspect -f "{{.State.Pid}}" $c); cat /proc/$p/uid_map; '
        "grep -E '^(Seccomp|NoNewPrivs):' /proc/$p/status; cat /proc/$p/cgroup | grep -E 'memory|^0::'; done"
    )
    told = stack.inside("engine", "sh", "-c", script)
    containers = len(re.findall(r"^none \d+ 192$", told, re.MULTILINE))
    assert containers >= 2
    assert len(re.findall(r"^\s+0\s+100000\s+65536$", told, re.MULTILINE)) == containers
    assert told.count("Seccomp:\t2") == told.count("NoNewPrivs:\t1") == containers
    assert len(re.findall(r"/docker/[0-9a-f]{64}$", told, re.MULTILINE)) >= containers


def test_no_secret_is_in_an_environment_a_command_or_a_log(stack: Stack, key: str) -> None:
    secrets = stack.inside("gateway", "sh", "-c", "cat /run/secrets/*").split()
    password = stack.inside("gateway", "cat", "/run/secrets/reward_service_redis_password")
    assert len(password) == 64
    names = stack.run("ps", "--all", "--format", "{{.Names}}").split()
    for name in names:
        shown = stack.run("inspect", name) + stack.run("logs", name)
        assert not [secret for secret in (*secrets, password, key) if secret in shown], name


@pytest.mark.parametrize("variant", ["default", "gvisor"])
def test_the_engine_of_a_pod_contains_programs_with_what_the_chart_gives_it(
    stack: Stack, variant: str
) -> None:
    """Its capabilities, its mounts and its environment, but without Kubernetes around it (and without gVisor)."""
    (worker,) = [pod for part, pod in pods(variant) if part == "worker"]
    engine = worker["initContainers"][0]
    options = [
        "--network",
        "none",
        "--read-only",
        "--security-opt",
        "seccomp=unconfined",
        "--cap-drop",
        "ALL",
    ]
    for capability in engine["securityContext"]["capabilities"]["add"]:
        options += ["--cap-add", capability]
    for entry in engine["env"]:
        options += ["--env", f"{entry['name']}={entry['value']}"]
    for mount in engine["volumeMounts"]:
        path = mount["mountPath"]
        options += ["--volume", path] if path == "/var/lib/docker" else ["--tmpfs", f"{path}:exec,size=64m"]
    name = f"{PROJECT}_pod_{variant}"
    stack.run("run", "--detach", "--name", name, *options, "reward-service-engine:local")
    try:
        probe = engine["startupProbe"]["exec"]["command"]
        stack.until(lambda: "the sandbox's engine is up" in stack.run("logs", name), 120)
        stack.run("exec", name, *probe)
        script = (
            "docker -H unix:///run/engine/docker.sock run --rm --network none --read-only --cap-drop ALL "
            "--security-opt no-new-privileges --memory 64m --memory-swap 64m --entrypoint /usr/bin/python3 "
            '"$(cat /usr/local/share/sandbox/name)" -uc '
            "\"print(*open('/proc/self/uid_map').read().split()); bytearray(200_000_000)\"; echo exit $?"
        )
        told = stack.run("exec", name, "sh", "-c", script)
        root = "0 0 4294967295" if variant == "gvisor" else "0 100000 65536"
        assert f"{root}\nexit 137\n" in told, told
    finally:
        stack.run("rm", "--force", "--volumes", name)
