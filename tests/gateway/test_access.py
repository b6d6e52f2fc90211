"""API keys over HTTP: who gets in, what each scope opens, quotas, whose batches and files are whose."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Mount, Route

from reward_service import keys
from reward_service.assemble import build_app
from reward_service.engine.quotas import MemoryQuotas, Quota
from reward_service.gateway.access import Guard, KeysNeeded, is_loopback, keys_by
from reward_service.gateway.scopes import NEEDS, NoScope, need_of
from reward_service.keys import BadKeys, Scope
from reward_service.settings import Settings
from tests.gateway.conftest import live
from tests.gateway.quick import ITEM, quick

LINE = json.dumps(ITEM).encode() + b"\n"

Make = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def make(file: Path) -> Make:
    """Adds a key to the file; returns it."""

    def add(name: str, *scopes: Scope, **more: Any) -> str:
        secret, key = keys.make(name, scopes, **more)
        keys.write(file, [*(keys.read(file) if file.exists() else []), key])
        return secret

    return add


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


# Every route has a scope


def test_every_route_is_behind_the_check(file: Path, make: Make) -> None:
    make("a", Scope.SCORE)
    app = quick(keys_file=str(file)).app
    routes = [route for route in app.routes if isinstance(route, Route | Mount)]  # type: ignore[attr-defined]
    assert len(routes) == len(app.routes)  # type: ignore[attr-defined]
    assert all(isinstance(route.app, Guard) for route in routes)
    paths = [route.path for route in routes]
    # No entry is left of a route that is gone.
    assert {entry for entry in NEEDS if entry[-1] != "*"} <= set(paths)


def test_a_route_without_a_scope_keeps_the_service_from_starting() -> None:
    with pytest.raises(NoScope, match=r"/v1/new.*gateway/scopes\.py"):
        need_of("/v1/new")
    assert need_of("/rl/slime", "/rl") == need_of("/slime")


def test_without_a_key_only_probes_answer(file: Path, make: Make) -> None:
    make("a", Scope.ADMIN)
    client = quick(keys_file=str(file))
    for route in client.app.routes:  # type: ignore[attr-defined]
        path = route.path.replace("{sha256}", "0" * 64).replace("{server}", "s").replace("{", "").replace("}", "")  # fmt: skip
        for method in route.methods:
            reply = client.request(method, path)
            assert (reply.status_code == 401) is (need_of(route.path) is not None), (method, path)
    reply = client.post("/v1/score", json=ITEM)
    assert reply.json()["type"] == "urn:reward-service:problem:unauthenticated"
    assert "Bearer" in reply.headers["www-authenticate"]
    assert "Basic" in reply.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        (Scope.SCORE, {"score", "truth", "info"}),
        (Scope.BATCH, {"batch", "files", "truth", "info"}),
        (Scope.RUN, {"run", "info"}),
        (Scope.READ, {"metrics", "info"}),
        (Scope.EXPLAIN, {"info"}),
        (Scope.ADMIN, {"score", "batch", "files", "truth", "run", "metrics", "info"}),
    ],
)
def test_what_each_scope_opens(file: Path, make: Make, scope: Scope, opens: set[str]) -> None:
    client = quick(keys_file=str(file)) if make("other", Scope.SCORE) else None
    assert client is not None
    headers = bearer(make("a", scope))
    client.app.state.gateway.access.keys._look()  # type: ignore[attr-defined]
    tried = {
        "score": client.post("/v1/score", json=ITEM, headers=headers),
        "batch": client.post("/v1/batches", json={"items": [ITEM]}, headers=headers),
        "files": client.get("/v1/files", headers=headers),
        "truth": client.put("/v1/ground-truths/" + "0" * 64, content=b"x", headers=headers),
        "run": client.post("/v1/run", json={"program": ""}, headers=headers),
        "metrics": client.get("/metrics", headers=headers),
        "info": client.get("/v1/info", headers=headers),
    }
    assert {name for name, reply in tried.items() if reply.status_code != 403} == opens
    for name in tried.keys() - opens:
        assert tried[name].json()["type"] == "urn:reward-service:problem:forbidden"
        assert "scope" in tried[name].json()["detail"]


# How a key travels


def test_ways_to_send_a_key(file: Path, make: Make) -> None:
    key = make("a", Scope.SCORE)
    client = quick(keys_file=str(file))
    for headers in (
        bearer(key),
        {"authorization": f"bearer  {key}"},
        {"x-api-key": key},
        basic(f"any:{key}"),  # what clients make of http://any:KEY@host
        basic(f"{key}:"),
        basic(key),
    ):
        assert client.post("/v1/score", json=ITEM, headers=headers).json()["score"] == 1.0, headers
    for headers in (
        {},
        bearer(""),
        bearer(key[:-1]),
        bearer(key + "x"),
        bearer("rsk_" + "a" * 40),
        bearer("\xff\xfe"),
        {"authorization": "Basic !!!"},
        {"authorization": f"Digest {key}"},
        {"x-api-key": "é"},
        {"cookie": key},
    ):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        assert client.post("/v1/score", json=ITEM, headers=raw).status_code == 401, headers
    assert client.post(f"/v1/score?api_key={key}", json=ITEM).status_code == 401


def test_the_body_of_a_request_without_a_key_is_not_read(file: Path, make: Make) -> None:
    make("a", Scope.SCORE)

    def body() -> Any:
        raise AssertionError("read")
        yield b""

    client = quick(keys_file=str(file))
    assert client.post("/v1/score", content=body(), headers=bearer("no key")).status_code == 401
    reply = client.post("/v1/score", content=b"x" * (9 << 20))
    assert reply.status_code == 401


# The file


@pytest.mark.fault
def test_f22_keys_come_and_go_without_a_restart(
    file: Path, make: Make, record_property: Callable[[str, object], None]
) -> None:
    first = make("a", Scope.SCORE)
    client = quick(keys_file=str(file))
    held = client.app.state.gateway.access.keys  # type: ignore[attr-defined]

    def status(key: str) -> int:
        held._look_at = 0.0
        return client.post("/v1/score", json=ITEM, headers=bearer(key)).status_code

    second = make("a", Scope.SCORE)
    assert (status(first), status(second)) == (200, 200)
    keys.write(file, keys.without(keys.read(file), keys.read(file)[0].id))
    assert (status(first), status(second)) == (401, 200)
    file.write_text("{")  # a slip of the editor locks nobody out
    assert status(second) == 200
    file.unlink()
    assert status(second) == 200
    keys.write(file, [])
    assert status(second) == 401
    record_property(
        "figures", "a removed key is refused and a kept one served at the next look at the file; 0 restarts"
    )


def test_a_key_expires(file: Path, make: Make) -> None:
    key = make("a", Scope.SCORE, days=1)
    client = quick(keys_file=str(file))
    assert client.post("/v1/score", json=ITEM, headers=bearer(key)).status_code == 200
    client.app.state.gateway.access.keys._by_digest = {  # type: ignore[attr-defined]
        keys.digest(key): keys.Key("k", "a", keys.digest(key), frozenset(Scope), 0, int(time.time()) - 1)
    }
    assert client.post("/v1/score", json=ITEM, headers=bearer(key)).status_code == 401


def test_the_file_holds_no_key_and_is_its_owners(file: Path, make: Make) -> None:
    key = make("a", Scope.SCORE, items_per_minute=5)
    assert key.startswith("rsk_") and len(key) == 44
    text = file.read_text()
    assert key not in text and key[4:] not in text
    assert keys.digest(key) in text
    assert file.stat().st_mode & 0o077 == 0
    (again,) = keys.read(file)
    assert (again.name, again.scopes, again.items_per_minute) == ("a", {Scope.SCORE}, 5)
    assert make("a", Scope.SCORE) != key


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": 1}', '{"keys": [{}]}', '{"keys": [{"id": "k", "name": "a/b", "sha256": "%s", "scopes": []}]}' % ("0" * 64),
     '{"keys": [{"id": "k", "name": "a", "sha256": "x", "scopes": []}]}', '{"keys": [{"id": "k", "name": "a", "sha256": "%s", "scopes": ["root"]}]}' % ("0" * 64),
     '{"keys": [%s, %s]}' % ((f'{{"id": "k", "name": "a", "sha256": "{"0" * 64}", "scopes": []}}',) * 2)],
)  # fmt: skip
def test_files_that_are_none(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(BadKeys):
        keys_by(Settings(keys_file=str(file)))


@pytest.mark.parametrize(
    ("settings", "wants"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"host": "127.8.9.1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "10.0.0.7"}, True),
        ({"host": "reward.example"}, True),
        ({"auth": "on"}, True),
        ({"host": "0.0.0.0", "auth": "off"}, False),
    ],
)
def test_keys_are_needed_where_others_can_connect(settings: dict[str, Any], wants: bool) -> None:
    if not wants:
        assert keys_by(Settings(**settings)) is None
        return
    with pytest.raises(KeysNeeded, match=r"reward-service keys create(.|\n)*REWARD_SERVICE_AUTH=off"):
        keys_by(Settings(**settings))


def test_an_empty_file_of_keys_opens_nothing(file: Path) -> None:
    keys.write(file, [])
    with pytest.raises(BadKeys, match="keys create"):
        keys_by(Settings(keys_file=str(file)))
    assert not is_loopback("")


# Quotas


def test_a_quota_is_counted_in_items_and_says_when_to_come_back(file: Path, make: Make) -> None:
    key = make("a", Scope.SCORE, Scope.BATCH, items_per_minute=10)
    other = make("b", Scope.SCORE, items_per_day=100)
    client = quick(keys_file=str(file))

    def send(count: int, key: str = key) -> Any:
        return client.post("/v1/score/batch", json={"items": [ITEM] * count}, headers=bearer(key))

    assert [send(4).status_code, send(4).status_code] == [200, 200]
    refused = send(4)
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:reward-service:problem:over-quota"
    assert "10 items per minute" in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 12  # 2 items too many, at 10 a minute
    assert send(2).status_code == 200
    assert send(11).status_code == 413  # would never fit
    assert send(10, other).status_code == 200
    row = {"prompt": "", "response": "", "label": "x"}
    assert client.post("/slime?data_source=s", json=row, headers=bearer(key)).status_code == 429
    assert client.post("/v1/batches", content=LINE, headers=bearer(key) | {"content-type": "application/x-ndjson"}).status_code == 429  # fmt: skip
    stream = client.post(
        "/v1/score/batch", content=LINE, headers=bearer(key) | {"content-type": "application/x-ndjson"}
    )
    assert (stream.status_code, stream.json()["reason"]) == (200, "overloaded")


async def test_a_bucket_leaks_evenly() -> None:
    now = [0.0]
    quotas = MemoryQuotas(lambda: now[0])
    both = [Quota(60, 60), Quota(100, 86_400)]
    assert await quotas.take("a", 60, both) == 0
    assert await quotas.take("a", 30, both) == pytest.approx(30)
    assert await quotas.take("b", 60, both) == 0
    now[0] = 30.0
    assert await quotas.take("a", 30, both) == 0
    now[0] = 120.0
    assert await quotas.take("a", 11, both) == pytest.approx(
        864 - 120, rel=0.01
    )  # of the day's 100 no 11 are left
    assert await quotas.take("a", 10, both) == 0


# Tenants


def test_batches_and_files_are_their_owners(file: Path, make: Make) -> None:
    mine, same, other = (bearer(make(name, Scope.BATCH)) for name in ("a", "a", "b"))
    boss = bearer(make("boss", Scope.ADMIN))
    client = quick(keys_file=str(file))
    batch = client.post("/v1/batches", json={"items": [ITEM]}, headers=mine | {"idempotency-key": "k"}).json()["id"]  # fmt: skip
    stored = client.post("/v1/files", content=LINE, headers=mine).json()
    assert "tenant" not in stored
    for path in (f"/v1/batches/{batch}", f"/v1/batches/{batch}/results?follow=false", f"/v1/files/{stored['id']}", f"/v1/files/{stored['id']}/content"):  # fmt: skip
        seen = [client.get(path, headers=headers).status_code for headers in (mine, same, other, boss)]
        assert seen == [200, 200, 404, 200], path
    assert client.post(f"/v1/batches/{batch}/cancel", headers=other).status_code == 404
    assert client.delete(f"/v1/files/{stored['id']}", headers=other).status_code == 404
    assert client.post("/v1/batches", json={"input_file_id": stored["id"]}, headers=other).status_code == 404
    for path in ("/v1/batches", "/v1/files"):
        assert len(client.get(path, headers=same).json()["data"]) == 1
        assert client.get(path, headers=other).json()["data"] == []
    theirs = client.post("/v1/batches", json={"items": [ITEM]}, headers=other | {"idempotency-key": "k"})
    assert theirs.json()["id"] != batch and "idempotent-replayed" not in theirs.headers
    again = client.post("/v1/batches", json={"items": [ITEM]}, headers=same | {"idempotency-key": "k"})
    assert again.json()["id"] == batch


# The commands


def test_the_commands_make_list_and_revoke(file: Path) -> None:
    from typer.testing import CliRunner

    from reward_service.cli import app

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["keys", *arguments, "--file", str(file)])

    made = run("create", "trainer-a", "--scope", "score", "--scope", "batch", "--items-per-minute", "600")
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert keys.SHAPE.match(key), "the key stands alone on stdout"
    assert key not in made.stderr
    second = run("create", "trainer-a", "--days", "30").stdout.strip()
    listed = run("list").output
    assert key not in listed and second not in listed
    assert "trainer-a" in listed and "600 items/min" in listed and "until 20" in listed
    rows = json.loads(run("list", "--json").stdout)
    assert [row["scopes"] for row in rows] == [["batch", "score"], ["score"]]
    assert "sha256" not in rows[0]
    assert run("revoke", rows[0]["id"]).exit_code == 0
    assert [kept.sha256 for kept in keys.read(file)] == [keys.digest(second)]
    assert run("revoke", "trainer-a").exit_code == 0
    assert run("revoke", "trainer-a").exit_code == 2
    assert run("create", "no/name").exit_code == 2
    assert run("create", "b", "--scope", "root").exit_code == 2


def test_serving_others_without_keys_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from reward_service.cli import app

    monkeypatch.setenv("REWARD_SERVICE_SANDBOX", "none")
    ended = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert ended.exit_code == 2
    assert "reward-service keys create" in ended.stderr and "REWARD_SERVICE_AUTH=off" in ended.stderr


def test_the_settings_in_force_are_shown_without_secrets_to_who_may_read(file: Path, make: Make) -> None:
    score, read = bearer(make("a", Scope.SCORE)), bearer(make("b", Scope.READ))
    client = quick(
        keys_file=str(file),
        judge_api_key="planted-1",
        redis_password="planted-2",
        redis_url="redis://user:planted-3@127.0.0.1:9/0",
        judge_urls="https://u:planted-4@one/v1,https://planted-5@two/v1",
    )
    assert "settings" not in client.get("/v1/info", headers=score).json()
    told = client.get("/v1/info", headers=read)
    shown = told.json()["settings"]
    assert (shown["judge_api_key"], shown["redis_password"]) == ("***", "***")
    assert shown["redis_url"] == "redis://***@127.0.0.1:9/0"
    assert shown["judge_urls"] == "https://***@one/v1,https://***@two/v1"
    assert "planted" not in told.text
    assert shown.keys() == set(Settings.model_fields)
    assert told.json()["libraries"]["sympy"]
    assert "settings" in quick().get("/v1/info").json()


def test_verdicts_are_their_owners_and_ground_truths_need_a_scope(file: Path, make: Make) -> None:
    owner = bearer(make("a", Scope.SCORE, Scope.READ))
    clear = bearer(make("a", Scope.READ, Scope.EXPLAIN))
    other = bearer(make("b", Scope.READ, Scope.EXPLAIN))
    item = {"data_source": "logic__graph", "response": "<answer>owl</answer>", "ground_truth": "planted-crow"}
    app = build_app(Settings(keys_file=str(file), processes=1, spare_processes=0, sandbox="none"))
    with live(app) as base, httpx2.Client(base_url=base, timeout=60) as client:
        scored = client.post("/v1/score", json=item, headers=owner, params={"verdicts": "1"})
        assert scored.json()["score"] == 0.0 and "planted" not in scored.text
        (kept,) = client.get("/v1/verdicts", headers=owner).json()["verdicts"]
        path = f"/v1/verdicts/{kept['verdict']}"
        assert client.get(path, headers=owner).json()["item"]["response"] == item["response"]
        assert "planted" not in client.get(path, headers=owner).text
        assert client.get(path, headers=clear).json()["item"]["ground_truth"] == "planted-crow"
        assert client.get("/v1/verdicts", headers=other).json()["verdicts"] == []
        assert client.get(path, headers=other).status_code == 404
        asked = {"verdict": kept["verdict"]}
        statuses = [
            client.post("/v1/explain", json=asked, headers=one).status_code for one in (owner, clear, other)
        ]
        assert statuses == [403, 200, 404]
