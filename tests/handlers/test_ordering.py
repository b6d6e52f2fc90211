"""Ordering puzzles: one list in one order, however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

SOURCE = "logic__ordering_puzzle_dataset"
GOLD = ["Nora", "liam", "sea lion", "Ivo"]


def judge(response: str, gold: Any = GOLD, profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, {}, profile, SOURCE))


@pytest.mark.parametrize(
    "answer",
    [
        '["Nora", "liam", "sea lion", "Ivo"]',
        "['nora', 'LIAM', 'Sea Lion', 'ivo']",
        "[Nora, Liam, sea lion, Ivo]",
        "[\n  'Nora',\n  'Liam',\n  'sea lion',\n  'Ivo'\n]",
        "```python\n['Nora', 'Liam', 'sea lion', 'Ivo']\n```",
        "```json ['Nora', 'Liam', 'sea lion', 'Ivo'] ```",
        "('Nora', 'Liam', 'sea lion', 'Ivo')",
        "The final order is: ['Nora', 'Liam', 'sea lion', 'Ivo'].",
        "**['Nora', 'Liam', 'sea lion', 'Ivo']**",
        "\\boxed{['Nora', 'Liam', 'sea lion', 'Ivo']}",
        "\\boxed{\\text{Nora, Liam, sea lion, Ivo}}",
        "Nora, Liam, sea lion, Ivo",
        "Nora, Liam, sea lion, and Ivo.",
        "Order: Nora, Liam, sea-lion, Ivo",
        "Nora -> Liam -> sea lion -> Ivo",
        "Nora → Liam → sea lion → Ivo",
        "Nora $\\rightarrow$ Liam $\\to$ sea lion > Ivo",
        "1. Nora\n2. Liam\n3. sea lion\n4. Ivo",
        "1) **Nora**\n2) **Liam**\n3) **sea lion**\n4) **Ivo**",
        "(1) Nora\n(2) Liam\n(3) sea lion\n(4) Ivo",
        "* Nora\n* Liam\n* sea lion\n* Ivo",
        "Nora,\nLiam,\nsea lion,\nIvo,",
        "- Nora\n- Liam\n- sea lion\n- Ivo",
        "Nora\nLiam\nsea lion\nIvo",
        "“Nora”, ‘Liam’, sea\u00a0lion, Ivo",
    ],
)
def test_accepts_every_way_to_write_the_list(answer: str) -> None:
    outcome = judge(f"I think …\n<answer> {answer} </answer>")
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{[Nora, Liam, sea lion, Ivo]}",
        "<answer>['Nora', 'Liam', 'sea lion', 'Ivo']",
        "<think>['x']</think><answer>[Nora, Liam, sea lion, Ivo]</answer>",
        "<answer>[Ivo]</answer> no: <answer>[Nora, Liam, sea lion, Ivo]</answer>",
    ],
)
def test_accepts_where_it_stands(response: str) -> None:
    assert judge(response).correct is True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("['liam', 'Nora', 'sea lion', 'Ivo']", Reason.NOT_EQUAL),
        ("['Ivo', 'sea lion', 'liam', 'Nora']", Reason.NOT_EQUAL),
        ("['Nora', 'liam', 'sea lion']", Reason.NOT_EQUAL),
        ("['Nora', 'liam', 'sea lion', 'Ivo', 'Ivo']", Reason.NOT_EQUAL),
        ("['Nora', 'liam', 'sea lion', 'Ivo', 'Zoe']", Reason.NOT_EQUAL),
        ("['Nora', 'liam', 'sea lion', 'Ivo or Zoe']", Reason.NOT_EQUAL),
        ("['Nora liam sea lion Ivo']", Reason.NOT_EQUAL),
        ("Nora, Nora, liam, sea lion, Ivo", Reason.NOT_EQUAL),
        ("[['Nora', 'liam', 'sea lion', 'Ivo']]", Reason.AMBIGUOUS_ANSWER),
        ("['Nora', 'liam', 'sea lion', 'Ivo'] or ['Ivo']", Reason.AMBIGUOUS_ANSWER),
        ("not ['Nora', 'liam', 'sea lion', 'Ivo']", Reason.AMBIGUOUS_ANSWER),
        ("['Nora', 'liam', 'sea lion', 'Ivo'] reversed", Reason.AMBIGUOUS_ANSWER),
        ("It isn't: Nora, liam, sea lion, Ivo", Reason.AMBIGUOUS_ANSWER),
        ("Nora < liam < sea lion < Ivo", Reason.MALFORMED_ANSWER),
        ("2. Nora\n1. liam\n3. sea lion\n4. Ivo", Reason.MALFORMED_ANSWER),
        ("[1, null]", Reason.NOT_EQUAL),
        ("[{'a': 1}]", Reason.MALFORMED_ANSWER),
        ("['a', None]", Reason.MALFORMED_ANSWER),
        ("('Nora')", Reason.NOT_EQUAL),
        ("['Nora', 'liam'] 'sea lion', 'Ivo']", Reason.AMBIGUOUS_ANSWER),
        ("['Nora', ['liam', 'sea lion', 'Ivo']", Reason.AMBIGUOUS_ANSWER),
        ("['Nora', True]", Reason.MALFORMED_ANSWER),
        ("['Nora': 'liam']", Reason.NOT_EQUAL),
        ("('Nora', {'liam'})", Reason.MALFORMED_ANSWER),
        ("Nora, liam, sea lion, Ivo, " * 400, Reason.MALFORMED_ANSWER),
        ("[ ]", Reason.NO_ANSWER),
        ("1.\n2.", Reason.NOT_EQUAL),
        ("[]", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
        ("__import__('os').system('true')", Reason.MALFORMED_ANSWER),
        ("[x for x in target]", Reason.NOT_EQUAL),
        ("list(['Nora', 'liam', 'sea lion', 'Ivo'])", Reason.MALFORMED_ANSWER),
    ],
)
def test_rejects(answer: str, reason: Reason) -> None:
    outcome = judge(f"<answer>{answer}</answer>")
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    "response",
    [
        "",
        "Nora, liam, sea lion, Ivo",
        "<answer>Nora, liam, sea lion, Ivo",
        "<answer>[Nora, liam, sea lion, Ivo]</answer> wait <answer>[Ivo]</answer>",
        "<answer>[Nora, liam, sea lion, Ivo]</answer> <answer>[Nora",
        "<think><answer>[Nora, liam, sea lion, Ivo]</answer>",
        "<answer>" + "[" * 9_000 + "</answer>",
        "<answer>" + "Nora, " * 9_000 + "</answer>",
    ],
)
def test_rejects_where_it_stands(response: str) -> None:
    assert judge(response).score == 0.0


@pytest.mark.parametrize("gold", ['["a", "b"]', "a, b", ("a", "b")])
def test_other_ground_truth_forms(gold: Any) -> None:
    assert judge("<answer>[a, b]</answer>", gold).correct is True
    assert judge("<answer>[b, a]</answer>", gold).correct is False


@pytest.mark.parametrize(
    "gold", [None, "", [], {}, [None], ["a", 1.5], ["a", ["b"]], 3, True, [""], "[a", [True]]
)
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge("<answer>[a]</answer>", gold, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (["ant", "bee"], "['Ant', 'bee']", True),
        (["ant", "bee"], "so: [ant, bee], I think", True),
        (["Ant", "bee"], "['Ant', 'bee']", False),
        (["ant", "bee"], "\n['ant', 'bee']\n", False),
        (["ant", "bee"], "ant, bee", False),
        (["ant", "bee"], "('ant', 'bee')", False),
        (["ant", "bee"], "__import__('sys')._getframe(2).f_locals.get('target')", False),
    ],
)
def test_guru_is_the_published_rule_without_eval(gold: list[str], answer: str, right: bool) -> None:
    assert judge(f"<answer>{answer}</answer>", gold, Profile.GURU).correct is right


@given(st.text(max_size=80), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile) -> None:
    outcome = judge(f"<answer>{text}</answer>", profile=profile)
    assert outcome.status is Status.SCORED
    assert outcome == judge(f"<answer>{text}</answer>", profile=profile)


NAMES = st.lists(
    st.from_regex(r"[a-z]{1,6}( [a-z]{1,6})?", fullmatch=True), min_size=2, max_size=7, unique=True
)


@given(NAMES.flatmap(lambda names: st.tuples(st.just(names), st.permutations(names))))
def test_equal_exactly_when_the_order_is(case: tuple[list[str], list[str]]) -> None:
    gold, names = case
    for answer in (
        json.dumps(names),
        repr(names),
        f"[{', '.join(names)}]",
        "\n".join(names),
        " -> ".join(names),
    ):
        assert judge(f"<answer>{answer}</answer>", gold).correct is (gold == names)


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(Item(SOURCE, "<answer>[x]</answer>", GOLD, {}, source=SOURCE, explain=True))
    assert asked.trace["gold"] == GOLD
    assert not judge("<answer>[x]</answer>").trace
