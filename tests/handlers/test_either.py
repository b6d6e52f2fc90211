"""Two answers with a bare "or" between them are none, in every handler that takes a box or a tag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reward_service.handlers._either import before_or
from reward_service.types import Outcome, Profile, Reason
from tests.carry import item_for

ROWS: list[tuple[str, Any, str, str, str]] = [
    # data source, ground truth, the answer as right, wrong, and written otherwise
    ("table__hitab", "12", "\\boxed{12}", "\\boxed{13}", "\\boxed{12.0}"),
    ("logic__graph", "owl", "<answer>owl</answer>", "<answer>crow</answer>", "<answer>OWL</answer>"),
    ("logic__ordering_puzzle", ["owl", "crow"], "<answer>['owl', 'crow']</answer>", "<answer>['crow', 'owl']</answer>", "<answer>owl, crow</answer>"),
    ("simulation__arcagi1", [[1, 0]], "<answer>[[1, 0]]</answer>", "<answer>[[0, 1]]</answer>", "<answer>[[1,0]]</answer>"),
    ("searchr1_nq", {"target": ["Danube"]}, "<answer>Danube</answer>", "<answer>Rhine</answer>", "<answer>the Danube</answer>"),
    ("exact__x", "Danube", "\\boxed{Danube}", "\\boxed{Rhine}", "\\boxed{\\text{danube}}"),
    ("f1__x", ["Danube"], "<answer>Danube</answer>", "<answer>Rhine</answer>", "<answer>the Danube</answer>"),
    ("bbeh__x", "yes", "\\boxed{yes}", "\\boxed{no}", "\\boxed{Yes}"),
    ("gym__caesar_cipher", "OWL", "<answer>OWL</answer>", "<answer>CROW</answer>", "<answer>\\boxed{OWL}</answer>"),
    ("sql", {"query": "SELECT n FROM t", "schema": "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1);"}, "<answer>SELECT n FROM t</answer>", "<answer>SELECT 2</answer>", "<answer>SELECT t.n FROM t</answer>"),
    ("stem__web", "9.80 m/s", "\\boxed{9.80 m/s}", "\\boxed{5 m/s}", "\\boxed{35.3\\ \\text{km/h}}"),
]  # fmt: skip


def judge(data_source: str, gold: Any, response: str, profile: Profile = Profile.STRICT) -> Outcome:
    from reward_service.registry import load

    route = load().route(data_source)
    assert route is not None
    item = replace(item_for(data_source, response, gold), profile=profile)
    outcome = route.handler.plan(item)
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize(("source", "gold", "right", "wrong", "again"), ROWS, ids=[row[0] for row in ROWS])
def test_a_bare_or_leaves_the_choice_open(source: str, gold: Any, right: str, wrong: str, again: str) -> None:
    assert judge(source, gold, right).correct
    assert judge(source, gold, again).correct
    for gap in (" or ", "\nor ", ", or perhaps ", " and/or "):
        for response in (f"So {wrong}{gap}{right}", f"So {right}{gap}{wrong}"):
            assert judge(source, gold, response).score == 0.0, response
    hedge = judge(source, gold, f"So {wrong} or {right}")
    assert (hedge.reason, "multiple_answers" in hedge.flags) == (Reason.AMBIGUOUS_ANSWER, True)
    for response in (
        f"So {again} or {right}",  # both right: nothing is left open
        f"So {wrong}\n\nNo, a step was missing: {right}",
        f"<think>{wrong} or</think>{right}",
        f"It is this or {right}",
    ):
        assert judge(source, gold, response).correct, response


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{\\text{surface tension}} or \\boxed{\\text{what holds drops together}}",
        "\\boxed{\\text{what holds drops together}} or \\boxed{\\text{surface tension}}",
    ],
)
def test_what_only_a_judge_model_could_tell_is_not_asked_beside_another_answer(response: str) -> None:
    assert judge("stem__web", "surface tension", response).reason is Reason.AMBIGUOUS_ANSWER


def test_the_published_scorers_do_not_look() -> None:
    assert judge("logic__graph", "owl", "<answer>crow</answer> or <answer>owl</answer>", Profile.GURU).correct


@pytest.mark.parametrize(
    ("response", "before"),
    [
        ("a \\boxed{1} or \\boxed{2}", "a \\boxed{1}"),
        ("\\boxed{1}$, or maybe $\\boxed{2}", "\\boxed{1}"),
        ("<answer>\\boxed{1}</answer> or <answer>\\boxed{2}</answer>", "<answer>\\boxed{1}</answer>"),
        ("\\boxed{1} or \\boxed{2} or \\boxed{3}", "\\boxed{1} or \\boxed{2}"),
        ("\\boxed{1} or rather \\boxed{2}", None),
        ("\\boxed{1} for \\boxed{2}", None),
        ("\\boxed{1} and \\boxed{2}", None),
        ("\\boxed{1} or \\boxed{2", None),
        ("\\boxed{1 or \\boxed{2}}", None),
        ("<think>\\boxed{1} or</think>\\boxed{2}", None),
        ("\\boxed{1} or" + " " * 100 + "\\boxed{2}", None),
        ("no answer or none", None),
    ],
)  # fmt: skip
def test_what_stands_before_a_bare_or(response: str, before: str | None) -> None:
    assert before_or(response) == before
