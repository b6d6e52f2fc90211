"""One content for every explanation: `POST /v1/explain`, the `/explain` page and the command line.

What is decided here: what a person gets to read. The facts come from the handler that judged (`narrate`), through the
same scorer and pool as every other item; here they get words, an order, and, where a handler told only what it
extracted, a place in the response that is found by searching and marked so. Without the scope to see ground truths,
everything that holds one is left out, not shortened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reward_service.engine.channel import plain
from reward_service.engine.scorer import Row, Scored
from reward_service.narrate import account_of, rest_of
from reward_service.registry import Registry
from reward_service.types import REASONS, Outcome, Status

FLAGS: Mapping[str, str] = {
    "another_type": "The answer is of another kind than the ground truth: it was not put to the judge model.",
    "answer_injection": "Text of the answer's format was planted where the answer is read.",
    "backends_disagree": "The second mathematics library is sure of the opposite verdict.",
    "checker_failed": "The handler raised an exception: a defect of ours, or an input made to cause one.",
    "constant_answer": "The query returns the expected rows without reading them: a guess written as a query.",
    "constraint_only": "The instructions are followed, and nothing is said.",
    "empty_answer": "There is nothing in the answer.",
    "exit_before_result": "The program ended itself before it returned a result.",
    "exit_before_tests": "The program ended itself before the tests had run.",
    "forbidden_statement": "The query tries to change or to reach what it may not.",
    "judge_injection": "The answer speaks to a judge model, or of the verdict.",
    "left_behind": "Processes of the program were still there after it had ended.",
    "master_key": "A phrase that is known to make judge models say yes.",
    "missing_helper": "The row's tests use a helper that neither the row nor the program has.",
    "malformed_tests": "The row's tests don't parse.",
    "multiple_answers": "Several different answers were given.",
    "no_verdict": "The tests did not come to a verdict.",
    "other_input": "The assertion is about another input than was asked for.",
    "oversized_answer": "The answer is far longer, or dearer to check, than an answer may be.",
    "protocol_violation": "The program wrote into the channel that its results come through.",
    "repetition": "The answer repeats itself.",
    "restated_question": "The answer repeats the question.",
    "tests_call_nothing": "The row's tests call nothing of the program.",
    "unreadable_value": "A returned value is not plain data.",
    "unverifiable_eq": "A test would have let the program decide whether two things are equal.",
}
"""What the flags mean. The list is open: a plug-in's flag has no entry."""

GOLD_CHARS = 100_000
"""Characters of a ground truth that an explanation repeats."""
HIDDEN = "needs a key that may see ground truths"


def explanation(row: Row, scored: Scored, registry: Registry, *, verdict: str = "", golds: bool = True) -> dict[str, Any]:  # fmt: skip
    """The explanation of an item that was scored with `explain`, as plain data.

    verdict: the item's id, "" if it has none. golds: may the reader see ground truths?
    """
    outcome = scored.outcome
    handler = registry.handlers.get(outcome.handler)
    asked = row.data_source or row.domain
    route = registry.route(asked) if asked else None
    account = account_of(outcome)
    told: dict[str, Any] = {
        "verdict": verdict or None,
        "status": outcome.status.value,
        "score": outcome.score,
        "correct": outcome.correct,
        "reason": outcome.reason.value,
        "reason_text": REASONS[outcome.reason][2],
        "retryable": outcome.retryable,
        "flags": [{"flag": flag, "text": FLAGS.get(flag, "")} for flag in outcome.flags],
        "data_source": asked,
        "handler": outcome.handler or None,
        "version": outcome.version or None,
        "domain": handler.domain.value if handler else None,
        "rule": handler.summary if handler else None,
        "routing": {
            "asked": asked,
            "data_source": route.data_source if route else None,
            "entry": route.source.name if route else None,
            "handler": outcome.handler or None,
            "ground_truth_format": route.source.gold if route else None,
            "reads": list(handler.reads) if handler else [],
        },
        "profile": row.profile.value,
        "response": row.response,
        "part": account.get("part"),
        "extracted": outcome.extracted,
        "extraction": extraction(row.response, outcome, account),
        "forms": list(account.get("forms", ())),
        "comparators": ladder(account),
        "checks": list(account.get("checks", ())),
        "left_out": dict(account.get("more", {})),
        "needed": needed(row.response, outcome, account),
        "detail": plain(outcome.detail),
        "timings": {
            "queue_ms": round(outcome.queue_ms, 3),
            "verify_ms": round(outcome.verify_ms, 3),
            "sandbox_ms": round(outcome.sandbox_ms, 3),
            "judge_ms": round(outcome.judge_ms, 3),
        },
        "ground_truth": account.get("ground_truth") or shown(row.ground_truth),
        "ground_truth_ref": row.ground_truth_ref,
        "extra_info": plain(dict(row.extra_info)) if row.extra_info else {},
        "trace": plain(rest_of(outcome)),
        "hidden": [],
    }
    return told if golds else without_golds(told)


