"""The frozen values that every part of the service speaks in, and the fingerprint of an item.

What is decided here: what an outcome may say. `status` has two values and nothing between them, `reason`
is a closed enum, and the constructors below are the only way that handlers make outcomes, so that a score
beside an error, a NaN, or an error without a reason can't be written down.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return NOTHING


class Status(StrEnum):
    """Was the response judged? There is no third value."""

    SCORED = "scored"
    ERROR = "error"


class Reason(StrEnum):
    """Why the outcome is what it is. Closed: dashboards, masks and tests may switch on it."""

    EQUAL = "equal"
    PARTIALLY_EQUAL = "partially_equal"
    NOT_EQUAL = "not_equal"
    NO_ANSWER = "no_answer"
    AMBIGUOUS_ANSWER = "ambiguous_answer"
    MALFORMED_ANSWER = "malformed_answer"
    TESTS_PASSED = "tests_passed"
    TESTS_FAILED = "tests_failed"
    COMPILE_ERROR = "compile_error"
    RUNTIME_ERROR = "runtime_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    BUDGET_EXCEEDED = "budget_exceeded"
    CONSTRAINT_VIOLATED = "constraint_violated"
    JUDGE_YES = "judge_yes"
    JUDGE_NO = "judge_no"
    MALFORMED_ITEM = "malformed_item"
    MALFORMED_GROUND_TRUTH = "malformed_ground_truth"
    UNKNOWN_DATA_SOURCE = "unknown_data_source"
    UNKNOWN_GROUND_TRUTH = "unknown_ground_truth"
    SANDBOX_UNAVAILABLE = "sandbox_unavailable"
    JUDGE_UNAVAILABLE = "judge_unavailable"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    SERVICE_UNREACHABLE = "service_unreachable"
    INTERNAL = "internal"


REASONS: Mapping[Reason, tuple[Status, bool, str]] = MappingProxyType(
    {
        Reason.EQUAL: (Status.SCORED, False, "the answer equals the ground truth"),
        Reason.PARTIALLY_EQUAL: (Status.SCORED, False, "partial credit by the data source's documented rule"),
        Reason.NOT_EQUAL: (Status.SCORED, False, "there is one answer, and it is another one"),
        Reason.NO_ANSWER: (Status.SCORED, False, "no answer where the format puts it, or an empty one"),
        Reason.AMBIGUOUS_ANSWER: (Status.SCORED, False, "several different answers, a hedge or a negation"),
        Reason.MALFORMED_ANSWER: (Status.SCORED, False, "the answer can't be read as what was asked for"),
        Reason.TESTS_PASSED: (Status.SCORED, False, "every test passed"),
        Reason.TESTS_FAILED: (Status.SCORED, False, "at least one test failed"),
        Reason.COMPILE_ERROR: (Status.SCORED, False, "the program did not compile or import"),
        Reason.RUNTIME_ERROR: (Status.SCORED, False, "the program crashed or raised"),
        Reason.TIME_LIMIT: (Status.SCORED, False, "the program used up its time"),
        Reason.MEMORY_LIMIT: (Status.SCORED, False, "the program used up its memory"),
        Reason.OUTPUT_LIMIT: (Status.SCORED, False, "the program wrote more than it may"),
        Reason.BUDGET_EXCEEDED: (
            Status.SCORED,
            False,
            "checking this answer took more CPU time, memory or depth than an answer may cost",
        ),
        Reason.CONSTRAINT_VIOLATED: (Status.SCORED, False, "an instruction was not followed"),
        Reason.JUDGE_YES: (Status.SCORED, False, "the judge model accepted the answer"),
        Reason.JUDGE_NO: (Status.SCORED, False, "the judge model rejected the answer"),
        Reason.MALFORMED_ITEM: (
            Status.ERROR,
            False,
            "the row is not an item, or a field that its handler reads is of no use",
        ),
        Reason.MALFORMED_GROUND_TRUTH: (Status.ERROR, False, "the row's ground truth can't be used"),
        Reason.UNKNOWN_DATA_SOURCE: (Status.ERROR, False, "no handler is routed for this data source"),
        Reason.UNKNOWN_GROUND_TRUTH: (
            Status.ERROR,
            True,
            "the referenced ground truth isn't stored (any more): upload it and try again",
        ),
        Reason.SANDBOX_UNAVAILABLE: (Status.ERROR, True, "no sandbox could run the program"),
        Reason.JUDGE_UNAVAILABLE: (Status.ERROR, True, "no judge model answered"),
        Reason.DEADLINE: (Status.ERROR, True, "the deadline passed before the item could be judged"),
        Reason.OVERLOADED: (Status.ERROR, True, "the service took on no more work"),
        Reason.SERVICE_UNREACHABLE: (Status.ERROR, True, "said by a client: no answer came from the service"),
        Reason.INTERNAL: (Status.ERROR, True, "a defect of the service; the log names it"),
    }
)
"""Reason -> (status it belongs to, worth retrying, what it means). The README's table is made from this."""


class Domain(StrEnum):
    """The reward domains: Guru's six, and the two beyond them."""

    MATH = "math"
    CODE = "code"
    SCIENCE = "science"
    LOGIC = "logic"
    SIMULATION = "simulation"
    TABLE = "table"
    INSTRUCTION = "instruction"
    GYM = "gym"


class Profile(StrEnum):
    """`strict`: what a careful human would say. `guru`: the published Reasoning360 scorer's semantics."""

    STRICT = "strict"
    GURU = "guru"


