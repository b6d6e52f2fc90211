"""Token F1: what a partly right answer earns, and what earns nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within


def judge(response: str, gold: Any, profile: Profile = Profile.STRICT, source: str = "f1__my_set") -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, {}, profile, route.source.name))


def answer(text: str) -> str:
    return f"<answer>{text}</answer>"


@pytest.mark.parametrize(
    ("text", "gold", "score"),
    [
        ("the North Sea", "North Sea", 1.0),
        ("North Sea coast", "North Sea", 0.8),
        ("coast of the North Sea", "North Sea", 2 * 2 / 6),
        ("North North Sea", "North Sea", 0.8),
        ("Baltic", "North Sea", 0.0),
        ("Baltic Sea", ["North Sea", "Baltic Sea"], 1.0),
        ("Baltic", {"text": ["North Sea", "Baltic Sea"], "answer_start": [3, 9]}, 2 / 3),
        ("C", "C++", 0.0),
        ("35 km", "3.5 km", 0.0),
        ("4 yards", "5 yards", 0.0),
        ("5", "5 yards", 2 / 3),
        ("yards", "5 yards", 0.0),
        ("12", {"number": "12", "spans": [], "date": {}}, 1.0),
        ("a an the", "The The", 0.0),
    ],
)
def test_score(text: str, gold: Any, score: float) -> None:
    outcome = judge(answer(text), gold)
    assert outcome.score == pytest.approx(score)
    assert outcome.correct is (score == 1.0)
    if 0 < score < 1:
        assert outcome.reason is Reason.PARTIALLY_EQUAL


SPANS = {"spans": ["Oslo", "Bergen", "Lake Mjøsa"]}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("the Lake Mjøsa, Bergen and Oslo", 1.0),
        ("Oslo; Lake Mjøsa; Bergen", 1.0),
        ("Oslo\nBergen\nLake Mjøsa", 1.0),
        ("Oslo, Bergen", 2 / 3),
        ("Oslo, Bergen, Mjøsa", (2 + 2 / 3) / 3),
        ("Oslo, Oslo, Oslo", 1 / 3),
        ("Oslo, Bergen, Lake Mjøsa, Narva", 3 / 4),
        ("Narva", 0.0),
    ],
)
def test_spans_that_are_all_wanted_are_paired_one_to_one(text: str, score: float) -> None:
    assert judge(answer(text), SPANS).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("North Sea", Reason.NO_ANSWER),
        ("<answer></answer>", Reason.NO_ANSWER),
        ("<think><answer>North Sea</answer>", Reason.NO_ANSWER),
        (answer("North " * 3_000), Reason.MALFORMED_ANSWER),
    ],
)
def test_no_answer_earns_nothing(response: str, reason: Reason) -> None:
    outcome = judge(response, "North Sea")
    assert (outcome.score, outcome.reason) == (0.0, reason)


def test_a_line_and_a_box_are_answers_too() -> None:
    assert judge("The answer is the North Sea. It is cold.", "North Sea").correct
    assert judge("\\boxed{\\text{North Sea}}", "North Sea", source="f1").correct


@pytest.mark.parametrize(
    "gold", [None, "", [], {}, {"spans": []}, {"spans": [""]}, {"spans": ["a"] * 40}, [{}]]
)
def test_malformed_ground_truth(gold: Any) -> None:
    outcome = judge(answer("a"), gold)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@given(
    st.lists(st.sampled_from(["elk", "fox", "hen", "owl", "ant"]), max_size=6), st.sampled_from(list(Profile))
)
def test_f1_is_bounded_and_full_only_for_the_same_words(tokens: list[str], profile: Profile) -> None:
    outcome = judge(answer(" ".join(tokens)), "elk owl", profile)
    assert outcome.score is not None
    assert 0.0 <= outcome.score <= 1.0
    assert outcome.correct is (tokens == ["elk", "owl"] or sorted(tokens) == ["elk", "owl"])
    assert outcome == judge(answer(" ".join(tokens)), "elk owl", profile)


@given(st.lists(st.sampled_from(["fox", "hen", "ant"]), min_size=1, max_size=20))
def test_stuffing_an_answer_only_lowers_it(extra: list[str]) -> None:
    plain, stuffed = (
        judge(answer("elk"), "elk owl").score,
        judge(answer("elk " + " ".join(extra)), "elk owl").score,
    )
    assert plain is not None
    assert stuffed is not None
    assert stuffed < plain


def test_hostile_length_costs_little() -> None:
    with cpu_within(4.0):
        for text in ("elk, " * 1_500, "a " * 3_900, "1," * 3_900, "<answer>" * 30_000):
            judge(answer(text), SPANS)
