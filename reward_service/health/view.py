"""The telemetry as JSON: columns over steps, for whoever draws it. The fields are those that docs/telemetry.md explains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reward_service.health.series import STEPS, Series, Step, step_of
from reward_service.health.tally import NO_SUMS, Sums

if TYPE_CHECKING:
    from reward_service.health.monitor import Monitor

COUNTS = ("items", "scored", "errors", "cached", "flagged", "no_answer", "time_limit", "fresh")
Column = list[float | None]


def shown(
    monitor: Monitor, now: float, minutes: float, run: str | None, source: str | None
) -> dict[str, Any]:
    """Everything that is asked for, of the last `minutes`."""
    width = monitor.step_seconds
    count = max(1, min(STEPS, math.ceil(minutes * 60 / width)))
    last = step_of(now, width)
    steps = [last - width * back for back in range(count - 1, -1, -1)]
    history = monitor.history
    alerts = [
        alert
        for alert in monitor.alerts.now(now)
        if (run is None or alert.run in ("", run)) and source in (None, alert.data_source)
    ]
    per_source: dict[str, int] = {}
    for alert in alerts:
        per_source[alert.data_source] = per_source.get(alert.data_source, 0) + 1
    sources = [
        source_row(monitor, name, series, steps, per_source.get(name, 0))
        for name, series in history.chosen(run, source)
    ]
    found: dict[str, Any] = {
        "now": now,
        "step_seconds": width,
        "steps": steps,
        "runs": [
            {"run": name, "items": series.items, "last_seen": series.last_seen}
            for name, series in reversed(history.runs.items())
        ],
        "totals": totals(monitor, history.whole(run, source), steps),
        "gauges": gauges(monitor, steps),
        "sources": sorted(sources, key=lambda row: -row["items"]),
        "alerts": [asdict(alert) for alert in alerts],
        "recent_errors": [
            asdict(trouble)
            for trouble in reversed(monitor.errors.values())
            if source in (None, trouble.data_source)
        ],
        "shadow": [],
    }
    if source is not None:
        found["lengths"] = lengths(history.whole(run, source))
        found["verdicts"] = []
    return found


def totals(monitor: Monitor, series: Series, steps: Sequence[int]) -> dict[str, Any]:
    """The columns of the service, of a run or of a data source."""
    window = series.window(steps[0], steps[-1])
    held: list[Step | None] = [None] * len(steps)
    sums = [NO_SUMS] * len(steps)
    for step, one in zip(window.steps, window.sums(), strict=True):
        place = (step.at - steps[0]) // monitor.step_seconds
        held[place], sums[place] = step, one
    requests = {one.at: one for one in (*monitor.asked, monitor.running_step()) if one.requests}
    rejected = dict(monitor.rejected)
    asked = [requests.get(at) for at in steps]
    reasons = sorted({reason for step in held if step for reason in step.reasons})
    flags = sorted({flag for step in held if step for flag in step.flags})
    return {
        **{name: [int(getattr(one, name)) for one in sums] for name in COUNTS},
        "rejected": [rejected.get(at, 0) for at in steps],
        "score_sum": [round(one.score, 4) for one in sums],
        **{
            name: [round(getattr(one, name), 1) for one in sums]
            for name in ("queue_ms", "verify_ms", "sandbox_ms", "judge_ms")
        },
        "requests": [one.requests if one else 0 for one in asked],
        "request_p50_ms": [round(1e3 * one.p50, 3) if one else None for one in asked],
        "request_p95_ms": [round(1e3 * one.p95, 3) if one else None for one in asked],
        "reasons": {
            reason.value: [step.reasons.get(reason, 0) if step else 0 for step in held] for reason in reasons
        },
        "flags": {flag: [step.flags.get(flag, 0) if step else 0 for step in held] for flag in flags},
    }


def gauges(monitor: Monitor, steps: Sequence[int]) -> dict[str, Column]:
    """Every gauge, null where it was not sampled."""
    sampled: Mapping[int, Mapping[str, float]] = dict(monitor.sampled)
    names = sorted({name for values in sampled.values() for name in values})
    return {name: [sampled[at].get(name) if at in sampled else None for at in steps] for name in names}


def source_row(
    monitor: Monitor, name: str, series: Series, steps: Sequence[int], alerts: int
) -> dict[str, Any]:
    """One data source over the steps asked for."""
    window = series.window(steps[0], steps[-1])
    whole = window.whole
    handler, version = monitor.handlers.get(name, ("", ""))
    mean = ratio(whole.score, whole.scored)

    means: Column = [None] * len(steps)
    no_answers, flags = means.copy(), means.copy()
    held, width = window.steps, monitor.step_seconds
    if held:
        start, count = (held[0].at - steps[0]) // width, len(held)
        if held[-1].at - held[0].at == width * (
            count - 1
        ):  # no gap: a busy data source, of which there may be hundreds
            columns = zip(*(step.shown for step in held), strict=True)
            for column, values in zip((means, no_answers, flags), columns, strict=True):
                column[start : start + count] = values
        else:
            for step in held:
                place = (step.at - steps[0]) // width
                means[place], no_answers[place], flags[place] = step.shown
    return {
        "data_source": name,
        "domain": series.domain,
        "handler": handler,
        "version": version,
        "items": int(whole.items),
        "scored": int(whole.scored),
        "mean": mean,
        "variance": None
        if mean is None
        else round(max(0.0, whole.score_squares / whole.scored - mean**2), 6),
        "no_answer_rate": ratio(whole.no_answer, whole.scored),
        "malformed_rate": ratio(whole.malformed, whole.scored),
        "masked_rate": ratio(whole.errors, whole.items),
        "time_limit_rate": ratio(whole.time_limit, whole.scored),
        "flag_rate": ratio(whole.flagged, whole.items),
        "duplicate_rate": ratio(whole.duplicates, whole.items),
        "cached_rate": ratio(whole.cached, whole.items),
        "mean_chars": ratio(whole.chars, whole.scored),
        "groups": int(whole.groups),
        "all_zero_groups": ratio(whole.all_zero, whole.groups),
        "all_one_groups": ratio(whole.all_one, whole.groups),
        "length_correlation": correlation(whole),
        "mean_steps": means,
        "no_answer_steps": no_answers,
        "flag_steps": flags,
        "alerts": alerts,
        "suspect": monitor.alerts.suspect(name),
    }


def ratio(part: float, whole: float) -> float | None:
    """Null where there is nothing to divide by."""
    return round(part / whole, 6) if whole else None


def correlation(sums: Sums) -> float | None:
    """Pearson's, of response length and score; None where one of them never varies."""
    n = sums.scored
    if n < 2:
        return None
    chars = n * sums.chars_squares - sums.chars**2
    score = n * sums.score_squares - sums.score**2
    # Differences of large sums: what rounding alone may leave is no variance.
    if chars <= 1e-9 * n * sums.chars_squares or score <= 1e-9 * n * sums.score_squares:
        return None
    found = (n * sums.chars_score - sums.chars * sums.score) / math.sqrt(chars * score)
    return round(min(1.0, max(-1.0, found)), 4)


def lengths(series: Series) -> list[dict[str, Any]]:
    """Items and mean score by class of length, since the service began to watch."""
    return [
        {
            "from": 0 if not width else 1 << (width - 1),
            "to": (1 << width) - 1,
            "items": items,
            "mean": round(series.width_scores[width] / items, 4),
        }
        for width, items in enumerate(series.widths)
        if items
    ]