@dataclass(frozen=True, slots=True)
class Limits:
    """What judging one item may cost. CPU time decides; wall time is only the backstop against starvation.

    cpu_seconds: CPU time of the checking process for this item; beyond it the item scores 0
    (`budget_exceeded`), because its own content caused that.
    wall_seconds: beyond it, with CPU time left, the machine was too busy: `error/deadline`.
    memory_bytes: growth of the address space allowed above the warm process.
    """

    cpu_seconds: float = 2.0
    wall_seconds: float = 20.0
    memory_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to score, as a handler sees it.

    data_source: the canonical name, lower case (`table__hitab`); source: the name of the routing entry
    that matched (the same, or a pattern such as `bbeh__*`).
    response: what the policy wrote, whole. ground_truth: decoded JSON (str, number, list, dict, None).
    extra_info: only the fields that the handler declared in `reads`; `question` is found in the row or
    in its prompt. explain: the caller wants `Outcome.trace` filled in.
    """

    data_source: str
    response: str
    ground_truth: Any
    extra_info: Mapping[str, Any] = field(default_factory=_nothing)
    profile: Profile = Profile.STRICT
    source: str = ""
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a handler decides, and what the engine adds to it (handler, version, timings).

    score: in [0, 1] when scored, None for an error. correct: score is full marks. detail: safe to show to
    whoever sent the item (no expected value, no hidden test). trace: how the decision came about, with
    expected values; leaves the service only where the caller's scope allows it.
    queue_ms: waiting; verify_ms: CPU milliseconds of checking; sandbox_ms: CPU milliseconds of the runs; judge_ms:
    milliseconds of waiting for a judge model.
    """

    status: Status
    reason: Reason
    score: float | None
    correct: bool | None
    extracted: str | None = None
    flags: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=_nothing)
    trace: Mapping[str, Any] = field(default_factory=_nothing)
    handler: str = ""
    version: str = ""
    queue_ms: float = 0.0
    verify_ms: float = 0.0
    cached: bool = False
    sandbox_ms: float = 0.0
    judge_ms: float = 0.0

    @property
    def retryable(self) -> bool:
        """Is the same item worth sending again?"""
        return REASONS[self.reason][1]


EXTRACTED_LIMIT = 2_000
"""Characters of `extracted` that a reply carries."""


def scored(
    score: float,
    reason: Reason,
    extracted: object = None,
    *,
    flags: Sequence[str] = (),
    trace: Mapping[str, Any] = NOTHING,
    **detail: Any,
) -> Outcome:
    """A judged response with `score` in [0, 1]; full marks are `correct`. ValueError otherwise."""
    if not 0.0 <= score <= 1.0 or math.isnan(score):
        raise ValueError(f"a score lies in [0, 1], not {score!r}")
    if REASONS[reason][0] is not Status.SCORED:
        raise ValueError(f"{reason} is a reason for an error, not for a score")
    score = float(score)
    text = None if extracted is None else _shown(extracted)
    return Outcome(Status.SCORED, reason, score, score == 1.0, text, tuple(flags), detail or NOTHING, trace)


def _shown(extracted: object) -> str:
    try:
        return str(extracted)[:EXTRACTED_LIMIT]
    except ValueError:  # an integer too long to write: an answer must not raise by its size
        return f"<{type(extracted).__name__} too long to write>"


def accept(
    extracted: object, *, flags: Sequence[str] = (), trace: Mapping[str, Any] = NOTHING, **detail: Any
) -> Outcome:
    """Full marks: the extracted answer equals the ground truth."""
    return scored(1.0, Reason.EQUAL, extracted, flags=flags, trace=trace, **detail)


def reject(
    reason: Reason = Reason.NOT_EQUAL,
    extracted: object = None,
    *,
    flags: Sequence[str] = (),
    trace: Mapping[str, Any] = NOTHING,
    **detail: Any,
) -> Outcome:
    """Score 0, and why: wrong, missing, ambiguous or unreadable."""
    return scored(0.0, reason, extracted, flags=flags, trace=trace, **detail)


def cannot_judge(reason: Reason, message: str, *, flags: Sequence[str] = (), **detail: Any) -> Outcome:
    """An error of ours or of the row: no score. `message` is for people, and never quotes a ground truth."""
    if REASONS[reason][0] is not Status.ERROR:
        raise ValueError(f"{reason} is a reason for a score, not for an error")
    return Outcome(
        Status.ERROR, reason, None, None, None, tuple(flags), {"message": message, **detail}, NOTHING
    )


def malformed(message: str) -> Outcome:
    """The row's ground truth can't be used; says how, without quoting it."""
    return cannot_judge(Reason.MALFORMED_GROUND_TRUTH, message)


def fingerprint(handler: str, version: str, item: Item) -> bytes:
    """16 bytes that are equal for two items exactly when their scores must be.

    Every field is length-prefixed: with plain concatenation a crafted response could take over the cache
    entry of another item. TypeError, ValueError or RecursionError if a value is not JSON data.
    """
    gold = item.ground_truth
    if type(gold) is str:
        kind, gold_bytes = b"s", gold.encode("utf-8", "surrogatepass")
    else:
        kind, gold_bytes = b"j", _canonical(gold)
    response = item.response.encode("utf-8", "surrogatepass")
    extra = _canonical(dict(item.extra_info)) if item.extra_info else b""
    names = f"{handler}\0{version}\0{item.profile}\0{item.data_source}\0{item.explain}"
    head = names.encode("utf-8", "surrogatepass")
    sizes = b"%d,%d,%d,%d;" % (len(head), len(response), len(gold_bytes), len(extra))
    return hashlib.sha256(b"".join((sizes, head, kind, response, gold_bytes, extra))).digest()[:16]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True)
class Example:
    """A row that a handler scores 1 (or `score`): shown by `/v1/data-sources`, and run by the tests."""

    response: str
    ground_truth: Any
    extra_info: Mapping[str, Any] = field(default_factory=dict)
    score: float = 1.0
