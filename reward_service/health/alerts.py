"""Alerts on the scores of a run: what jumped, what fails, and which verifier seems to refuse right answers.

What is decided here: what is watched, when an alert begins, and when it ends. A (run, data source) is watched by
itself, because the mean over several runs moves when one of them starts. Its results are gathered into points of at
least `POINT_ITEMS` scored items, however long that takes, so that a run that asks for a thousand rewards every five
minutes is watched like one that asks all the time. An alert stays until the figure is back, or has been where it is for
`ACCEPTED_SECONDS`: then that is how it is now. Every alert says in one sentence what, and where to look.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from reward_service.health.jumps import KEPT, Point, jumped
from reward_service.health.series import MAX_PAIRS, Running
from reward_service.health.tally import NO_SUMS, Sums
from reward_service.types import REASONS, Reason, Status

POINT_ITEMS = 128
CALM_POINTS = 2
ACCEPTED_SECONDS = 1_800.0
ERROR_SECONDS = 120.0
ERROR_ITEMS = 10
ERROR_SHARE = 0.05
JUDGE_SECONDS = 120.0
JUDGE_ERRORS = 3
GAUGE_SECONDS = 60.0
"""A judge is out of service at the start until known attacks have been put to it: that is no alarm."""
SILENT_SECONDS = 600.0
"""Errors are forgotten when nothing was asked for so long."""
SUSPECT_CHECKED = 50
SUSPECT_FOUND = 10
SUSPECT_SHARE = 0.1


class Figure(NamedTuple):
    """What is watched for jumps: its name, how mean and variance per item are read from sums, the least difference, the
    least scatter, and which way is bad (0: both).
    """

    kind: str
    read: Callable[[Sums], tuple[float, float]]
    least: float
    floor: float
    way: int


def share(part: float, whole: float) -> tuple[float, float]:
    """A rate, and its variance per item."""
    rate = part / whole
    return rate, rate * (1 - rate)


def score(sums: Sums) -> tuple[float, float]:
    """The mean score."""
    mean = sums.score / sums.scored
    return mean, max(0.0, sums.score_squares / sums.scored - mean * mean)


def log_length(sums: Sums) -> tuple[float, float]:
    """The logarithm of the mean length: half and double are as far away."""
    mean = max(1.0, sums.chars / sums.scored)
    return math.log(mean), max(0.0, sums.chars_squares / sums.scored / mean**2 - 1.0)


FIGURES = (
    Figure("score_jump", score, 0.15, 0.01, 0),
    Figure("no_answer_jump", lambda s: share(s.no_answer + s.malformed, s.scored), 0.15, 0.01, 1),
    Figure("flag_jump", lambda s: share(s.flagged, s.items), 0.05, 0.005, 1),
    Figure("length_jump", log_length, math.log(1.5), 0.02, 0),
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that people should look at. since: Unix seconds. value: what is seen; baseline: what would be expected."""

    kind: str
    data_source: str
    run: str
    since: float
    value: float
    baseline: float
    text: str


@dataclass(slots=True)
class Alarm:
    """A figure that is off."""

    figure: Figure
    since: float
    value: float
    expected: float
    at: float
    calm: int = 0
    note: str = ""


@dataclass(slots=True)
class Watched:
    """A (run, data source): points so far, and what is gathered for the next one."""

    gathered: Sums = NO_SUMS
    since: float = 0.0
    points: deque[tuple[float, Sums]] = field(default_factory=lambda: deque(maxlen=KEPT))
    alarms: dict[str, Alarm] = field(default_factory=dict)
    errors: deque[tuple[float, int, Counter[Reason]]] = field(default_factory=deque)
    failing_since: float = 0.0


@dataclass(slots=True)
class Evidence:
    """How many refused answers of a data source were looked at, and how many were the ground truth but for dress."""

    checked: float = 0.0
    found: float = 0.0
    unread: float = 0.0
    since: float = 0.0


@dataclass(slots=True)
class Version:
    """Which handler judges a data source, and the one before."""

    now: str = ""
    before: str = ""
    changed: float = 0.0


