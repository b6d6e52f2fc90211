"""Alert rules and dashboards against a real Prometheus: every figure that they name has data when something happens, and
every alert fires when its condition is caused.

What a condition makes of the metrics is caused in live services and asked of Prometheus; how long it has to last is played
by `promtool test rules`, which has a clock of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from deploy.grafana.generate import DASHBOARDS, HERE, Line, rendered
from tests.engine import need
from tests.fault.fleets import Fleet
from tests.fault.test_judge import honest, verdict_reply
from tests.load.measure import free_port, service
from tests.redis_server import Server

ROOT = Path(__file__).resolve().parents[2]
RULES_FILE = ROOT / "deploy" / "prometheus" / "rules.yml"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES_FILE.read_text())["groups"]
    for rule in group["rules"]
}
HANDLERS = "tests.deploy.watched:registry"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_the_dashboards_are_those_that_are_generated(dashboard: Any) -> None:
    path = HERE / f"{dashboard.uid}.json"
    assert path.read_text() == rendered(dashboard), "run `python -m deploy.grafana.generate`"
    assert {one.name for one in HERE.iterdir()} == {f"{one.uid}.json" for one in DASHBOARDS}


def test_no_panel_overlaps_another() -> None:
    for dashboard in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(rendered(dashboard))["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["type"] == "row" or panel["description"].endswith((".", "?"))


def test_prometheus_takes_rules_and_configuration() -> None:
    need("prometheus")
    for command in (
        ["check", "rules", str(RULES_FILE)],
        ["check", "config", "--syntax-only", str(ROOT / "deploy/prometheus/prometheus.yml")],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do_and_its_documentation_is_there() -> None:
    headings = {
        line.lstrip("# ").strip().strip("`").lower()
        for line in (ROOT / "docs/telemetry.md").read_text().splitlines()
        if line.startswith("#")
    }
    for name, rule in RULES.items():
        notes = rule["annotations"]
        assert notes["summary"].endswith("."), name
        assert notes["action"].endswith((".", "?")), name
        page, _, anchor = notes["docs"].partition("#")
        assert (ROOT / page).exists()
        assert anchor in headings, f"docs/telemetry.md lacks a heading {anchor}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


# How long it has to last: by promtool's clock

INFO = 'reward_service_info{version="0",job="g",instance="i"}'
ITEMS = 'reward_service_items_total{domain="d",data_source="s",status="%s",reason="%s"}'
Series = Sequence[tuple[str, str]]
CAUSES: dict[str, tuple[Series, int]] = {
    "RewardServiceDown": ([('up{job="g",instance="i"}', "1x9 0x60"), (INFO, "1x9 _x60")], 12),
    "RewardServiceGone": ([('up{job="g",instance="other"}', "1x60")], 6),
    "RewardServiceNotReady": ([("reward_service_pool_processes", "2x4 0x60")], 8),
    "RewardErrorRate": (
        [(ITEMS % ("error", "unknown_ground_truth"), "0+10x60"), (ITEMS % ("scored", "equal"), "0+100x60")],
        9,
    ),
    "RewardInternalErrors": ([(ITEMS % ("error", "internal"), "0x5 1x60"), (ITEMS % ("scored", "equal"), "0+100x60")], 8),
    "RewardDeadlineMisses": (
        [(ITEMS % ("error", "deadline"), "0+2x60"), (ITEMS % ("scored", "equal"), "0+100x60")],
        9,
    ),
    "RewardJudgeDown": (
        [("reward_service_judge_configured", "1x60"), ("reward_service_judge_in_service", "1x3 0x60")],
        7,
    ),
    "RewardJudgeCanary": ([("reward_service_judge_canary_accepted", "0x3 0.05x60")], 5),
    "RewardSandboxUnavailable": (
        [(ITEMS % ("error", "sandbox_unavailable"), "0x2 1+1x60"), (ITEMS % ("scored", "equal"), "0+100x60")],
        8,
    ),
    "RewardOverloaded": ([("reward_service_rejected_items_total", "0+5x60")], 9),
    "RewardQueueGrowing": (
        [("reward_service_queue_seconds_total", "0+600x60"), ("reward_service_fresh_items_total", "0+100x60")],
        9,
    ),
    "RewardCacheDown": ([("reward_service_cache_in_touch", "1x3 0x60")], 7),
    "RewardQueueUnreachable": ([("reward_service_worker_in_touch", "1x3 0x60")], 6),
    "RewardWorkerCrashes": ([('reward_service_worker_items_total{kind="convicted"}', "0x3 1x60")], 6),
    "RewardFallbacks": ([('reward_service_fallback_rewards_total{dialect="x",reason="deadline"}', "0+1x60")], 9),
    "RewardAuditFailed": ([('reward_service_verifier_audit_pass{handler="h"}', "1x3 0x60")], 6),
    **{
        f"Reward{name}": ([(f'reward_service_alerts{{kind="{kind}",data_source="s"}}', "0x3 1x60")], 5)
        for name, kind in (
            ("ScoreJump", "score_jump"),
            ("FlagJump", "flag_jump"),
            ("NoAnswerJump", "no_answer_jump"),
            ("LengthJump", "length_jump"),
            ("VerifierSuspect", "rejects_right_answers"),
        )
    },
}  # fmt: skip
"""Alert -> series that cause it (a value a minute), and the minute in which it fires."""
QUIET: Series = [
    ('up{job="g",instance="i"}', "1x60"),
    (INFO, "1x60"),
    ("reward_service_pool_processes", "2x60"),
    (ITEMS % ("scored", "equal"), "0+100x60"),
    (ITEMS % ("error", "deadline"), "0x60"),
    (ITEMS % ("error", "unknown_ground_truth"), "0+1x60"),
    ("reward_service_judge_configured", "0x60"),
    ("reward_service_judge_in_service", "0x60"),
    ("reward_service_judge_canary_accepted", "0x60"),
    ("reward_service_rejected_items_total", "0x60"),
    ("reward_service_queue_seconds_total", "0+60x60"),
    ("reward_service_fresh_items_total", "0+100x60"),
    ("reward_service_cache_in_touch", "1x60"),
    ("reward_service_queue_in_touch", "1x60"),
    ("reward_service_queue_live_chunks", "20x60"),
    ('reward_service_worker_items_total{kind="convicted"}', "1x60"),
    ('reward_service_verifier_audit_pass{handler="h"}', "1x60"),
]


def test_each_alert_fires_when_its_time_has_come_and_no_other(tmp_path: Path) -> None:
    need("prometheus")
    assert set(CAUSES) == set(RULES)
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    cases = []
    for name, (series, minute) in CAUSES.items():
        caused = [*series] if name == "RewardServiceGone" else [(INFO, "1x60"), *series]
        if name == "RewardServiceDown":  # another process is still there
            caused = [*series, (INFO.replace('"i"', '"j"'), "1x60")]
        lasting = int(RULES[name].get("for", "0m").rstrip("m"))
        expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
        asked = [{"expr": firing, "eval_time": f"{minute}m", "exp_samples": expected}]
        if lasting:  # not at once
            start = next((int(v[v.index("x") + 1 : v.index(" ")]) + 1 for _, v in series if " " in v), 0)
            asked.append({"expr": firing, "eval_time": f"{start}m", "exp_samples": []})
        cases.append(
            {"interval": "1m", "name": name, "input_series": named(caused), "promql_expr_test": asked}
        )
    quiet = [{"expr": firing, "eval_time": f"{minute}m", "exp_samples": []} for minute in range(1, 60, 5)]
    cases.append({"interval": "1m", "name": "quiet", "input_series": named(QUIET), "promql_expr_test": quiet})
    file = tmp_path / "rules.test.yml"
    file.write_text(
        json.dumps({"rule_files": [str(RULES_FILE)], "evaluation_interval": "30s", "tests": cases})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def named(series: Series) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series]


# What the conditions make of the metrics: live


class JudgeServer(ThreadingHTTPServer):
    """A judge model that is honest until it says yes to everything."""

    gullible = False
    request_queue_size = 256


class JudgeHandler(BaseHTTPRequestHandler):
    """One question."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.gullible:  # type: ignore[attr-defined]
            data = verdict_reply(body, "same")
        else:
            _, data = asyncio.run(honest(body))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Watch:
    """A Prometheus of the test's own."""

    def __init__(self, folder: Path, targets: dict[str, list[str]]) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES_FILE)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": hosts}]} for job, hosts in targets.items()
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(json.dumps(config))
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"],
        )  # fmt: skip
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=30)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples that a query finds, but for those that are no number."""
        answer = self.http.get("/query", params={"query": query})
        if answer.status_code == 503:  # it still starts
            return []
        reply = answer.json()
        assert reply["status"] == "success", (query, reply)
        return [one for one in reply["data"]["result"] if one["value"][1] != "NaN"]

    def until(self, query: str, seconds: float = 15.0, *, found: bool = True) -> None:
        """Wait until a query finds something (or nothing)."""
        end = time.monotonic() + seconds
        while True:
            try:
                if bool(self.ask(query)) is found:
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < end, f"{query} finds {'nothing' if found else self.ask(query)}"
            time.sleep(0.2)

    def stop(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(20)


class Scene:
    """A service by itself, a fleet (gateway, worker, Redis), a judge model, and a Prometheus that watches them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.judge = JudgeServer(("127.0.0.1", 0), JudgeHandler)
        threading.Thread(target=self.judge.serve_forever, daemon=True).start()
        stack.callback(self.judge.server_close)
        stack.callback(self.judge.shutdown)
        self.redis = Server(port=0)
        stack.callback(self.redis.close)
        self.fleet = Fleet(self.redis, folder)
        stack.callback(self.fleet.stop)
        port = free_port()
        self.worker = self.fleet.worker(HANDLERS, worker_port=port, lease_seconds=2)
        alone = {
            "processes": "2", "sandbox": "none", "judge_model": "judge", "judge_canary_seconds": "2", "telemetry_step_seconds": "1", "audit_seconds": "5", "max_in_flight": "300",
            "judge_urls": f"http://127.0.0.1:{self.judge.server_address[1]}/v1",
        }  # fmt: skip
        fleet = {
            "engine": "fleet",
            "redis_url": self.redis.url,
            "lease_seconds": "2",
            "redis_seconds": "0.5",
        }
        with ThreadPoolExecutor() as pool:  # at the same time: starting takes seconds
            one, two = pool.map(
                lambda settings: stack.enter_context(service(HANDLERS, **settings)), (alone, fleet)
            )
        self.alone = stack.enter_context(httpx2.Client(base_url=one[0], timeout=60))
        self.gateway = stack.enter_context(httpx2.Client(base_url=two[0], timeout=60))
        hosts = {
            "gateway": [url.removeprefix("http://") for url, _ in (one, two)],
            "worker": [f"127.0.0.1:{port}"],
        }
        self.watch = Watch(folder, hosts)
        stack.callback(self.watch.stop)
        self.sent = 0

    def score(
        self, response: str, count: int, source: str = "staged", client: httpx2.Client | None = None
    ) -> None:
        """A batch of distinct responses that begin so, and a look at the telemetry, which ends its point."""
        self.sent += 1
        items = [
            {
                "data_source": source,
                "response": f"{response} {self.sent} {number}",
                "ground_truth": "12",
                "prompt": f"{self.sent} {number // 16}",
                "run_id": "test",
            }
            for number in range(count)
        ]
        http = client or self.alone
        reply = http.post("/v1/score/batch", json={"items": items})
        assert reply.status_code == 200, reply.text
        http.get("/v1/telemetry")

    def mixed(self, right: int, source: str, *others: str) -> None:
        """256 items of which so many are right."""
        for _ in range(1):
            self.sent += 1
            items = [
                {
                    "data_source": source,
                    "response": f"{word} {self.sent} {n}",
                    "ground_truth": "12",
                    "run_id": "test",
                }
                for n in range(256)
                for word in ["right" if n < right else (others or ("wrong",))[n % max(1, len(others))]]
            ]
            assert self.alone.post("/v1/score/batch", json={"items": items}).status_code == 200
            self.alone.get("/v1/telemetry")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    need("prometheus")
    with ExitStack() as stack:
        yield Scene(tmp_path_factory.mktemp("prometheus"), stack)


