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
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from reward_service.engine.scorer import Row, Scored
from reward_service.health.collector import RewardCollector
from reward_service.health.monitor import Monitor
from reward_service.health.series import STEP_SECONDS

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


Gauges = Mapping[str, tuple[str, Any]]
"""Name -> (text, how to read it)."""
Counters = Mapping[str, tuple[str, str, Any]]
"""Name -> (text, label, how to read the counts by the label's values)."""


log = logging.getLogger(__name__)


class Metrics:
    """One registry of metrics per application, so that several can live in one process."""

    def __init__(self, version: str, step_seconds: int = STEP_SECONDS) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        r = self.registry
        info = Info("reward_service", "What is being served.", registry=r)
        info.info({"version": version})
        self.monitor = Monitor(step_seconds=step_seconds)
        r.register(RewardCollector(self.monitor))
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
        self.dropped = Counter(
            "reward_service_dropped_items",
            "Items whose client went away before they were judged.",
            registry=r,
        )
        self.rejected = Counter(
            "reward_service_rejected_items", "Items refused because the service was full.", registry=r
        )
        self.audit_pass = Gauge(
            "reward_service_verifier_audit_pass",
            "1 if the last audit in the background found nothing wrong with the handler.",
            ("handler",),
            registry=r,
        )
        self.audit_violations = Gauge(
            "reward_service_verifier_audit_violations",
            "What the last audit in the background found of a handler, by kind.",
            ("handler", "kind"),
            registry=r,
        )

    def audited(self, handler: str, passed: bool, violations: Mapping[str, int]) -> None:
        """What the audit in the background found of a handler, by kind."""
        self.audit_pass.labels(handler).set(passed)
        for kind, count in violations.items():
            self.audit_violations.labels(handler, kind).set(count)

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
            slowest = self.monitor.record(rows, results, run)
            self.request_queue.observe(slowest / 1e3)
        except Exception:  # a score must not be lost because it could not be counted
            log.exception("results could not be counted")

    def retried(self, results: Sequence[Scored]) -> None:
        """Items that failed for a passing reason and are tried again before anybody hears of it."""
        for reason, count in Tally(one.outcome.reason.value for one in results).items():
            self.retries.labels(reason).inc(count)
        self.monitor.troubled(results)

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
