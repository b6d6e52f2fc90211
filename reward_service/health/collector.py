"""What was scored, for Prometheus: made from the sums since the start when it is scraped, and not counted twice.

What is decided here: names and labels. Labels are data sources of the routing table (an unknown one is `unknown`) and closed
lists; run ids never are: a label lives for ever in a database, and a run id is made up by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from reward_service.health.monitor import Monitor
from reward_service.health.series import Running
from reward_service.health.tally import WIDTHS
from reward_service.types import REASONS, Reason

LABELS = ("domain", "data_source")
SUMS = (
    ("scores", "score", 1.0, "Sum of the scores of scored items."),
    ("cache_hits", "cached", 1.0, "Items answered from the cache."),
    ("fresh_items", "fresh", 1.0, "Items not answered from the cache: what to divide the seconds below by."),
    ("duplicate_items", "duplicates", 1.0, "Items that were twins of others in their request."),
    ("verify_seconds", "verify_ms", 1e-3, "CPU seconds of checking items."),
    ("queue_seconds", "queue_ms", 1e-3, "Seconds that items waited for a checking process or a sandbox."),
    ("sandbox_seconds", "sandbox_ms", 1e-3, "CPU seconds of programs in sandboxes."),
    ("judge_seconds", "judge_ms", 1e-3, "Seconds of waiting for a judge model."),
)
"""Name without its prefix, the sum that it shows, in which unit, and what it means."""
BORN = (Reason.INTERNAL, Reason.DEADLINE, Reason.SANDBOX_UNAVAILABLE, Reason.JUDGE_UNAVAILABLE)
"""Reasons with alerts are there from a data source's first item, as zeros: a counter that is born with its first event has
no rate for Prometheus, and an alert would miss that event.
"""
NARROWEST, WIDEST = 6, 17
"""The histogram's bounds: from 2^6 - 1 to 2^17 - 1 characters."""
Held = list[tuple[tuple[str, str], Running]]


class RewardCollector(Collector):
    """A Prometheus collector over a monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """Prometheus'."""
        held = [((one.domain, source), one) for source, one in self._monitor.lifetime().items()]
        yield from counted(held)
        yield from self._watched()

    def _watched(self) -> Iterator[Metric]:
        alerts = GaugeMetricFamily(
            "reward_service_alerts",
            "Alerts of this process's own watch over rewards, by kind: in how many runs.",
            labels=["kind", "data_source"],
        )
        for (kind, source), count in self._monitor.alerting().items():
            alerts.add_metric([kind, source], count)
        checked = CounterMetricFamily(
            "reward_service_refused_answers",
            "Refused answers that were compared with their ground truth: `right` but for how they are written, or `other`.",
            labels=["data_source", "found"],
        )
        for source, (right, other) in self._monitor.checked.items():
            checked.add_metric([source, "right"], right)
            checked.add_metric([source, "other"], other)
        yield alerts
        yield checked


def counted(held: Held) -> Iterator[Metric]:
    """What was added up since the start."""
    items = CounterMetricFamily(
        "reward_service_items", "Items answered.", labels=[*LABELS, "status", "reason"]
    )
    flags = CounterMetricFamily(
        "reward_service_flags", "Items flagged as looking like reward hacking.", labels=[*LABELS, "flag"]
    )
    groups = CounterMetricFamily(
        "reward_service_groups",
        "Groups of samples of one prompt, by their scores: all `zero`, all `one`, or `mixed`.",
        labels=[*LABELS, "scores"],
    )
    chars = HistogramMetricFamily(
        "reward_service_response_chars", "Characters of scored responses.", labels=LABELS
    )
    for key, one in held:
        for reason, count in {**dict.fromkeys(BORN, 0), **one.reasons}.items():
            items.add_metric([*key, REASONS[reason][0].value, reason.value], count)
        for flag, count in one.flags.items():
            flags.add_metric([*key, flag], count)
        sums = one.sums
        mixed = sums.groups - sums.all_zero - sums.all_one
        for scores, some in (("zero", sums.all_zero), ("one", sums.all_one), ("mixed", mixed)):
            groups.add_metric([*key, scores], some)
        chars.add_metric(key, buckets(one), sums.chars)
    yield from (items, flags, groups, chars)
    for name, field, unit, text in SUMS:
        family = CounterMetricFamily(f"reward_service_{name}", text, labels=LABELS)
        for key, one in held:
            family.add_metric(key, getattr(one.sums, field) * unit)
        yield family


def buckets(one: Running) -> list[tuple[str, float]]:
    """Responses of at most so many characters, by bound."""
    counts = [one.widths.get(width, 0) for width in range(max(WIDTHS, *one.widths, 0) + 1)]
    bounds = [
        (f"{(1 << width) - 1}.0", float(sum(counts[: width + 1]))) for width in range(NARROWEST, WIDEST + 1)
    ]
    return [*bounds, ("+Inf", float(sum(counts)))]