def healthy(scene: Scene) -> None:
    """Traffic without a fault."""
    for _ in range(12):
        scene.mixed(100, "staged")
        scene.mixed(100, "tricked")
    scene.score("endless", 4)
    scene.score("friction does it", 2, "asking")
    scene.score("right", 20, client=scene.gateway)
    reply = scene.gateway.post(
        "/v1/batches",
        json={"items": [{"data_source": "staged", "response": "right b", "ground_truth": "12"}]},
    )
    assert reply.status_code == 200


def overload(scene: Scene) -> None:
    """More at once than there is room for: turned away twice, because the first is where a rate begins."""
    batches = [
        [{"data_source": "staged", "response": f"slow {which} {n}", "ground_truth": ""} for n in range(4)]
        * 70
        for which in ("one", "two", "three", "four")
    ]
    with ThreadPoolExecutor() as pool:
        for pause in (0.0, 1.5):
            time.sleep(pause)
            replies = pool.map(
                lambda items: scene.alone.post("/v1/score/batch", json={"items": items}), batches[:2]
            )
            assert sorted(reply.status_code for reply in replies) == [200, 429]
            del batches[:2]


def refuse(scene: Scene, done: threading.Event) -> None:
    """A verifier that refuses right answers: beside everything else, because few answers are looked at in each step."""
    with httpx2.Client(base_url=scene.alone.base_url, timeout=60) as http:
        number = 0
        while not done.wait(0.5):
            number += 1
            items = [
                {"data_source": "broken", "response": f"dressed {number} {n}", "ground_truth": "12"}
                for n in range(16)
            ]
            http.post("/v1/score/batch", json={"items": items})