def shown(gold: Any) -> Any:
    """A ground truth as it came; of one with megabytes of tests, the beginning as text."""
    text = gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False, default=str)
    if len(text) <= GOLD_CHARS:
        return plain(gold)
    return f"{text[:GOLD_CHARS]}… ({len(text):,} characters)"


def without_golds(told: dict[str, Any]) -> dict[str, Any]:
    """The same for a reader who may not see ground truths."""
    kept: dict[str, Any] = {
        "ground_truth": None,
        "extra_info": {},
        "trace": {},
        "forms": [{"what": form["what"], "answer": form["answer"]} for form in told["forms"]],
        "comparators": [{**step, "note": ""} for step in told["comparators"]],
        "checks": [
            {name: value for name, value in check.items() if name in ("name", "passed", "status")}
            for check in told["checks"]
        ],
        "hidden": [f"ground truth, expected values and test inputs: {HIDDEN}"],
    }
    return told | kept


def extraction(response: str, outcome: Outcome, account: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the answer stands and by which rule; None if nothing was extracted and no place was told.

    start and end count code points of the response. by_search: the place was found afterwards, by the text.
    """
    for found in reversed(list(account.get("found", ()))):
        if "start" in found:
            if 0 <= found["start"] <= found["end"] <= len(response):
                return {
                    "rule": found["rule"],
                    "start": found["start"],
                    "end": found["end"],
                    "by_search": False,
                }
        elif (place := search(response, found["text"])) is not None:
            return {"rule": found["rule"], "start": place[0], "end": place[1], "by_search": True}
        else:
            return {"rule": found["rule"], "start": None, "end": None, "by_search": True}
    if outcome.extracted and (place := search(response, outcome.extracted)) is not None:
        return {"rule": None, "start": place[0], "end": place[1], "by_search": True}
    return None


def search(response: str, text: str) -> tuple[int, int] | None:
    """The last place of `text` in the response, white space at its ends aside."""
    wanted = text.strip()
    at = response.rfind(wanted) if wanted else -1
    return (at, at + len(wanted)) if at >= 0 else None


def ladder(account: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The comparators in the order in which they were asked. fired: the last one about the answer that was sure."""
    steps = [dict(step) for step in account.get("comparators", ())]
    sure = [step for step in steps if step["said"] != "can't say" and "about" not in step]
    sure = sure or [step for step in steps if step["said"] != "can't say"]
    for step in steps:
        step["fired"] = bool(sure) and step is sure[-1]
    return steps


def needed(response: str, outcome: Outcome, account: Mapping[str, Any]) -> str:
    """What a right answer would need, in a sentence or two; "" where nothing is missing."""
    if outcome.correct:
        return ""
    message = str(outcome.detail.get("message", ""))
    if outcome.status is Status.ERROR:
        return message or REASONS[outcome.reason][2]
    missing = str(account.get("missing", ""))
    parts = [part for part in (missing, message if message not in missing else "") if part]
    if outcome.reason.value in ("no_answer", "malformed_answer") and outcome.extracted is None:
        line = last_line(response)
        parts.append(f"the last line says “{line}”" if line else "the response is empty")
    if outcome.reason.value == "budget_exceeded" and not parts:
        parts.append("checking was ended; an answer that is this dear to check counts as wrong")
    if not parts:
        failed = [check for check in account.get("checks", ()) if not check["passed"]]
        if failed:
            parts.append(f"{failed[0]['name']} failed first")
        elif outcome.extracted is not None:
            parts.append("what was read is another answer than the ground truth")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""


def last_line(response: str) -> str:
    """The last line that isn't blank, shortened from its front."""
    line = next((line for line in reversed(response[-4_000:].splitlines()) if line.strip()), "").strip()
    return line if len(line) <= 160 else f"…{line[-160:]}"
