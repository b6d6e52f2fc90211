"""The service's metrics. Recorded per chunk of results: per item the service does nothing but score.

What is decided here: names and labels. A data source is counted under the name of its routing entry, and an
unknown one as `unknown`, so that no request can create labels.
"""

from __future__ import annotations

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

from reward_service.engine.scorer import Scored

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


Gauges = Mapping[str, tuple[str, Any]]
"""Name -> (text, how to read it)."""
Counters = Mapping[str, tuple[str, str, Any]]
"""Name -> (text, label, how to read the counts by the label's values)."""


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

    def record(self, results: Sequence[Scored]) -> None:
        """Count the results of one request or chunk."""
        items: Tally[tuple[str, str, str, str]] = Tally()
        scores: dict[tuple[str, str], list[float]] = {}
        flags: Tally[tuple[str, str, str]] = Tally()
        longest = 0.0
        for outcome, data_source, domain in results:
            items[domain, data_source, outcome.status, outcome.reason] += 1
            sums = scores.setdefault((domain, data_source), [0.0, 0.0, 0.0, 0.0])
            sums[0] += outcome.score or 0.0
            if outcome.cached:
                sums[1] += 1.0
            else:
                sums[2] += outcome.verify_ms
                sums[3] += outcome.queue_ms
                longest = max(longest, outcome.queue_ms)
            for flag in outcome.flags:
                flags[domain, data_source, flag[:64]] += 1
        for item_key, count in items.items():
            self.items.labels(*item_key).inc(count)
        for key, (score, hits, verify, queue) in scores.items():
            self.scores.labels(*key).inc(score)
            self.cache_hits.labels(*key).inc(hits)
            self.verify_seconds.labels(*key).inc(verify / 1e3)
            self.queue_seconds.labels(*key).inc(queue / 1e3)
        for flag_key, count in flags.items():
            self.flags.labels(*flag_key).inc(count)
        self.request_queue.observe(longest / 1e3)

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