class Alerts:
    """What is wrong now. Fed by `History` with every fold."""

    def __init__(self) -> None:
        self._watched: OrderedDict[tuple[str, str], Watched] = OrderedDict()
        self.evidence: dict[str, Evidence] = {}
        self.versions: dict[str, Version] = {}
        self._judge: deque[tuple[float, int, int]] = deque()
        self._judge_since = 0.0
        self._gauge_since = 0.0

    # What is told

    def feed(self, run: str, source: str, running: Running) -> None:
        """What a (run, data source) gathered in a step, or a part of one."""
        key = (run, source)
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = Watched()
            if len(self._watched) > MAX_PAIRS:
                self._watched.popitem(last=False)
        else:
            self._watched.move_to_end(key)
        self._feed_errors(watched, running)
        if not watched.gathered.items:
            watched.since = running.at
        watched.gathered = watched.gathered.plus(running.sums)
        if watched.gathered.scored >= POINT_ITEMS:
            watched.points.append((watched.since, watched.gathered))
            watched.gathered = NO_SUMS
            self._look(watched, source)

    def check(self, source: str, found: bool, unread: bool, now: float) -> None:
        """One refused answer of a data source was looked at: was it the ground truth? unread: no answer was seen in it."""
        evidence = self.evidence.setdefault(source, Evidence())
        if evidence.checked >= 400:  # older evidence fades, so that a repaired verifier is believed
            evidence.checked, evidence.found, evidence.unread = (
                evidence.checked / 2,
                evidence.found / 2,
                evidence.unread / 2,
            )
        evidence.checked += 1
        evidence.found += found
        evidence.unread += found and unread
        if not self.suspect(source):
            evidence.since = 0.0
        elif not evidence.since:
            evidence.since = now

    def judged_by(self, source: str, handler: str, version: str, now: float) -> None:
        """A data source was judged by this version of its handler."""
        name = f"{handler} {version}"
        known = self.versions.setdefault(source, Version(name))
        if known.now != name:
            known.before, known.now, known.changed = known.now, name, now
            self.evidence.pop(source, None)  # what the other version did is no evidence against this one

    def judge_gauges(self, configured: float | None, in_service: float | None, now: float) -> None:
        """What this process knows of its own judge model; None if it has none to know of."""
        if configured and in_service is not None and not in_service:
            self._gauge_since = self._gauge_since or now
        else:
            self._gauge_since = 0.0

    def _feed_errors(self, watched: Watched, running: Running) -> None:
        errors: Counter[Reason] = Counter()
        opinions = 0
        for reason, count in running.reasons.items():
            if REASONS[reason][0] is Status.ERROR:
                errors[reason] = count
            elif reason in (Reason.JUDGE_YES, Reason.JUDGE_NO):
                opinions += count
        at = float(running.at)
        watched.errors.append((at, int(running.sums.items), errors))
        while watched.errors and watched.errors[0][0] < at - ERROR_SECONDS:
            watched.errors.popleft()
        items, found = failing(watched)
        if sum(found.values()) < max(ERROR_ITEMS, ERROR_SHARE * items):
            watched.failing_since = 0.0
        elif not watched.failing_since:
            watched.failing_since = next(when for when, _, some in watched.errors if some)
        down = errors.get(Reason.JUDGE_UNAVAILABLE, 0)
        if down or opinions:
            self._judge.append((at, down, opinions))
            while self._judge[0][0] < at - JUDGE_SECONDS:
                self._judge.popleft()
            failed, given = sum(one[1] for one in self._judge), sum(one[2] for one in self._judge)
            if failed < JUDGE_ERRORS or failed < 0.5 * (failed + given):
                self._judge_since = 0.0
            elif not self._judge_since:
                self._judge_since = next(one[0] for one in self._judge if one[1])

    def _look(self, watched: Watched, source: str) -> None:
        at = watched.points[-1][0]
        for figure in FIGURES:
            values = [point_of(figure, when, sums) for when, sums in watched.points]
            alarm = watched.alarms.get(figure.kind)
            if alarm is not None:
                back = abs(values[-1].value - alarm.expected) < 0.5 * abs(alarm.value - alarm.expected)
                alarm.calm = alarm.calm + 1 if back else 0
                if alarm.calm >= CALM_POINTS or at - alarm.since > ACCEPTED_SECONDS:
                    del watched.alarms[figure.kind]
                elif not back:
                    alarm.value, alarm.at = values[-1].value, at
                continue
            jump = jumped(values, figure.least, figure.floor)
            if jump is None or (figure.way and (jump.value - jump.expected) * figure.way < 0):
                continue
            version = self.versions.get(source, Version())
            recently = version.changed and version.changed > watched.points[0][0]
            note = f" Its handler changed from {version.before} to {version.now}." if recently else ""
            watched.alarms[figure.kind] = Alarm(figure, jump.since, jump.value, jump.expected, at, 0, note)

    # What is asked

    def suspect(self, source: str) -> str:
        """`rejects_right_answers`, or "" where nothing speaks against the verifier."""
        evidence = self.evidence.get(source)
        if (
            evidence is not None
            and evidence.checked >= SUSPECT_CHECKED
            and evidence.found >= max(SUSPECT_FOUND, SUSPECT_SHARE * evidence.checked)
        ):
            return "rejects_right_answers"
        return ""

    def now(self, now: float) -> list[Alert]:
        """What is wrong now, newest first."""
        return sorted(self._all(now), key=lambda alert: (-alert.since, alert.kind, alert.data_source))

    def _all(self, now: float) -> Iterator[Alert]:
        for (run, source), watched in self._watched.items():
            for alarm in watched.alarms.values():
                yield jump_alert(alarm, source, run)
            last = watched.errors[-1][0] if watched.errors else 0.0
            if watched.failing_since and last > now - SILENT_SECONDS:
                yield error_alert(watched, source, run)
        off = 0.0 < self._gauge_since <= now - GAUGE_SECONDS
        if off or (self._judge_since and self._judge and self._judge[-1][0] > now - SILENT_SECONDS):
            failed = sum(one[1] for one in self._judge)
            given = sum(one[2] for one in self._judge)
            since = min(filter(None, (self._gauge_since if off else 0.0, self._judge_since)))
            share = failed / (failed + given) if failed + given else 1.0
            yield Alert("judge_down", "", "", since, share, 0.0, JUDGE_TEXT)
        for source, evidence in self.evidence.items():
            if self.suspect(source):
                share = evidence.found / evidence.checked
                yield Alert(
                    "rejects_right_answers",
                    source,
                    "",
                    evidence.since,
                    share,
                    0.0,
                    suspect_text(source, evidence),
                )