def stop(scene: Scene) -> None:
    """The fleet's only worker ends."""
    scene.worker.signal(15)
    scene.worker.wait()


def ask_in_vain(scene: Scene) -> None:
    """A request that finds the shared cache gone."""
    scene.gateway.post(
        "/v1/score?deadline_seconds=1",
        json={"data_source": "staged", "response": "right v", "ground_truth": "12"},
    )


LIVE: dict[str, Callable[[Scene], object]] = {
    "RewardAuditFailed": lambda scene: None,  # `staged` pays whatever says that it is right
    "RewardErrorRate": lambda scene: scene.score("x", 40, "nobody's"),
    "RewardInternalErrors": lambda scene: (scene.score("raises", 3), scene.score("dies", 1)),
    "RewardDeadlineMisses": lambda scene: scene.alone.post(
        "/v1/score/batch?deadline_seconds=0.3",
        json={
            "items": [{"data_source": "late", "response": f"slow {n}", "ground_truth": ""} for n in range(9)]
        },
    ),
    "RewardSandboxUnavailable": lambda scene: scene.alone.post(
        "/openrlhf",
        params={"data_source": "coding", "deadline_seconds": "1"},
        json={"query": ["x"], "prompts": [""], "labels": ["y"]},
    ),
    "RewardJudgeCanary": lambda scene: setattr(scene.judge, "gullible", True),
    "RewardJudgeDown": lambda scene: scene.score("friction too", 4, "asking"),
    "RewardOverloaded": overload,
    "RewardFallbacks": lambda scene: scene.alone.post(
        "/openrlhf",
        params={"data_source": "nobody's"},
        json={"query": ["x"], "prompts": [""], "labels": ["y"]},
    ),
    "RewardScoreJump": lambda scene: [scene.mixed(250, "tricked") for _ in range(4)],
    "RewardFlagJump": lambda scene: [scene.mixed(100, "staged", "flagged") for _ in range(4)],
    "RewardNoAnswerJump": lambda scene: [scene.mixed(100, "staged", "none") for _ in range(6)],
    "RewardLengthJump": lambda scene: [scene.score("right " + "x" * 600, 256) for _ in range(4)],
    "RewardVerifierSuspect": lambda scene: None,
    "RewardServiceNotReady": stop,
    "RewardServiceDown": lambda scene: None,
    "RewardCacheDown": lambda scene: (scene.redis.kill(), ask_in_vain(scene)),
    "RewardQueueUnreachable": lambda scene: None,
}
"""Alert -> what causes its condition. Its expression finds nothing before, and something after. In this order."""
TWICE = {
    "RewardErrorRate",
    "RewardFallbacks",
    "RewardSandboxUnavailable",
    "RewardJudgeDown",
    "RewardInternalErrors",
    "RewardDeadlineMisses",
}
NOT_LIVE = {
    "RewardServiceGone": "asked of the query at the end: nothing is left to scrape",
    "RewardQueueGrowing": "items that wait for five seconds",
    "RewardWorkerCrashes": "tests/fault/test_redis_workers.py kills workers; here only that the counter is there",
}


