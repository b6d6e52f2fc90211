"""BIG-Bench Extra Hard: the answer behind its prefix, and what the official fuzzy match gets wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within


def judge(response: str, gold: Any, source: str = "bbeh__bbeh_made_up") -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, {}, source=route.source.name))


@pytest.mark.parametrize(
    "source", ["bbeh__bbeh_nycc", "bbeh__mini", "bbeh_zebra_puzzles", "bbeh", "BBEH_mini"]
)
def test_names(source: str) -> None:
    assert judge("The answer is: (B)", "(B)", source).correct


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("(B)", "(B)"),
        ("B", "(B)"),
        ("b)", "(B)"),
        ("option (B)", "(B)"),
        ("(B)", "B"),
        ("(B) the second drawing", "(B)"),
        ("$\\boxed{\\text{(B)}}$", "(B)"),
        ("**(B)**", "(B)"),
        ("(B).", "(B)"),
        ('"unknown"', "unknown"),
        ("'unknown'.", "unknown"),
        ("Unknown", "unknown"),
        ("`disproved`", "disproved"),
        ("8,205", "8205"),
        ("8{,}205", "8205"),
        ("8205.0", "8205"),
        ("−41", "-41"),
        ("$-41$", "-41"),
        ("16.50", "16.5"),
        ("no,yes,unknown", "no, yes, unknown"),
        ("No, Yes, and Unknown", "no, yes, unknown"),
        ("['no', 'yes', 'unknown']", "no, yes, unknown"),
        ("(no, yes, unknown)", "no, yes, unknown"),
        ("0, 1, 1", "0,1,1"),
        ("[45, 3]", "45, 3"),
        ("same_day, 07:40:12", "same_day, 07:40:12"),
        ("[]", "[]"),
        ("We sang.", "We sang."),
        ("We sang", "We sang."),
        ("Did we sing", "Did we sing?"),
        ("ma’ku čela", "ma'ku čela"),
    ],
)
def test_accepts(answer: str, gold: str) -> None:
    for response in (
        f"Let me see.\nThe answer is: {answer}",
        f"So the final answer is {answer}",
        f"**Final Answer:** {answer}",
        f"The answer is therefore {answer}\n\nThat follows from the clues.",
        f"The answer is:\n\n{answer}",
        f"<think>The answer is: nothing</think>The answer is: {answer}<|im_end|>",
    ):
        outcome = judge(response, gold)
        assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL), response


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{(B)}",
        "**The answer is: (B)**",
        "*The answer is (B)*",
        "### Final answer\n(B)",
        "The answer is: (B). This is because the others are not round.",
        "The answer is: (B), because (A) is not round",
        "The answer is (A). No: the answer is (B)",
        "my answer is (B)",
    ],
)
def test_where_the_answer_may_stand(response: str) -> None:
    assert judge(response, "(B)").correct is True


@pytest.mark.parametrize(
    ("response", "gold", "reason"),
    [
        ("", "[]", Reason.NO_ANSWER),
        ("The answer is:", "[]", Reason.NO_ANSWER),
        ("The answer is: .", "[]", Reason.NOT_EQUAL),
        ("(B)", "(B)", Reason.NO_ANSWER),
        ("I thought of (B). The answer is: (A)", "(B)", Reason.NOT_EQUAL),
        ("The answer is: (B). Actually, the answer is: (A)", "(B)", Reason.NOT_EQUAL),
        ("The answer is: (B). Wait, it is (A).", "(B)", Reason.NOT_EQUAL),
        ("The answer is: (B)\n\\boxed{A}", "(B)", Reason.NOT_EQUAL),
        ("The answer is: (A) or (B)", "(B)", Reason.AMBIGUOUS_ANSWER),
        ("The answer is: not (B)", "(B)", Reason.AMBIGUOUS_ANSWER),
        ("The answer is: (B) and (C)", "(B)", Reason.NOT_EQUAL),
        ("The answer is: (B) or maybe not", "(B)", Reason.AMBIGUOUS_ANSWER),
        ("The answer is: (A)(B)", "(B)", Reason.NOT_EQUAL),
        ("The answer is: AB", "(B)", Reason.NOT_EQUAL),
        ("The answer is: nan", "0", Reason.NOT_EQUAL),
        ("The answer is: 1_7", "17", Reason.NOT_EQUAL),
        ("The answer is: 17e0", "17", Reason.NOT_EQUAL),
        ("The answer is: 17?", "17", Reason.NOT_EQUAL),
        ("The answer is: 1,7", "17", Reason.NOT_EQUAL),
        ("The answer is: -17", "17", Reason.NOT_EQUAL),
        ("The answer is: yes, no", "yes, no, no", Reason.NOT_EQUAL),
        ("The answer is: no, yes", "yes, no", Reason.NOT_EQUAL),
        ("The answer is: 011", "0,1,1", Reason.NOT_EQUAL),
        ("The answer is: B ,A ,B", "B, A, B", Reason.NOT_EQUAL),
        ("<think>The answer is: (B)", "(B)", Reason.NO_ANSWER),
        ("\\boxed{B", "(B)", Reason.NO_ANSWER),
        ("The answer is: " + "B " * 5_000, "(B)", Reason.MALFORMED_ANSWER),
    ],
)
def test_rejects(response: str, gold: str, reason: Reason) -> None:
    outcome = judge(response, gold)
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize("gold", [None, "", "  ", [], {}, True, "a" * 5_000])
def test_malformed_ground_truth(gold: Any) -> None:
    outcome = judge("The answer is: a", gold)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_numbers_may_come_as_numbers() -> None:
    assert judge("The answer is: 12.0", 12).correct is True
    assert judge("The answer is: 12.5", 12.5).correct is True


@given(st.text(max_size=60))
def test_any_text_is_judged_and_always_alike(text: str) -> None:
    outcome = judge(f"The answer is: {text}", "(B)")
    assert outcome.status is Status.SCORED
    assert outcome == judge(f"The answer is: {text}", "(B)")
    if outcome.correct:
        assert "b" in text.casefold()


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_numbers_are_equal_exactly_when_they_are(gold: int, other: int) -> None:
    for written in (str(other), f"{other:,}", f"{other}.0", f"\\boxed{{{other}}}"):
        assert judge(f"The answer is: {written}", str(gold)).correct is (gold == other)


@given(st.lists(st.sampled_from(["yes", "no", "unknown"]), min_size=2, max_size=5), st.randoms())
def test_lists_are_ordered(items: list[str], random: Any) -> None:
    mixed = list(items)
    random.shuffle(mixed)
    assert judge(f"The answer is: {', '.join(mixed)}", ", ".join(items)).correct is (mixed == items)


@pytest.mark.parametrize(
    "piece", ["the answer is ", "answer:\n", "\\boxed{", "1,", "(", "[", "a, and ", "**", "because "]
)
def test_hostile_length_costs_little(piece: str) -> None:
    with cpu_within(4.0):
        for response in (piece * 40_000, "The answer is: " + piece * 40_000, "The answer is: " + piece * 400):
            assert judge(response, "(B)").score == 0.0


def test_both_profiles_judge_alike() -> None:
    route = load().route("bbeh__x")
    assert route is not None
    outcomes = [
        route.handler.plan(Item("bbeh__x", "The answer is: 4.0", "4", {}, profile, "bbeh__*"))
        for profile in Profile
    ]
    assert outcomes[0] == outcomes[1]
