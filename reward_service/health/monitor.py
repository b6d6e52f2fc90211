"""The reward-health telemetry of one process: hears of every chunk, keeps steps and alerts, and answers `GET /v1/telemetry`.

What is decided here: what is looked at closely, and how much of it. Refused answers are compared with their ground truth
(`dress.py`) at most `CHECKS` times per data source and step; a request's duration is one of at most `DURATIONS` kept per
step. Everything else is counted whole. Named groups (`group_id`) stay open for `GROUP_SECONDS` after their last sample,
because their samples may come in requests of their own. A process knows what it scored itself: each gateway of a fleet
shows its own requests, Prometheus adds them up.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, NamedTuple

from reward_service.engine.scorer import Row, Scored
from reward_service.health import view
from reward_service.health.alerts import Alerts
from reward_service.health.dress import marked_answer, same_but_for_dress
from reward_service.health.series import STEP_SECONDS, STEPS, History, Running, step_of
from reward_service.health.tally import NO_SUMS, Part, counted, tally
from reward_service.types import Outcome, Reason

CHECKS = 20
LOOK = {Reason.NOT_EQUAL, Reason.MALFORMED_ANSWER, Reason.NO_ANSWER}
"""Reasons of refusals that may be a verifier's fault. An ambiguous answer is the policy's."""
DURATIONS = 500
GROUP_SECONDS = 30.0
MAX_GROUPS = 20_000
MAX_ERRORS = 50
MAX_MESSAGE = 300


class Asked(NamedTuple):
    """The requests of one step: how many, and the quantiles of their seconds."""

    at: int
    requests: int
    p50: float
    p95: float


@dataclass(slots=True)
class Trouble:
    """An error and how often it came."""

    at: float
    data_source: str
    reason: str
    message: str
    count: int


@dataclass(slots=True)
class Group:
    """Samples of one prompt so far: how many, the lowest and highest score, and when the last came."""

    scores: list[float]
    at: float


class Monitor:
    """What the service knows of its own rewards."""

    def __init__(self, clock: Callable[[], float] = time.time, step_seconds: int = STEP_SECONDS) -> None:
        self.alerts = Alerts()
        self.step_seconds = step_seconds
        self.history = History(self.alerts.feed, step_seconds)
        self.clock = clock
        self.errors: OrderedDict[tuple[str, str], Trouble] = OrderedDict()
        self.asked: deque[Asked] = deque(maxlen=STEPS)
        self.rejected: deque[tuple[int, int]] = deque(maxlen=STEPS)
        self.sampled: deque[tuple[int, dict[str, float]]] = deque(maxlen=STEPS)
        self.handlers: dict[str, tuple[str, str]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self.checked: dict[str, tuple[int, int]] = {}
        """Refused answers that were looked at, by data source: (right but for dress, others)."""
        self._durations: list[float] = []
        self._requests = 0
        self._at = step_of(clock(), step_seconds)
        self._checks: dict[str, int] = {}
        self._groups: OrderedDict[tuple[str, str, str], Group] = OrderedDict()

    def record(self, rows: Sequence[Row], results: Sequence[Scored], run: str = "") -> float:
        """Count a chunk; returns the longest that one of its items waited, in milliseconds."""
        now = self.clock()
        self._turn(now)
        parts = tally(rows, results, run)
        self.history.add(parts, now)
        for part in parts:
            if part.group_scores:
                self._note_groups(part, now)
            if part.sums.errors:
                self._note_errors(part.data_source, part.outcomes, now)
            self._note_version(part, now)
            if part.sums.score < part.sums.scored:
                self._check(part, now)
        return max((part.slowest_queue_ms for part in parts), default=0.0)

    def requested(self, seconds: float) -> None:
        """A scoring request was answered."""
        self._turn(self.clock())
        self._requests += 1
        if len(self._durations) < DURATIONS:
            self._durations.append(seconds)
        else:  # every duration has the same chance to stay
            place = hash((self._requests, seconds)) % self._requests
            if place < DURATIONS:
                self._durations[place] = seconds

    def refused(self, items: int) -> None:
        """So many items were turned away because the service was full."""
        at = step_of(self.clock(), self.step_seconds)
        if self.rejected and self.rejected[-1][0] == at:
            items += self.rejected.pop()[1]
        self.rejected.append((at, items))

    def watch(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        """Gauges to sample once a step."""
        self._gauges.update(gauges)

    def alerting(self) -> dict[tuple[str, str], int]:
        """How many runs have an alert, by kind and data source."""
        now = self.clock()
        self.history.fold(now)
        return dict(Counter((alert.kind, alert.data_source) for alert in self.alerts.now(now)))

    def lifetime(self) -> Mapping[str, Running]:
        """Everything since the start, by data source."""
        self.history.fold(self.clock())
        return self.history.lifetime

    def tick(self) -> None:
        """Sample the gauges, and bring everything up to date. Called once a step."""
        now = self.clock()
        self._turn(now)
        values: dict[str, float] = {}
        for name, read in self._gauges.items():
            values[name] = float(read())
        self.sampled.append((step_of(now, self.step_seconds), values))
        self.alerts.judge_gauges(
            values.get("reward_service_judge_configured"), values.get("reward_service_judge_in_service"), now
        )
        self._close_groups(now)
        self.history.fold(now)

    def show(
        self, minutes: float = 30.0, run: str | None = None, data_source: str | None = None
    ) -> dict[str, Any]:
        """The answer to `GET /v1/telemetry`."""
        now = self.clock()
        self._turn(now)
        self._close_groups(now)
        self.history.fold(now)
        return view.shown(self, now, minutes, run, data_source)

    def running_step(self) -> Asked:
        """The requests of the step that is not over."""
        return Asked(self._at, self._requests, *spread(self._durations))

    def _turn(self, now: float) -> None:
        at = step_of(now, self.step_seconds)
        if at == self._at:
            return
        if self._requests:
            self.asked.append(self.running_step())
        self._at, self._requests, self._durations = at, 0, []
        self._checks.clear()
        self._close_groups(now)

    def _note_groups(self, part: Part, now: float) -> None:
        """Samples of named groups go to their groups."""
        for name, scores in part.group_scores.items():
            key = (part.run, part.data_source, name)
            group = self._groups.get(key)
            if group is None:
                self._groups[key] = Group(scores=list(scores), at=now)
            else:
                group.scores += scores
                del group.scores[1_024:]
                group.at = now
                self._groups.move_to_end(key)
        if len(self._groups) > MAX_GROUPS:
            self._close_groups(now)

    def _close_groups(self, now: float) -> None:
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if group.at > now - GROUP_SECONDS and len(self._groups) <= MAX_GROUPS:
                return
            del self._groups[key]
            if len(group.scores) > 1:
                groups, zero, one = counted([group.scores])
                self.history.add_sums(
                    key[0], key[1], NO_SUMS._replace(groups=groups, all_zero=zero, all_one=one), now
                )

    def troubled(self, results: Sequence[Scored]) -> None:
        """Errors that are no results (yet): only the list of recent errors hears of them."""
        now = self.clock()
        for outcome, data_source, _ in results:
            self._note_errors(data_source, [outcome], now)

    def _note_errors(self, data_source: str, outcomes: Sequence[Outcome], now: float) -> None:
        for outcome in outcomes:
            if outcome.score is not None:
                continue
            key = (data_source, outcome.reason.value)
            known = self.errors.get(key)
            if known is None:
                message = str(outcome.detail.get("message", ""))[:MAX_MESSAGE]
                self.errors[key] = Trouble(now, *key, message, 1)
                if len(self.errors) > MAX_ERRORS:
                    self.errors.popitem(last=False)
            else:
                known.count += 1
                if known.at != now:
                    known.at = now
                    known.message = str(outcome.detail.get("message", ""))[:MAX_MESSAGE]
                    self.errors.move_to_end(key)

    def _note_version(self, part: Part, now: float) -> None:
        last = part.outcomes[-1]
        names = (last.handler, last.version)
        if last.handler and self.handlers.get(part.data_source) != names:
            self.handlers[part.data_source] = names
            self.alerts.judged_by(part.data_source, *names, now)

    def _check(self, part: Part, now: float) -> None:
        """Look at some refused answers of a chunk."""
        left = CHECKS - self._checks.get(part.data_source, 0)
        if left <= 0 or not LOOK & part.reasons.keys():
            return
        done = 0
        # Not the first of the chunk only: they may be samples of one prompt.
        stride = max(1, len(part.rows) // 8)
        for start in range(stride):
            for place in range(start, len(part.rows), stride):
                outcome = part.outcomes[place]
                if outcome.score != 0.0 or outcome.reason not in LOOK:
                    continue
                answer, unread = outcome.extracted, False
                if not answer:
                    answer, unread = marked_answer(part.rows[place].response), True
                row = part.rows[place]
                gold = row.ground_truth
                found = answer is not None and same_but_for_dress(answer, gold)
                self.alerts.check(part.data_source, found, unread, now)
                right, other = self.checked.get(part.data_source, (0, 0))
                self.checked[part.data_source] = (right + found, other + (not found))
                done += 1
                if done >= min(left, 4):
                    self._checks[part.data_source] = self._checks.get(part.data_source, 0) + done
                    return
            if start >= 3:
                break
        self._checks[part.data_source] = self._checks.get(part.data_source, 0) + done


def spread(durations: Sequence[float]) -> tuple[float, float]:
    """(median, 95th percentile)."""
    if len(durations) < 2:
        return (durations[0], durations[0]) if durations else (0.0, 0.0)
    cuts = quantiles(durations, n=20, method="inclusive")
    return cuts[9], cuts[18]