def live(query: str) -> str:
    """A rule's or panel's query for a Prometheus that is seconds old."""
    for name, value in (("$__rate_interval", "1m"), ("$__range", "2m"), ("$data_source", ".*")):
        query = query.replace(name, value)
    return query


@pytest.mark.timeout(180)
def test_live(scene: Scene) -> None:
    watch = scene.watch
    watch.until("count(reward_service_info) == 3", 60)
    assert not watch.ask("up == 0")
    watch.until(
        'max(reward_service_pool_processes{job="gateway"}) > 0 and min(reward_service_pool_processes) > 0', 60
    )
    healthy(scene)
    watch.until('reward_service_items_total{job="worker"}', 20)
    time.sleep(3)
    early = {name: watch.ask(RULES[name]["expr"]) for name in RULES}
    assert not {name: found for name, found in early.items() if found and name != "RewardAuditFailed"}
    assert set(LIVE) | set(NOT_LIVE) == set(RULES)
    missing: dict[str, str] = {}
    done = threading.Event()
    refusing = threading.Thread(target=refuse, args=(scene, done))
    refusing.start()
    try:
        for name, cause in LIVE.items():
            if name in TWICE:
                cause(scene)  # twice: the first is where a counter begins
                time.sleep(1.1)
            cause(scene)
            watch.until(RULES[name]["expr"], 40)
            if name == "RewardVerifierSuspect":
                missing = undrawn(scene)
                done.set()
    finally:
        done.set()
        refusing.join()
    assert not missing, "\n".join(f"{where}: {query}" for where, query in missing.items())
    names = set(watch.http.get("/label/__name__/values").json()["data"])
    for name, rule in RULES.items():
        lacking = set(re.findall(r"reward_service_\w+", rule["expr"])) - names
        assert not lacking, (name, lacking)
    pending = {one["labels"]["alertname"] for one in watch.http.get("/alerts").json()["data"]["alerts"]}
    assert pending >= {"RewardScoreJump", "RewardErrorRate", "RewardServiceDown"}


def undrawn(scene: Scene) -> dict[str, str]:
    """Lines of panels that have no data, though everything that they show has happened."""
    found = {}
    for dashboard in DASHBOARDS:
        for _, row in dashboard.rows:
            for panel in row:
                for line in panel.lines:
                    assert isinstance(line, Line)
                    if not scene.watch.ask(live(line.query)):
                        found[f"{dashboard.title}: {panel.title}: {line.name}"] = live(line.query)
    return found