def point_of(figure: Figure, at: float, sums: Sums) -> Point:
    """A figure of some items."""
    mean, variance = figure.read(sums)
    return Point(at, mean, math.sqrt(variance / sums.scored))


JUDGE_TEXT = (
    "The judge model does not answer, or is out of service: items that need its opinion are errors (judge_unavailable), "
    "never zeros. Look at its endpoint, at reward_service_judge_in_service and at the canary's message in the log."
)


def failing(watched: Watched) -> tuple[int, Counter[Reason]]:
    """(items, errors by reason) of the last minutes, without those of a judge model, which have an alert of their own."""
    found: Counter[Reason] = Counter()
    for _, _, errors in watched.errors:
        found.update(errors)
    found.pop(Reason.JUDGE_UNAVAILABLE, None)
    return sum(items for _, items, _ in watched.errors), found


def in_run(run: str) -> str:
    """For a text."""
    return f" in run {run}" if run else ""


def error_alert(watched: Watched, source: str, run: str) -> Alert:
    """Too many items could not be judged."""
    items, found = failing(watched)
    share = sum(found.values()) / max(1, items)
    reason, _ = found.most_common(1)[0]
    text = (
        f"{share:.0%} of the items of {source}{in_run(run)} could not be judged, most of them because "
        f"{REASONS[reason][2]} ({reason}). They have no score and should be masked. Look at the recent errors."
    )
    return Alert("error_rate", source, run, watched.failing_since, share, 0.0, text)


def jump_alert(alarm: Alarm, source: str, run: str) -> Alert:
    """A figure is off."""
    kind, value, expected = alarm.figure.kind, alarm.value, alarm.expected
    where = f"{source}{in_run(run)}"
    if kind == "length_jump":
        value, expected = math.exp(value), math.exp(expected)
    up = alarm.figure.way > 0 or value > expected
    texts: Mapping[tuple[str, bool], str] = {
        ("score_jump", True): (
            f"The mean score of {where} jumped from {expected:.2f} to {value:.2f}: a policy does not learn that fast. "
            "Read some of its full-mark responses: has it found a trick?"
        ),
        ("score_jump", False): (
            f"The mean score of {where} fell from {expected:.2f} to {value:.2f}. Look at the reasons: other prompts, a "
            "changed answer format, or a verifier that refuses right answers?"
        ),
        ("no_answer_jump", True): (
            f"Responses of {where} without a readable answer rose from {expected:.0%} to {value:.0%}. Are responses cut "
            "off at the token limit, or did the answer format change?"
        ),
        ("flag_jump", True): (
            f"Flagged responses of {where} rose from {expected:.1%} to {value:.1%}: the policy may have begun to exploit "
            "its verifier. Read some of the flagged responses."
        ),
        ("length_jump", True): (
            f"Responses of {where} grew from {expected:,.0f} to {value:,.0f} characters on average. Does length pay?"
        ),
        ("length_jump", False): (
            f"Responses of {where} shrank from {expected:,.0f} to {value:,.0f} characters on average. Does the policy "
            "guess without reasoning?"
        ),
    }
    return Alert(kind, source, run, alarm.since, value, expected, texts[kind, up] + alarm.note)


def suspect_text(source: str, evidence: Evidence) -> str:
    """A verifier that seems to refuse right answers."""
    unread = (
        " Most of them stand in a box or <answer> that it did not read."
        if 2 * evidence.unread > evidence.found
        else ""
    )
    return (
        f"The verifier of {source} seems to refuse right answers: {evidence.found:.0f} of the {evidence.checked:.0f} refused "
        f"answers that were looked at are the ground truth but for how it is written.{unread} Explain some of them."
    )
