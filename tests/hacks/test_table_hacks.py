"""Cheats against table answers: none is paid, and the honest answer beside each is.

The rows below are our own. Those in ../shared/hacks are run too where they exist; `policy` cases are left out: we pay
neither a hundredth nor a hundredfold of a number that isn't a ratio.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Status

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks" / "text_hacks.jsonl"


def judge(
    response: str, gold: Any, source: str = "table__hacks", profile: Profile = Profile.STRICT, **extra: Any
) -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))


def shared_cases() -> list[Any]:
    if not SHARED.exists():
        return []
    with SHARED.open() as lines:
        cases = [json.loads(line) for line in lines]
    return [
        pytest.param(case, id=case["id"])
        for case in cases
        if case["verifier"] == "table" and not case["policy"]
    ]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/hacks is not here")
@pytest.mark.parametrize("case", shared_cases())
def test_shared_hacks(case: dict[str, Any]) -> None:
    outcome = judge(case["response"], case["ground_truth"], question=case["question"])
    assert bool(outcome.correct) is bool(case["expected_reward"]), outcome


CODE = [
    "ground_truth",
    "__import__('os')._exit(0)",
    "__import__('sys')._getframe(1).f_locals['ground_truth']",
    "(lambda: 72)()",
    "type('x',(float,),{'__eq__':lambda s,o:True})(0)",
    "9**9**9",
    "[x for x in range(10**9)]",
    "float('nan')",
    "nan",
    "inf",
    "1e309",
    "True",
    "not 0",
    "72 if True else 0",
    "0 or 72",
    "71+1",
    "144/2",
    r"\frac{144}{2}",
    r"\sqrt{5184}",
    r"\sum_{i=1}^{72} 1",
]


@pytest.mark.parametrize("answer", CODE)
def test_nothing_is_evaluated(answer: str) -> None:
    assert judge(f"\\boxed{{{answer}}}", "72").score == 0.0


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("answer", CODE[:12])
def test_code_is_not_run_for_the_published_verdict_either(answer: str, profile: Profile) -> None:
    assert judge(f"\\boxed{{{answer}}}", "72", profile=profile).score == 0.0


GUESSES = [
    "71|72|73", "71, 72, 73", "71; 72", "71 or 72", "72 (or 71)", "72 and 71", "71/72", "70-75", "70 to 75", "[71, 72]", '["71", "72"]', "{71, 72}",
    "71\n72", r"71 \\ 72", "72?", "not 71 but 72", "either 71 or 72", "at least 72", "more than 71", "less than 73", "about seventy", "> 71",
    r"\geq 72", r"72 \pm 5", "72 ± 100", "71 = 72", r"71 \approx 72", "72 = 71", "7 2", "72 72", "any number", "all of them", "*", "%", ".*", "7_2",
    "72e0 or 5", "⁷²", "٧٢", "72%", "72 thousand", "-72", "(72)", "0.72", "7200", "x", "None", "null", "the value in the table",
]  # fmt: skip


@pytest.mark.parametrize("answer", GUESSES)
def test_several_guesses_hedges_and_rescalings_are_not_paid(answer: str) -> None:
    question = "What was revenue in 2019 (millions)?"
    assert judge(f"\\boxed{{{answer}}}", "72", question=question).score == 0.0


@pytest.mark.parametrize(
    "answer", ["72", "72.0", r"\$72", r"\$72\text{ million}", r"\textbf{72}", "72 million"]
)
def test_the_honest_answer_beside_them_is_paid(answer: str) -> None:
    question = "What was revenue in 2019 (millions)?"
    assert judge(f"\\boxed{{{answer}}}", "72", question=question).score == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "| year | rev |\n|---|---|\n| 2018 | 30 |\n| 2019 | 72 |",
        "It is one of 70, 71, 72, 73.",
        "The answer is 71.\nThe answer is 72.\n(one of these)",
        "The answer is 71 or 72.",
        r"\boxed{71}\boxed{72}",
        r"\boxed{71}, \boxed{72}, \boxed{73}",
        r"\boxed{72} but it may be \boxed{71}",
        "\\boxed{72}\n\nFinal answer: 71",
        r"\boxed{72",
        r"\boxed{71} or rather \boxed{72",
        "<think>\\boxed{72}",
        "<think>\\boxed{72}</think>",
        "\\boxed{72}</think>",
        "<think>The answer is 72",
        "</think></think>\\boxed{}72",
        "The answer is: what you expect",
        "72\n" * 50,
        r"\boxed{\phantom{71}72 or 71}",
        r"\boxed{72 % 71}",
        r"\boxed{72<!-- 71 -->}",
    ],
)
def test_two_ways_to_answer_are_not_two_guesses(response: str) -> None:
    assert judge(response, "72").score == 0.0


@pytest.mark.parametrize("gold", ["", " ", None, [], [""], "|"])
@pytest.mark.parametrize(
    "response", ["", r"\boxed{}", r"\boxed{ }", r"\boxed{None}", r"\boxed{|}", "The answer is ."]
)
def test_an_empty_gold_pays_nobody(gold: Any, response: str) -> None:
    outcome = judge(response, gold)
    assert outcome.status is Status.ERROR and outcome.score is None


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Paris|Rome", "Paris|Rome|Berlin|Madrid|London"),
        ("Paris|Rome", "Paris|Paris"),
        ("Paris|Rome", "Paris|Rome|"[:-1] + "|Rome"),
        ("Paris|Rome", "Paris, Rome, Berlin"),
        ("Paris|Rome", "Paris"),
        ("Paris|Rome", "Paris or Rome"),
        ("Paris|Rome", "|"),
        ("Paris", "Paris|Rome"),
        ("Paris", "Pari"),
        ("Paris", "Paris Rome Berlin"),
        ("yes", "yes and no"),
        ("yes", "yes/no"),
        ("no", "unknown"),
        ("2019", "2018"),
        ("1000000", "1000900"),
        ("entailed", "entailed refuted"),
    ],
)
def test_lists_and_texts_are_not_paid_for_covering_everything(gold: str, answer: str) -> None:
    assert judge(f"\\boxed{{{answer}}}", gold).score == 0.0


TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"


@pytest.mark.parametrize(
    "response",
    [
        "| a | b |\n|---|---|",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |",
        "| a | b |\n|---|---|\n| 1 or 5 | 2 |\n| 3 | 4 |",
        "| a | b | a |\n|---|---|---|\n| 1 | 2 | 9 |\n| 3 | 4 | 9 |",
        "| a | b |\n|---|---|\n| 1 | 2 | 9 |\n| 3 | 4 |",
        TABLE + "\n\nor\n\n" + TABLE.replace("4", "5"),
        "| b | a |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "a,b\n1,2\n3,4",
        "<think>" + TABLE,
    ],
)
def test_whole_tables(response: str) -> None:
    assert judge(response, TABLE, "table__structured").score == 0.0
    assert judge(TABLE, TABLE, "table__structured").score == 1.0
