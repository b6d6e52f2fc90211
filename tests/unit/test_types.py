"""The frozen values: what an outcome can and can't say, and which items are the same item."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reward_service import errors, runs
from reward_service.types import (
    EXTRACTED_LIMIT,
    REASONS,
    Item,
    Outcome,
    Profile,
    Reason,
    Status,
    accept,
    cannot_judge,
    fingerprint,
    malformed,
    reject,
    scored,
)

SCORED = [reason for reason, (status, _, _) in REASONS.items() if status is Status.SCORED]
ERRORS = [reason for reason, (status, _, _) in REASONS.items() if status is Status.ERROR]


def test_every_reason_is_in_the_table_once_and_says_what_it_means() -> None:
    assert list(REASONS) == list(Reason)
    assert len({meaning for _, _, meaning in REASONS.values()}) == len(Reason)
    assert not [reason for reason in SCORED if REASONS[reason][1]], (
        "a judged item is never worth sending again"
    )


def test_what_a_row_has_wrong_is_not_worth_retrying_and_what_we_have_wrong_is() -> None:
    assert {reason for reason in ERRORS if not REASONS[reason][1]} == {
        Reason.MALFORMED_ITEM,
        Reason.MALFORMED_GROUND_TRUTH,
        Reason.UNKNOWN_DATA_SOURCE,
    }


@pytest.mark.parametrize("score", [0, 0.0, 0.25, 1, 1.0, True, 5e-324])
@pytest.mark.parametrize("reason", SCORED)
def test_a_score_lies_between_0_and_1_and_only_full_marks_are_correct(score: float, reason: Reason) -> None:
    outcome = scored(score, reason, "x")
    assert (outcome.status, outcome.score, type(outcome.score)) == (Status.SCORED, float(score), float)
    assert outcome.correct is (score == 1)
    assert not outcome.retryable


@pytest.mark.parametrize("score", [-0.1, 1.0000001, 2, float("nan"), float("inf"), float("-inf")])
def test_no_other_number_is_a_score(score: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        scored(score, Reason.EQUAL)


@pytest.mark.parametrize("reason", ERRORS)
def test_no_score_beside_an_error(reason: Reason) -> None:
    with pytest.raises(ValueError, match="reason for an error"):
        scored(0.0, reason)
    outcome = cannot_judge(reason, "why")
    assert (outcome.status, outcome.score, outcome.correct) == (Status.ERROR, None, None)
    assert outcome.detail["message"] == "why"
    assert outcome.retryable is REASONS[reason][1]


@pytest.mark.parametrize("reason", SCORED)
def test_no_error_with_a_reason_for_a_score(reason: Reason) -> None:
    with pytest.raises(ValueError, match="reason for a score"):
        cannot_judge(reason, "why")


def test_the_short_constructors() -> None:
    right, wrong, broken = accept(42, flags=["f"], unit="m"), reject(), malformed("it is empty")
    assert (right.score, right.correct, right.reason, right.extracted) == (1.0, True, Reason.EQUAL, "42")
    assert (right.flags, dict(right.detail)) == (("f",), {"unit": "m"})
    assert (wrong.score, wrong.correct, wrong.reason, wrong.extracted) == (0.0, False, Reason.NOT_EQUAL, None)
    assert (broken.status, broken.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)
    assert dict(wrong.detail) == {} and dict(wrong.trace) == {}


def test_what_was_extracted_is_bounded_text_whatever_it_is() -> None:
    assert accept("x" * (EXTRACTED_LIMIT + 1)).extracted == "x" * EXTRACTED_LIMIT
    assert accept([1, None]).extracted == "[1, None]"
    assert accept(None).extracted is None
    # An answer must not become unjudgeable by being too large to write: str() of this integer raises.
    assert accept(10**5000).extracted == "<int too long to write>"


@pytest.mark.parametrize("value", [Item("a", "b", "c"), accept("x"), Item("a", "b", None).extra_info])
def test_values_are_frozen(value: Any) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        if isinstance(value, Outcome):
            value.score = 1.0  # type: ignore[misc]
        elif isinstance(value, Item):
            value.response = "other"  # type: ignore[misc]
        else:
            value["injected"] = 1


# Fingerprints

BASE = Item("math__x", "response", "gold", {"question": "q"}, Profile.STRICT, "math__x", False)


def key(item: Item = BASE, handler: str = "h", version: str = "1") -> bytes:
    return fingerprint(handler, version, item)


def changed(**fields: Any) -> Item:
    return dataclasses.replace(BASE, **fields)


DIFFERENT: dict[str, Callable[[], bytes]] = {
    "handler": lambda: key(handler="h2"),
    "version": lambda: key(version="2"),
    "profile": lambda: key(changed(profile=Profile.GURU)),
    "data source": lambda: key(changed(data_source="math__y")),
    "explain": lambda: key(changed(explain=True)),
    "response": lambda: key(changed(response="Response")),
    "ground truth": lambda: key(changed(ground_truth="Gold")),
    "no ground truth": lambda: key(changed(ground_truth=None)),
    "ground truth in a list": lambda: key(changed(ground_truth=["gold"])),
    "a declared field": lambda: key(changed(extra_info={"question": "Q"})),
    "a further field": lambda: key(changed(extra_info={"question": "q", "more": 0})),
    "no field": lambda: key(changed(extra_info={})),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_whatever_can_change_the_score_changes_the_fingerprint(what: str) -> None:
    assert DIFFERENT[what]() != key()
    assert DIFFERENT[what]() == DIFFERENT[what]()


def test_all_of_them_differ_from_each_other() -> None:
    assert len({make() for make in DIFFERENT.values()} | {key()}) == len(DIFFERENT) + 1


def test_the_name_of_the_routing_entry_and_the_order_of_keys_change_nothing() -> None:
    assert key(changed(source="math__*")) == key()
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert key(changed(ground_truth=one)) == key(changed(ground_truth=other))
    assert key(changed(extra_info=one)) == key(changed(extra_info=other))


VALUES: list[Any] = [
    None, True, False, 0, 1, -0.0, 0.0, 1.0, "", "0", "1", "true", "null", "[]", "{}", [], [[]], {}, [1, 2], ["1,2"],
    [[1], 2], {"a": 1}, {"a": "1"}, {"a": [1]}, '{"a":1}', "s", "j", 2**70, float(2**70), float("nan"), "NaN", [float("nan")],
    "\x00", "a\x00b", "é", "e\u0301", "\ud800", ["\ud800"], "\\ud800",
]  # fmt: skip


def test_values_of_different_type_or_shape_are_different_ground_truths() -> None:
    keys = {key(changed(ground_truth=value)) for value in VALUES}
    assert len(keys) == len(VALUES)


TEXT = st.text(max_size=12)
PIECES = st.tuples(TEXT, TEXT, st.sampled_from(["h", "h2"]), st.text(alphabet="ab\0;,0123456789", max_size=6))


@given(PIECES, PIECES)
@example(("ab", "c", "h", ""), ("a", "bc", "h", ""))
@example(("", "x", "h", "a"), ("x", "", "h", "a"))
@example(("r", "g", "h", "a\x00False"), ("r", "g", "h", "a"))
def test_no_concatenation_of_fields_collides(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """What moves from the end of one field to the start of the next makes another item."""
    assume(one != other)
    keys = [
        fingerprint(handler, "1", Item(data_source, response, gold))
        for response, gold, handler, data_source in (one, other)
    ]
    assert keys[0] != keys[1]


@given(st.text(max_size=30), st.integers(0, 30), st.sampled_from(["", "s", "j", '"', "{}"]))
def test_a_response_can_not_take_over_the_entry_of_another_item(text: str, cut: int, glue: str) -> None:
    """The attack that length prefixes are for: the response continues as ground truth."""
    response, gold = text[:cut], text[cut:]
    victim = fingerprint("h", "1", Item("d", response, glue + gold))
    thief = fingerprint("h", "1", Item("d", response + glue, gold))
    assert (victim == thief) is (glue == "")


@given(st.text(alphabet=st.characters(), max_size=20), st.text(max_size=20))
def test_a_text_is_not_the_json_that_it_looks_like(response: str, gold: str) -> None:
    as_text = fingerprint("h", "1", Item("d", response, json.dumps(gold)))
    assert as_text != fingerprint("h", "1", Item("d", response, [gold]))
    assert len(as_text) == 16


@pytest.mark.parametrize("value", [{1: "a", "b": 2}, {"a": {1}}, [object()], [10**5000], b"bytes"])
def test_what_is_no_json_has_no_fingerprint(value: Any) -> None:
    """A repr instead could be cut short, and then two ground truths would share one cache entry."""
    with pytest.raises((TypeError, ValueError)):
        key(changed(ground_truth=value))


def test_lone_surrogates_have_fingerprints() -> None:
    texts = ["\ud800", "\udfff", "?", "\ufffd"]
    for make in (
        lambda t: changed(response=t),
        lambda t: changed(data_source=t),
        lambda t: changed(ground_truth=t),
    ):
        assert len({key(make(text)) for text in texts}) == len(texts)


# Errors and runs

TREE = [
    errors.BadRequest,
    errors.TooLarge,
    errors.NotFound,
    errors.Overloaded,
    errors.PoolBroken,
    errors.SandboxUnavailable,
    errors.Internal,
]


def test_the_tree_is_flat_and_complete() -> None:
    assert set(errors.ServiceError.__subclasses__()) >= set(TREE)
    for kind in TREE:
        assert kind.__bases__ == (errors.ServiceError,)
        assert kind.problem in errors.PROBLEMS
        assert kind.__name__ in (errors.__doc__ or "")


def test_every_problem_has_a_status_of_its_kind_and_says_what_to_do() -> None:
    for name, problem in errors.PROBLEMS.items():
        assert name == name.lower().replace("_", "-")
        assert 400 <= problem.status < 600
        assert problem.title and problem.advice
    assert {kind.problem: errors.PROBLEMS[kind.problem].status for kind in TREE} == {
        "invalid-body": 422, "too-large": 413, "not-found": 404, "overloaded": 429, "not-ready": 503, "internal": 500
    }  # fmt: skip


def test_an_error_carries_its_problem_its_fields_and_when_to_come_back() -> None:
    plain = errors.BadRequest("no")
    assert (str(plain), plain.detail, plain.problem, plain.errors, plain.retry_after) == (
        "no", "no", "invalid-body", [], None
    )  # fmt: skip
    full = errors.Overloaded("later", problem="not-ready", errors=[{"field": "x"}], retry_after=2.5)
    assert (full.problem, full.errors, full.retry_after) == ("not-ready", [{"field": "x"}], 2.5)
    assert errors.Overloaded.problem == "overloaded", "an instance must not change its class"


def test_a_boundary_lets_ours_through_and_names_what_is_not() -> None:
    ours = errors.NotFound("x")
    with pytest.raises(errors.NotFound) as caught, errors.boundary("the store"):
        raise ours
    assert caught.value is ours
    with (
        pytest.raises(errors.Internal, match="the store: KeyError") as classified,
        errors.boundary("the store"),
    ):
        raise KeyError("secret")
    assert "secret" not in str(classified.value)
    assert isinstance(classified.value.__cause__, KeyError)
    with pytest.raises(KeyboardInterrupt), errors.boundary("the store"):
        raise KeyboardInterrupt


def test_the_wall_limit_of_a_run_follows_its_cpu_limit_unless_it_is_named() -> None:
    assert runs.RunLimits().wall == 3 * 10.0 + 2
    assert runs.RunLimits(cpu_seconds=1.0).wall == 5.0
    assert runs.RunLimits(cpu_seconds=1.0, wall_seconds=7.0).wall == 7.0


def test_a_program_shares_no_mutable_default() -> None:
    one, other = runs.Program("python", "a"), runs.Program("python", "a")
    assert one == other
    assert one.files is not other.files
    assert (one.style, runs.Work(one, ()).stop_early) == (runs.Style.STDIO, True)
