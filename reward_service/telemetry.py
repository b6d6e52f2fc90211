"""The service's metrics. Recorded per chunk of results: per item the service does nothing but score.

What is decided here: names and labels. A data source is counted under the name of its routing entry, and an
unknown one as `unknown`, so that no request can create labels.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from reward_service.engine.scorer import Row, Scored
from reward_service.health.monitor import Monitor
from reward_service.health.tally import WIDTHS, Part
from reward_service.types import REASONS, Reason

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


Gauges = Mapping[str, tuple[str, Any]]
"""Name -> (text, how to read it)."""
Counters = Mapping[str, tuple[str, str, Any]]
"""Name -> (text, label, how to read the counts by the label's values)."""


log = logging.getLogger(__name__)


class Metrics:
    """One registry of metrics per application, so that several can live in one process."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        r = self.registry
        info = Info("reward_service", "What is being served.", registry=r)
        info.info({"version": version})
        labels = ("domain", "data_source")
        self.items = Counter(
            "reward_service_items", "Items answered.", (*labels, "status", "reason"), registry=r
        )
        self.scores = Counter(
            "reward_service_scores", "Sum of the scores of scored items.", labels, registry=r
        )
        self.flags = Counter(
            "reward_service_flags",
            "Items flagged as looking like reward hacking.",
            (*labels, "flag"),
            registry=r,
        )
        self.cache_hits = Counter(
            "reward_service_cache_hits", "Items answered from the cache.", labels, registry=r
        )
        self.verify_seconds = Counter(
            "reward_service_verify_seconds", "CPU seconds of checking items.", labels, registry=r
        )
        self.queue_seconds = Counter(
            "reward_service_queue_seconds",
            "Seconds that items waited for a checking process.",
            labels,
            registry=r,
        )
        self.sandbox_seconds = Counter(
            "reward_service_sandbox_seconds", "CPU seconds of programs in sandboxes.", labels, registry=r
        )
        self.judge_seconds = Counter(
            "reward_service_judge_seconds", "Seconds of waiting for a judge model.", labels, registry=r
        )
        self.fresh = Counter(
            "reward_service_fresh_items",
            "Items that were not answered from the cache: what to divide the seconds by.",
            labels,
            registry=r,
        )
        self.duplicates = Counter(
            "reward_service_duplicate_items",
            "Items that were twins of others in their request.",
            labels,
            registry=r,
        )
        self.groups = Counter(
            "reward_service_groups",
            "Groups of samples of one prompt, by their scores: all zero, all one, or mixed.",
            (*labels, "scores"),
            registry=r,
        )
        self.chars = _Lengths(
            "reward_service_response_chars", "Characters of scored responses.", labels, registry=r
        )
        self._held: dict[tuple[str, str], _Held] = {}
        self.monitor = Monitor()
        r.register(_Alerts(self.monitor))
        self.requests = Histogram(
            "reward_service_request_seconds",
            "Seconds from the first byte of a scoring request to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=r,
        )
        self.request_queue = Histogram(
            "reward_service_request_queue_seconds",
            "The longest that an item of a request waited for a checking process.",
            buckets=_SECONDS,
            registry=r,
        )
        self.responses = Counter("reward_service_responses", "HTTP responses.", ("route", "code"), registry=r)
        self.in_flight = Gauge("reward_service_items_in_flight", "Items being scored now.", registry=r)
        self.fallbacks = Counter(
            "reward_service_fallback_rewards",
            "Items that were not judged and got a dialect's fallback reward, for clients that have no other way.",
            ("dialect", "reason"),
            registry=r,
        )
        self.retries = Counter(
            "reward_service_retried_items",
            "Items of a dialect that failed for a passing reason and were tried again, by reason.",
            ("reason",),
            registry=r,
        )
        self.rejected = Counter(
            "reward_service_rejected_items", "Items refused because the service was full.", registry=r
        )

    def answered(self, route: str, status: int) -> None:
        """Count an HTTP response."""
        self.responses.labels(route, str(status)).inc()

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is scraped."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def counter(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """A counter with one label that somebody else counts, read when it is scraped."""
        self.registry.register(_Tallied(name, text, label, values))

    def watch(self, gauges: Gauges, counters: Counters) -> None:
        """Show what `assemble` names: read when it is scraped."""
        for name, (text, read) in gauges.items():
            self.gauge(name, text, read)
        for name, (text, label, counts) in counters.items():
            self.counter(name, text, label, counts)
        self.monitor.watch({name: read for name, (_, read) in gauges.items()})

    def record(self, rows: Sequence[Row], results: Sequence[Scored], run: str = "") -> None:
        """Count the results of one request or chunk; `run` is that of rows that name none. Never raises."""
        try:
            self.count(self.monitor.record(rows, results, run))
        except Exception:  # a score must not be lost because it could not be counted
            log.exception("results could not be counted")

    def retried(self, results: Sequence[Scored]) -> None:
        """Items that failed for a passing reason and are tried again before anybody hears of it."""
        for reason, count in Tally(one.outcome.reason.value for one in results).items():
            self.retries.labels(reason).inc(count)
        self.monitor.troubled(results)

    def count(self, parts: Sequence[Part]) -> None:
        """Count a chunk that is added up."""
        longest = 0.0
        for part in parts:
            key = (part.domain, part.data_source)
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(self, key)
            held.add(part)
            longest = max(longest, part.slowest_queue_ms)
            for flag, count in part.flags.items():
                self.flags.labels(*key, flag).inc(count)
        self.request_queue.observe(longest / 1e3)

    def requested(self, route: str, seconds: float) -> None:
        """A scoring request was answered."""
        self.requests.labels(route).observe(seconds)
        self.monitor.requested(seconds)

    def refused(self, items: int) -> None:
        """Items were turned away."""
        self.rejected.inc(items)
        self.monitor.refused(items)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Tallied(Collector):
    """A prometheus collector over a callable."""

    def __init__(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._label, self._values = name, text, label, values

    def collect(self) -> list[Metric]:
        """Prometheus'."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self._values().items():
            family.add_metric([value], count)
        return [family]


class _Held:
    """The children of one data source's metrics: looked up once, not with every chunk."""

    def __init__(self, metrics: Metrics, key: tuple[str, str]) -> None:
        self._items = metrics.items
        self._key = key
        self._reasons: dict[Reason, Counter] = {}
        self._scores = metrics.scores.labels(*key)
        self._hits = metrics.cache_hits.labels(*key)
        self._fresh = metrics.fresh.labels(*key)
        self._verify = metrics.verify_seconds.labels(*key)
        self._queue = metrics.queue_seconds.labels(*key)
        self._sandbox = metrics.sandbox_seconds.labels(*key)
        self._judge = metrics.judge_seconds.labels(*key)
        self._duplicates = metrics.duplicates.labels(*key)
        self._groups = [metrics.groups.labels(*key, scores) for scores in ("zero", "one", "mixed")]
        self._chars = metrics.chars.child(key)

    def add(self, part: Part) -> None:
        """One part's figures."""
        for reason, count in part.reasons.items():
            counter = self._reasons.get(reason)
            if counter is None:
                status = REASONS[reason][0].value
                counter = self._reasons[reason] = self._items.labels(*self._key, status, reason.value)
            counter.inc(count)
        sums = part.sums
        self._scores.inc(sums.score)
        self._hits.inc(sums.cached)
        self._fresh.inc(sums.fresh)
        self._verify.inc(sums.verify_ms / 1e3)
        self._queue.inc(sums.queue_ms / 1e3)
        self._sandbox.inc(sums.sandbox_ms / 1e3)
        self._judge.inc(sums.judge_ms / 1e3)
        self._duplicates.inc(sums.duplicates)
        if sums.groups:
            mixed = sums.groups - sums.all_zero - sums.all_one
            for group, some in zip(self._groups, (sums.all_zero, sums.all_one, mixed), strict=True):
                group.inc(some)
        self._chars.add(part.widths, sums.chars)


class _Widths:
    """A histogram by powers of two, of one data source."""

    def __init__(self) -> None:
        self.counts = [0] * WIDTHS
        self.total = 0.0

    def add(self, widths: Mapping[int, int], chars: float) -> None:
        for width, count in widths.items():
            self.counts[min(width, WIDTHS - 1)] += count
        self.total += chars


class _Lengths(Collector):
    """A histogram that is fed with counts: prometheus_client's takes one observation at a time."""

    FIRST, LAST = 6, 17
    """Bounds from 2^6 - 1 to 2^17 - 1."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._children: dict[tuple[str, str], _Widths] = {}
        registry.register(self)

    def child(self, key: tuple[str, str]) -> _Widths:
        return self._children.setdefault(key, _Widths())

    def collect(self) -> list[Metric]:
        """Prometheus'."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for key, child in self._children.items():
            bounds = [
                (str(float((1 << width) - 1)), float(sum(child.counts[: width + 1])))
                for width in range(self.FIRST, self.LAST + 1)
            ]
            family.add_metric(key, [*bounds, ("+Inf", float(sum(child.counts)))], child.total)
        return [family]


class _Alerts(Collector):
    """What the monitor holds against runs and data sources. Runs are counted, and never a label."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> list[Metric]:
        """Prometheus'."""
        alerts = GaugeMetricFamily(
            "reward_service_alerts",
            "Alerts of this process's own watch over rewards, by kind; the number of runs that have it.",
            labels=["kind", "data_source"],
        )
        for (kind, source), count in self._monitor.alerting().items():
            alerts.add_metric([kind, source], count)
        checked = CounterMetricFamily(
            "reward_service_refused_answers_checked",
            "Refused answers that were compared with their ground truth, by what was found: right (but for how it is "
            "written), or other.",
            labels=["data_source", "found"],
        )
        for source, (right, other) in self._monitor.checked().items():
            checked.add_metric([source, "right"], right)
            checked.add_metric([source, "other"], other)
        return [alerts, checked]
