"""`python -m deploy.grafana.generate`: write deploy/grafana/dashboards/*.json; a test writes them again and compares.

What is decided here: what each dashboard shows, in which order people ask: is it up and fast, are the rewards sound, which
data source, which machine. Panels are named by what they answer, and each says what to do about it. Every query adds up over
processes, so that one gateway and a fleet of them read the same. Run ids are no labels: one run's figures are on the
service's own page, /dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent / "dashboards"
WIDTH = 24
SOURCE = 'data_source=~"$data_source"'
SCORED = 'status="scored"'


class Line(NamedTuple):
    """One query, and how its series are named (`{{label}}`)."""

    query: str
    name: str


class Panel(NamedTuple):
    """One panel. kind: timeseries, stat or table. help: what it means and what to do when it is odd."""

    title: str
    lines: Sequence[Line]
    help: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    most: float | None = None


class Dashboard(NamedTuple):
    """One dashboard: rows of panels by name."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    by_source: bool = False


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Per second, added up over processes."""
    matcher = f"{{{where}}}" if where else ""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{matcher}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """A quotient that has no value where nothing happened."""
    return f"{part} / ({whole} > 0)"


def quantile(of: float, metric: str, by: str = "", where: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({of}, {rate(f'{metric}_bucket', labels, where)})"


ITEMS, FRESH = "reward_service_items_total", "reward_service_fresh_items_total"
OVERVIEW = Dashboard(
    "reward-service",
    "Reward Service: overview",
    [
        (
            "Is it up, and is it fast?",
            [
                Panel(
                    "Items a second",
                    [Line(rate(ITEMS), "items")],
                    "Everything that was answered.",
                    "cps",
                    "stat",
                    4,
                ),
                Panel(
                    "Processes ready",
                    [Line("sum (reward_service_pool_processes)", "processes")],
                    "Checking processes that are up. None: nothing can be scored, and /readyz says 503.",
                    "short",
                    "stat",
                    4,
                ),
                Panel(
                    "Errors",
                    [Line(share(rate(ITEMS, where='status="error"'), rate(ITEMS)), "share")],
                    "Items without a score. They are masked, never zeros.",
                    "percentunit",
                    "stat",
                    4,
                ),
                Panel(
                    "Judge model",
                    [Line("min (reward_service_judge_in_service)", "in service")],
                    "1: it may judge. 0: none is configured, it can't be reached, or the canary took it out of service.",
                    "short",
                    "stat",
                    4,
                ),
                Panel(
                    "Alerts",
                    [Line("sum (reward_service_alerts) or vector(0)", "alerts")],
                    "What the service itself finds odd about its rewards. /dashboard says which, and why.",
                    "short",
                    "stat",
                    4,
                ),
                Panel(
                    "Requests in flight",
                    [Line("sum (reward_service_items_in_flight)", "items")],
                    "Items being scored now.",
                    "short",
                    "stat",
                    4,
                ),
                Panel(
                    "Throughput by outcome",
                    [Line(rate(ITEMS, "reason"), "{{reason}}")],
                    "Why items got their scores.",
                    "cps",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Time of a request",
                    [
                        Line(quantile(0.5, "reward_service_request_seconds", "route"), "{{route}} median"),
                        Line(quantile(0.95, "reward_service_request_seconds", "route"), "{{route}} 95 %"),
                    ],
                    "From its first byte to its answer.",
                    "s",
                    width=12,
                ),
                Panel(
                    "Where an item's time goes",
                    [
                        Line(share(rate(f"reward_service_{name}_seconds_total"), rate(FRESH)), name)
                        for name in ("queue", "verify", "sandbox", "judge")
                    ],
                    "Per item that was not cached: waiting, CPU of checking, CPU of programs, waiting for the judge model. "
                    "Much waiting: more processes, or more workers.",
                    "s",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Cache",
                    [Line(share(rate("reward_service_cache_hits_total"), rate(ITEMS)), "hits")],
                    "Items answered from the cache. Responses of a policy are new: many hits are a policy that repeats itself.",
                    "percentunit",
                    width=6,
                    most=1,
                ),
                Panel(
                    "Refused",
                    [
                        Line(rate("reward_service_rejected_items_total"), "items turned away (429)"),
                        Line(rate("reward_service_retried_items_total"), "items tried again"),
                        Line(rate("reward_service_fallback_rewards_total"), "fallback rewards"),
                    ],
                    "Turned away at capacity; tried again for trainers that can't; and numbers invented for those "
                    "that can't take an error.",
                    "cps",
                    width=6,
                ),
            ],
        ),
        (
            "Are the rewards sound?",
            [
                Panel(
                    "Mean score",
                    [
                        Line(
                            share(
                                rate("reward_service_scores_total", "data_source"),
                                rate(ITEMS, "data_source", SCORED),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "A jump is the signature of a trick.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
                Panel(
                    "No answer",
                    [
                        Line(
                            share(
                                rate(ITEMS, "data_source", 'reason=~"no_answer|malformed_answer"'),
                                rate(ITEMS, "data_source", SCORED),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "Responses without a readable answer: cut off, or in another format.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
                Panel(
                    "Flags",
                    [Line(rate("reward_service_flags_total", "flag"), "{{flag}}")],
                    "What looked like reward hacking. Flags change no score.",
                    "cps",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Alerts by kind",
                    [Line("sum by (kind) (reward_service_alerts)", "{{kind}}")],
                    "What the service itself finds odd.",
                    "short",
                    width=12,
                    stacked=True,
                ),
            ],
        ),
        (
            "Judge model",
            [
                Panel(
                    "Requests to the judge model",
                    [Line(rate("reward_service_judge_total", "kind"), "{{kind}}")],
                    "By what became of them.",
                    "cps",
                    width=12,
                ),
                Panel(
                    "Canary",
                    [Line("max (reward_service_judge_canary_accepted)", "attacks accepted")],
                    "Share of the known attacks that the judge accepted in the last round; beyond the setting it is out of service.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
            ],
        ),
    ],
)
BY = "data_source"
SOURCES = Dashboard(
    "reward-service-sources",
    "Reward Service: data sources",
    [
        (
            "Scores",
            [
                Panel(
                    "All data sources",
                    [
                        Line(f"sum by (data_source) (increase({ITEMS}{{{SOURCE}}}[$__range]))", "items"),
                        Line(
                            share(
                                f"sum by (data_source) (increase(reward_service_scores_total{{{SOURCE}}}[$__range]))",
                                f"sum by (data_source) (increase({ITEMS}{{{SOURCE}, {SCORED}}}[$__range]))",
                            ),
                            "mean score",
                        ),
                    ],
                    "Of the whole time shown.",
                    "short",
                    "table",
                    24,
                ),
                Panel(
                    "Mean score",
                    [
                        Line(
                            share(
                                rate("reward_service_scores_total", BY, SOURCE),
                                rate(ITEMS, BY, f"{SOURCE}, {SCORED}"),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "A jump up is the signature of a trick; a jump down, of a changed format or verifier.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
                Panel(
                    "Groups that teach nothing",
                    [
                        Line(
                            share(
                                rate("reward_service_groups_total", BY, f'{SOURCE}, scores="{scores}"'),
                                rate("reward_service_groups_total", BY, SOURCE),
                            ),
                            f"{{{{data_source}}}} all {scores}",
                        )
                        for scores in ("zero", "one")
                    ],
                    "Groups of samples of one prompt with one score for all: too hard, too easy, or a broken verifier.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
                Panel(
                    "Reasons",
                    [Line(rate(ITEMS, "reason", SOURCE), "{{reason}}")],
                    "Why items got their scores.",
                    "cps",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Errors",
                    [
                        Line(
                            share(rate(ITEMS, BY, f'{SOURCE}, status="error"'), rate(ITEMS, BY, SOURCE)),
                            "{{data_source}}",
                        )
                    ],
                    "Items without a score, to be masked.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
            ],
        ),
        (
            "What the policy does",
            [
                Panel(
                    "No answer",
                    [
                        Line(
                            share(
                                rate(ITEMS, BY, f'{SOURCE}, reason=~"no_answer|malformed_answer"'),
                                rate(ITEMS, BY, f"{SOURCE}, {SCORED}"),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "Cut off at the token limit, or another format.",
                    "percentunit",
                    width=8,
                    most=1,
                ),
                Panel(
                    "Time limit",
                    [
                        Line(
                            share(
                                rate(ITEMS, BY, f'{SOURCE}, reason="time_limit"'),
                                rate(ITEMS, BY, f"{SOURCE}, {SCORED}"),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "Programs that used up their CPU time.",
                    "percentunit",
                    width=8,
                    most=1,
                ),
                Panel(
                    "Twins",
                    [
                        Line(
                            share(
                                rate("reward_service_duplicate_items_total", BY, SOURCE),
                                rate(ITEMS, BY, SOURCE),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "Identical responses in one request: a policy that collapses.",
                    "percentunit",
                    width=8,
                    most=1,
                ),
                Panel(
                    "Flags",
                    [
                        Line(
                            rate("reward_service_flags_total", "data_source, flag", SOURCE),
                            "{{data_source}} {{flag}}",
                        )
                    ],
                    "What looked like reward hacking.",
                    "cps",
                    width=12,
                ),
                Panel(
                    "Length of responses",
                    [
                        Line(
                            quantile(0.5, "reward_service_response_chars", BY, SOURCE),
                            "{{data_source}} median",
                        ),
                        Line(
                            quantile(0.95, "reward_service_response_chars", BY, SOURCE),
                            "{{data_source}} 95 %",
                        ),
                    ],
                    "Characters. Growth without better scores: does length pay?",
                    "short",
                    width=12,
                ),
            ],
        ),
        (
            "What the verifier does",
            [
                Panel(
                    "Refused though right",
                    [
                        Line(
                            share(
                                rate("reward_service_refused_answers_total", BY, f'{SOURCE}, found="right"'),
                                rate("reward_service_refused_answers_total", BY, SOURCE),
                            ),
                            "{{data_source}}",
                        )
                    ],
                    "Of the refused answers that were looked at: those that are the ground truth but for how it is written.",
                    "percentunit",
                    width=12,
                    most=1,
                ),
                Panel(
                    "Time of an item",
                    [
                        Line(
                            share(
                                rate(f"reward_service_{name}_seconds_total", BY, SOURCE),
                                rate(FRESH, BY, SOURCE),
                            ),
                            f"{{{{data_source}}}} {name}",
                        )
                        for name in ("queue", "verify", "sandbox", "judge")
                    ],
                    "Per item that was not cached.",
                    "s",
                    width=12,
                ),
            ],
        ),
    ],
    by_source=True,
)
FLEET = Dashboard(
    "reward-service-fleet",
    "Reward Service: processes and fleet",
    [
        (
            "Processes",
            [
                Panel(
                    "Up",
                    [Line('count by (job) (up{job!="prometheus"} == 1)', "{{job}}")],
                    "Targets that answer Prometheus.",
                    width=8,
                ),
                Panel(
                    "Checking processes",
                    [
                        Line("sum (reward_service_pool_processes)", "up"),
                        Line("sum (reward_service_pool_busy)", "busy"),
                    ],
                    "All busy and items waiting: more of them.",
                    width=8,
                ),
                Panel(
                    "Waiting for a process",
                    [Line("sum (reward_service_pool_queued_items)", "items")],
                    "Items.",
                    width=8,
                ),
                Panel(
                    "Processes that were ended",
                    [Line(rate("reward_service_pool_deaths_total", "cause"), "{{cause}}")],
                    "By cause. A few are attacks that were held; many of one kind are a handler's defect.",
                    width=8,
                ),
                Panel(
                    "CPU",
                    [Line(rate("process_cpu_seconds_total", "job, instance"), "{{job}} {{instance}}")],
                    "Cores of the gateway's or worker's own process, without its checking processes.",
                    width=8,
                ),
                Panel(
                    "Memory",
                    [Line("sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}")],
                    "Resident, of the gateway's or worker's own process.",
                    "bytes",
                    width=8,
                ),
            ],
        ),
        (
            "Sandboxes",
            [
                Panel(
                    "Places",
                    [
                        Line("sum (reward_service_sandbox_places)", "there"),
                        Line("sum (reward_service_sandbox_busy)", "busy"),
                        Line("sum (reward_service_sandbox_waiting)", "items waiting"),
                    ],
                    "Programs that can run, that do, and that wait. None there: code is `error/sandbox_unavailable`.",
                    width=12,
                ),
                Panel(
                    "Places thrown away",
                    [Line(rate("reward_service_sandbox_recycled_total", "cause"), "{{cause}}")],
                    "By cause.",
                    width=12,
                ),
            ],
        ),
        (
            "Fleet",
            [
                Panel(
                    "Chunks in the queue",
                    [
                        Line("max (reward_service_queue_live_chunks)", "requests"),
                        Line("max (reward_service_queue_batch_chunks)", "batches"),
                    ],
                    "Waiting for workers. Requests that wait: more workers.",
                    width=8,
                ),
                Panel(
                    "Chunks by what happened",
                    [Line(rate("reward_service_worker_chunks_total", "kind"), "{{kind}}")],
                    "again and lost: workers that died or hung; late: work that was done twice.",
                    "cps",
                    width=8,
                ),
                Panel(
                    "In touch with Redis",
                    [
                        Line("min (reward_service_queue_in_touch)", "gateways"),
                        Line("min (reward_service_worker_in_touch)", "workers"),
                        Line("min (reward_service_cache_in_touch)", "shared cache"),
                    ],
                    "0: at least one is not.",
                    width=8,
                ),
            ],
        ),
    ],
)
DASHBOARDS = (OVERVIEW, SOURCES, FLEET)


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Grafana's form of a panel."""
    table = panel.kind == "table"
    targets = [
        {
            "refId": chr(65 + place),
            "datasource": {"type": "prometheus", "uid": "prometheus"},
            "expr": line.query,
            "legendFormat": line.name,
            **({"instant": True, "range": False, "format": "table"} if table else {}),
        }
        for place, line in enumerate(panel.lines)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 30 if panel.stacked else 0,
            "lineWidth": 1,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    options: dict[str, Any] = {}
    if panel.kind == "timeseries":
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    found: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"h": 4 if panel.kind == "stat" else 8, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }
    if table:
        names = {f"Value #{chr(65 + place)}": line.name for place, line in enumerate(panel.lines)}
        found["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        ]
    return found


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as the text of its file."""
    panels: list[dict[str, Any]] = []
    x = y = 0
    for title, row in dashboard.rows:
        panels.append(
            {
                "id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            }
        )  # fmt: skip
        x, y, height = 0, y + 1, 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            shown = panel_json(panel, len(panels) + 1, x, y)
            panels.append(shown)
            x, height = x + panel.width, max(height, shown["gridPos"]["h"])
        y += height
    variables = [
        {
            "name": "data_source",
            "label": "Data source",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "prometheus"},
            "query": {"query": f"label_values({ITEMS}, data_source)", "refId": "data_source"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }
    ]
    whole = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["reward-service"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Reward Service",
                "tags": ["reward-service"],
                "asDropdown": False,
            },
        ],
        "templating": {"list": variables if dashboard.by_source else []},
        "annotations": {"list": []},
        "panels": panels,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    HERE.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (HERE / f"{dashboard.uid}.json").write_text(rendered(dashboard))


if __name__ == "__main__":
    main()
