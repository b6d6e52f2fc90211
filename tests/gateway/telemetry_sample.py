"""Telemetry of a service that never ran, for what a live one can't show on demand: many data sources, hostile
names, a judge that has been down for an hour. Only tests see it."""

from __future__ import annotations

import math
from random import Random
from typing import Any

NAMES = (
    "math__deepscaler_preview", "math__merged_deduped_dapo_or1_dataset", "codegen__leetcode2k", "stem__web",
    "codegen__primeintellect", "logic__zebra_puzzle_dataset", "table__hitab", "simulation__codeio", "logic__graph_logical_dataset",
    "table__multihier", "simulation__arcagi1", "logic__ordering_puzzle_dataset",
)  # fmt: skip
HANDLERS = (
    "math",
    "math",
    "code",
    "science",
    "code",
    "zebra",
    "table",
    "json_output",
    "graph",
    "table",
    "grid",
    "ordering",
)
DOMAINS = (
    "math",
    "math",
    "code",
    "science",
    "code",
    "logic",
    "table",
    "simulation",
    "logic",
    "table",
    "simulation",
    "logic",
)


def telemetry(
    *, sources: int = 12, steps: int = 180, step: int = 10, now: float = 1_790_000_004.0, alerts: bool = True,
    seed: int = 1, source: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """An answer of `GET /v1/telemetry`."""
    random = Random(seed)
    trick, down = steps * 5 // 9, steps * 13 // 18
    starts = [now // step * step - step * (steps - 1 - place) for place in range(steps)]
    wave = [1 + 0.35 * math.sin(place / 9) + random.uniform(-0.1, 0.1) for place in range(steps)]
    items = [int(900 * value) for value in wave]
    cached = [int(count * (0.15 + 0.1 * random.random())) for count in items]
    errors = [int(count * (0.3 if alerts and place >= down else 0.001)) for place, count in enumerate(items)]
    scored = [count - bad for count, bad in zip(items, errors, strict=True)]
    score = [count * min(1.0, 0.35 + place / steps * 0.3) for place, count in enumerate(scored)]
    none = [int(count * (0.08 - 0.04 * place / steps)) for place, count in enumerate(scored)]
    flagged = [
        int(count * (0.06 if alerts and place > trick else 0.004)) for place, count in enumerate(scored)
    ]
    equal = [int(value) for value in score]
    fresh = [count - hit for count, hit in zip(items, cached, strict=True)]

    def one(place: int) -> dict[str, Any]:
        name = NAMES[place] if place < len(NAMES) else f"custom__data_source_{place:03d}"
        base = random.uniform(0.15, 0.8)
        hacked = alerts and place == 2
        mean = [
            min(
                1.0,
                max(
                    0.0,
                    base
                    + 0.1 * at / steps
                    + random.uniform(-0.04, 0.04)
                    + (0.35 if hacked and at > trick else 0),
                ),
            )
            for at in range(steps)
        ]
        missing = [max(0.0, 0.08 + random.uniform(-0.02, 0.02)) for _ in range(steps)]
        flags = [
            max(0.0, (0.3 if hacked and at > trick else 0.004) + random.uniform(-0.003, 0.003))
            for at in range(steps)
        ]
        return {
            "data_source": name, "domain": DOMAINS[place % 12], "handler": HANDLERS[place % 12], "version": "3",
            "items": int(random.uniform(500, 40_000)), "scored": 480, "mean": sum(mean) / steps, "variance": 0.21,
            "no_answer_rate": 0.08, "masked_rate": 0.002 if place else 0.11, "time_limit_rate": 0.01 * (place % 3),
            "flag_rate": sum(flags) / steps, "duplicate_rate": 0.31, "groups": 120, "all_zero_groups": 0.22,
            "all_one_groups": 0.09, "length_correlation": random.uniform(-0.4, 0.4), "mean_steps": mean,
            "no_answer_steps": missing, "flag_steps": flags,
            "alerts": (2 if place == 2 else 1 if place == 6 else 0) if alerts else 0,
            "suspect": "rejects_right_answers" if alerts and place == 6 else "",
        }  # fmt: skip

    answer: dict[str, Any] = {
        "now": now, "step_seconds": step, "steps": starts,
        "runs": [{"run": "grpo-qwen3-8b-7", "items": 120_345, "last_seen": now - 3}, {"run": "", "items": 4021, "last_seen": now - 600}],
        "totals": {
            "items": items, "scored": scored, "errors": errors, "cached": cached, "flagged": flagged, "score_sum": score,
            "no_answer": none, "time_limit": [int(count * 0.01) for count in scored], "rejected": [0] * steps,
            "queue_ms": [count * random.uniform(1, 4) for count in fresh], "verify_ms": [count * random.uniform(3, 4) for count in fresh],
            "sandbox_ms": [count * random.uniform(5, 7) for count in fresh], "judge_ms": [count * (8 if place < down else 0) for place, count in enumerate(fresh)],
            "fresh": fresh, "requests": [int(count / 128) for count in items],
            "request_p50_ms": [random.uniform(180, 240) for _ in items], "request_p95_ms": [random.uniform(700, 900) for _ in items],
            "reasons": {
                "equal": equal, "not_equal": [max(0, count - right - gone) for count, right, gone in zip(scored, equal, none, strict=True)],
                "no_answer": none, "judge_unavailable": errors,
            },
            "flags": {"exit_before_tests": flagged, "multiple_answers": [count // 3 for count in flagged]},
        },
        "gauges": {
            "reward_service_pool_processes": [8] * steps, "reward_service_pool_busy": [min(8, int(5 * value)) for value in wave],
            "reward_service_pool_queued_items": [int(90 * value) for value in wave],
            "reward_service_sandbox_places": [8] * steps, "reward_service_sandbox_busy": [min(8, int(4 * value)) for value in wave],
            "reward_service_sandbox_waiting": [int(12 * value) for value in wave], "reward_service_cache_entries": [100_000] * steps,
            "reward_service_judge_in_service": [1 if place < down or not alerts else 0 for place in range(steps)],
            "reward_service_judge_canary_accepted": [0.0] * steps,
        },
        "sources": [one(place) for place in range(sources)],
        "alerts": [], "recent_errors": [], "shadow": [],
    }  # fmt: skip
    if alerts:
        at = starts[trick]
        answer["alerts"] = [
            {"kind": "judge_down", "data_source": "", "run": "", "since": starts[down], "value": 0, "baseline": 1, "text": "The judge model has not answered since 13:35: 8,214 items got no score. Look at its endpoint."},
            {"kind": "score_jump", "data_source": NAMES[2], "run": "grpo-qwen3-8b-7", "since": at, "value": 0.81, "baseline": 0.44, "text": "The mean score rose from 0.44 to 0.81 within 4 minutes. Read a few rewarded responses."},
            {"kind": "flag_jump", "data_source": NAMES[2], "run": "grpo-qwen3-8b-7", "since": at + step, "value": 0.3, "baseline": 0.004, "text": "30 % of responses are flagged (exit_before_tests), 0.4 % before."},
            {"kind": "rejects_right_answers", "data_source": NAMES[6], "run": "", "since": starts[steps // 9], "value": 0.4, "baseline": 0, "text": "40 % of the rejected answers are equal to the ground truth but for their dress, such as “1,204” for “1204”."},
        ]  # fmt: skip
        answer["recent_errors"] = [
            {"at": now - 4, "data_source": "stem__web", "reason": "judge_unavailable", "message": "no judge model answered: connection refused", "count": 8214},
            {"at": now - 900, "data_source": "math__aime", "reason": "malformed_ground_truth", "message": "the ground truth is empty", "count": 3},
        ]  # fmt: skip
        answer["shadow"] = [{"data_source": "table__hitab", "compared": 1200, "flips": 14, "up": 12, "down": 2, "handler": "table", "version": "3", "shadow_version": "4", "not_comparable": 3, "share_95": [0.007, 0.019], "samples": ["0123456789abcdef"]}]  # fmt: skip
    if source is not None:
        answer["lengths"] = [{"from": 500 * place, "to": 500 * place + 500, "items": int(900 / (place + 1)), "mean": 0.3 + 0.08 * place} for place in range(8)]  # fmt: skip
        answer["verdicts"] = [
            {"verdict": f"{place:016x}", "at": now - 7 * place, "run": "grpo-qwen3-8b-7", "score": float(place % 2), "status": "scored",
             "reason": "tests_passed" if place % 2 else "tests_failed", "flags": ["exit_before_tests"] if place % 3 == 1 else [],
             "extracted": "def solve(n):\n    return n * (n + 1) // 2", "ground_truth": "8 tests", "response_chars": 800 + 137 * place}
            for place in range(20)
        ]  # fmt: skip
    return answer
