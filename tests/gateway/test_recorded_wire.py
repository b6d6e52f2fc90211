"""What the trainers' own clients said, byte for byte, played again: the answers must still be the ones that they took.

fixtures/*.json is written by `make test-trainers RECORD=1` from runs of the real clients (tests/trainers). Times, ids and texts for
people may differ; statuses, keys, types and every reward may not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reward_service.adapters import bubblewrap
from reward_service.assemble import build_app
from reward_service.settings import Settings
from tests.engine import need, unavailable
from tests.gateway.conftest import live

FIXTURES = Path(__file__).parent / "fixtures"
FREE = frozenset(
    {
        "execution_time", "cpu_time", "queue_ms", "verify_ms", "sandbox_ms", "judge_ms", "start_time", "end_time", "cached",
        "version", "message", "failure_reason", "reward_request_id", "request_id", "detail", "stderr",
    }
)  # fmt: skip
"""Fields whose type counts, and not their value."""
CLIENTS = {path.stem: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))}
EXCHANGES = [
    pytest.param(exchanges, id=f"{client}-{test}")
    for client, tests in CLIENTS.items()
    for test, exchanges in tests.items()
]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """A service as the recordings were made with."""
    need("bwrap")
    if lacking := bubblewrap.missing():
        unavailable(lacking)
    settings = Settings(processes=1, sandbox="bubblewrap", sandbox_places=2)
    with live(build_app(settings)) as base, httpx2.Client(base_url=base, timeout=60) as client:
        yield client


def alike(now: Any, then: Any, name: str = "") -> str | None:
    """Where the two differ in what may not differ; None if nowhere."""
    if isinstance(now, bool) or isinstance(then, bool) or not isinstance(now, int | float):
        if type(now) is not type(then):
            return f"{name}: {now!r}, was {then!r}"
    elif not isinstance(then, int | float) or (type(now) is not type(then) and now != then):
        return f"{name}: {now!r}, was {then!r}"
    if isinstance(now, dict):
        if now.keys() != then.keys():
            return f"{name}: {sorted(now)}, was {sorted(then)}"
        found = (alike(now[key], then[key], key) for key in now)
    elif isinstance(now, list):
        if len(now) != len(then):
            return f"{name}: {len(now)} entries, was {len(then)}"
        found = (alike(*both, name) for both in zip(now, then, strict=True))
    elif (
        name in FREE or (name == "runtimes" and now > 0 < then) or (isinstance(now, str) and "port: " in now)
    ):
        return None
    else:
        return None if now == then else f"{name}: {now!r}, was {then!r}"
    return next((difference for difference in found if difference), None)


@pytest.mark.parametrize("exchanges", EXCHANGES)
def test_the_same_answers(http: httpx2.Client, exchanges: list[dict[str, Any]]) -> None:
    ids: dict[str, str] = {}
    for exchange in exchanges:
        body = exchange["body"]
        for then, now in ids.items():
            body = body.replace(then, now)
        reply = http.request(
            exchange["method"], exchange["path"], content=body.encode(), headers=exchange["headers"]
        )
        assert reply.status_code == exchange["status"], reply.text
        assert alike(reply.json(), exchange["reply"]) is None
        if "/roll/submit" in exchange["path"]:
            ids[exchange["reply"]["reward_request_id"]] = reply.json()["reward_request_id"]


def test_every_client_was_recorded() -> None:
    clients = {
        "openrlhf",
        "verl",
        "trl",
        "sandbox_fusion",
        "ms_swift",
        "skyrl",
        "areal",
        "verifiers",
        "spoken",
    }
    assert set(CLIENTS) == clients
    agents = {
        exchange["headers"].get("user-agent", "").partition("/")[0]
        for tests in CLIENTS.values()
        for exchanges in tests.values()
        for exchange in exchanges
    }
    assert {"python-requests", "Python", "python-httpx", "reward-service-client"} <= {
        agent.partition(" ")[0] for agent in agents
    }
    paths = {
        exchange["path"].partition("?")[0]
        for tests in CLIENTS.values()
        for exchanges in tests.values()
        for exchange in exchanges
    }
    assert paths >= {
        "/openrlhf", "/slime", "/verify", "/seed_session", "/run_code", "/run_jupyter", "/submit", "/get_prompts",
        "/get_prompt_by_id", "/roll/submit", "/roll/result", "/test_program", "/test_program_stdio", "/llamafactory",
        "/v1/score/batch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now", "then", "same"),
    [
        ({"reward": 1.0, "cpu_time": 0.2}, {"reward": 1.0, "cpu_time": 0.1}, True),
        ({"reward": 0.0}, {"reward": 1.0}, False),
        ({"reward": None}, {"reward": 1.0}, False),
        ({"rewards": [1.0, 0.0]}, {"rewards": [0.0, 1.0]}, False),
        ({"rewards": [1.0]}, {"rewards": [1.0, 1.0]}, False),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, False),
        ({"cached": "no"}, {"cached": False}, False),
    ],
)
def test_the_comparison_itself(now: Any, then: Any, same: bool) -> None:
    assert (alike(now, then) is None) is same
