"""Knights and knaves: every inhabitant one role, and how a conclusion may say so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

SOURCE = "logic__knights_knaves"
GOLD = "Tove is a knight, Ugo is a knave, and May Lin is a knight."


def judge(response: str, gold: Any = GOLD, profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, {}, profile, SOURCE))


@pytest.mark.parametrize(
    "conclusion",
    [
        "\n(1) Tove is a knight\n(2) Ugo is a knave\n(3) May Lin is a knight",
        "\n1. Tove is a knight.\n2. Ugo is a knave.\n3. May Lin is a knight.",
        "\n- May Lin is a knight\n- Ugo is a knave\n- Tove is a knight",
        "\n(1) **Tove** is a **knight**\n(2) Ugo is a *knave*\n(3) May Lin is a `knight`",
        "\n(1) Tove: knight\n(2) Ugo: knave\n(3) May Lin: knight",
        "\nTove = Knight; Ugo = Knave; May Lin = Knight",
        "\nTove -> knight\nUgo -> knave\nMay Lin → knight",
        "\nTove – knight\nUgo – knave\nMay Lin – knight",
        " tove is a knight, ugo is a knave, and may lin is a knight.",
        " Tove and May Lin are knights, and Ugo is a knave.",
        " Tove and May Lin are both knights; Ugo is a knave.",
        "\nKnights: Tove, May Lin\nKnaves: Ugo",
        " The knights are Tove and May Lin.\nThe knave is Ugo.",
        " Therefore, we can conclude that Tove is a knight, Ugo must be a knave and May Lin is a knight",
        "\n| Name | Role |\n|---|---|\n| Tove | knight |\n| Ugo | knave |\n| May Lin | knight |",
        '\n{"Tove": "knight", "Ugo": "knave", "May Lin": "knight"}',
        "\n\\boxed{\\text{Tove is a knight, Ugo is a knave, May Lin is a knight}}",
        "\n(1) Tove is a knight (truthful)\n(2) Ugo is a knave - a liar\n(3) May Lin is a knight",
        "\n(1) Tove is a knight\n(2) Ugo is a knave\n(3) May Lin is a knight\nIf a role changed, all would break.",
        "\nTove (knight), Ugo (knave), May Lin (knight)",
        "\nTove is a knight (truthful), Ugo is a knave (a liar), May Lin is a knight (truthful)",
        "\nTove's role: knight\nUgo's role: knave\nMay Lin's role: knight",
        "\nTove is a knight. Ugo is a knave. He is a knave indeed. May Lin is a knight. Total knights: 2",
        "\n(1) Tove is a knight\n(2) Ugo is a knave because May Lin is a knight\n(3) May Lin is a knight",
        "\n(1) Tove is a knight\n(2) Ugo is a knave because he lies\n(3) May Lin is a knight",
        "\n(1) Tove is a knight\n(2) Ugo is a knave\n(3) May Lin is a knight\nIndeed Ugo, being a knave, lied.",
    ],
)
@pytest.mark.parametrize(
    "heading", ["CONCLUSION:", "**Conclusion:**", "### Conclusion\n", "Conclusion: see\nCONCLUSION:"]
)
def test_accepts_every_way_to_say_it(heading: str, conclusion: str) -> None:
    outcome = judge(f"Suppose Ugo is a knight. Then Tove is a knave, contradiction.\n{heading}{conclusion}")
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


ALL = "Tove is a knight, Ugo is a knave, May Lin is a knight"


@pytest.mark.parametrize(
    "response",
    [
        f"\\boxed{{{ALL}}}",
        f"<answer>\n(1) {ALL.replace(', ', chr(10))}</answer>",
        f"CONCLUSION: Ugo is a knight. <answer>{ALL}</answer>",
        f"<think>CONCLUSION: Ugo is a knight</think> CONCLUSION: {ALL}",
        f"CONCLUSION: Ugo is a knight\nLet me redo this.\nCONCLUSION: {ALL}",
        f"<answer>CONCLUSION: {ALL}</answer>",
        'So it is {"Tove": "knight", "Ugo": "knave", "May Lin": "knight"}',
        f"Hence the answer is: {ALL}.",
    ],
)
def test_accepts_where_it_stands(response: str) -> None:
    assert judge(response).correct is True


@pytest.mark.parametrize(
    ("conclusion", "reason"),
    [
        ("Tove is a knight, Ugo is a knight, May Lin is a knight", Reason.NOT_EQUAL),
        ("Tove is a knave, Ugo is a knight, May Lin is a knave", Reason.NOT_EQUAL),
        ("Tove is a knight, Ugo is a knave", Reason.NOT_EQUAL),
        (f"{ALL}\nZed is a knight", Reason.NOT_EQUAL),
        ("Tove is a knight, Tove is a knave, Ugo is a knave, May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        (f"{ALL}\nUgo: knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight or a knave, Ugo is a knave, May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight/knave, Ugo is a knave, May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight and a knave, Ugo is a knave, May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("It is false that Tove is a knight. Ugo is a knave. May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove isn't a knight. Ugo is a knave. May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight. Ugo is not a knave. May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Perhaps Tove is a knight. Ugo is a knave. May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("If Tove is a knight, Ugo is a knave and May Lin is a knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight? Ugo is a knave? May Lin is a knight?", Reason.AMBIGUOUS_ANSWER),
        (f"{ALL}\nWait, swap them all.", Reason.AMBIGUOUS_ANSWER),
        (f"{ALL}. Actually the opposite holds.", Reason.AMBIGUOUS_ANSWER),
        (f"{ALL}\nRemember that Ugo told us Tove is a knave", Reason.AMBIGUOUS_ANSWER),
        ("Tove, Ugo, May Lin: knight, knave, knight", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight, Ugo is a knave, May Lin", Reason.AMBIGUOUS_ANSWER),
        (f"{ALL}\nUgo is a knave because Tove is a knave", Reason.AMBIGUOUS_ANSWER),
        ("Tove is a knight, Ugo is a knave because May Lin is a knight", Reason.NOT_EQUAL),
        ("Knights and knaves: Tove, Ugo, May Lin", Reason.AMBIGUOUS_ANSWER),
        ("All are knights and knaves", Reason.AMBIGUOUS_ANSWER),
        ("Tove claims Ugo is a knave", Reason.NO_ANSWER),
        ("knight, knave, knight", Reason.NO_ANSWER),
        ("everyone is truthful", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
    ],
)
def test_rejects(conclusion: str, reason: Reason) -> None:
    outcome = judge(f"CONCLUSION:\n{conclusion}")
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    "response",
    [
        "",
        f"I believe {ALL}",
        f"<think>CONCLUSION: {ALL}",
        f"CONCLUSION: {ALL}\nWait.\nCONCLUSION: Tove is a knave, Ugo is a knave, May Lin is a knight",
        f"CONCLUSION: {ALL}\nCONCLUSION:",
        f"CONCLUSION: {ALL} <answer>Tove is a knave</answer>",
        f"<answer>{ALL}",
        "CONCLUSION: " + "Tove is a knight, " * 3_000,
        "CONCLUSION: " + f"{ALL}. " * 3_000,
    ],
)
def test_rejects_where_it_stands(response: str) -> None:
    assert judge(response).score == 0.0


def test_substrings_of_names_and_roles_are_not_names_and_roles() -> None:
    gold = "Ann is a knight, and Annabel is a knave."
    assert judge("CONCLUSION: Ann is a knight, Annabel is a knave", gold).correct is True
    assert judge("CONCLUSION: Annabel is a knave", gold).correct is False
    assert judge("CONCLUSION: Ann is a knighthood, Annabel is a knave", gold).correct is False


def test_names_that_are_words() -> None:
    gold = "A is a knave, Will is a knight, and May is a knave."
    assert (
        judge("CONCLUSION:\n(1) A is a knave\n(2) Will is a knight\n(3) May is a knave", gold).correct is True
    )
    assert judge("CONCLUSION: A: knave, Will: knight, May: knave", gold).correct is True
    assert judge("CONCLUSION: A is a knight, Will is a knight, May is a knave", gold).correct is False


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("Bo is a saint, and Di is a sinner.", "CONCLUSION: Bo is a saint, Di is a sinner", True),
        ("Bo is a saint, and Di is a sinner.", "CONCLUSION: Bo is a sinner, Di is a sinner", False),
        ("Bo is a saint, and Di is a saint.", "CONCLUSION: Both are saints", True),
        ("Bo is a hero, and Di is a hero.", "CONCLUSION: all of them are heroes", True),
        ("Bo is a hero, and Di is a hero.", "CONCLUSION: all are villains", False),
        ("Bo is a hero, and Di is a hero.", "CONCLUSION: heroes", False),
        ("Bo is a hero, and Di is a hero.", "CONCLUSION: all heroes it is", False),
        ("Bo is a hero, Di is a hero, and Al is a hero.", "CONCLUSION: both are heroes", False),
        ({"Bo": "knight", "Di": "knave"}, "CONCLUSION: Bo is a knight, Di is a knave", True),
        ('{"Bo": "knight", "Di": "knave"}', "CONCLUSION: Bo is a knave, Di is a knave", False),
        ({"solution_text_format": "(1) Bo is a knight\n(2) Di is a knave"}, "CONCLUSION: Bo: knight, Di: knave", True),
    ],
)  # fmt: skip
def test_other_roles_and_ground_truths(gold: Any, response: str, right: bool) -> None:
    for profile in Profile:
        assert judge(response, gold, profile).correct is right


@pytest.mark.parametrize(
    "gold",
    [None, "", "nothing here", [], [True, False], {}, {"Bo": None}, {"Bo": ""}, {"": "knight"}, 7, True, "{", '{"Bo": 1}',
     "Bo is a knight, and Bo is a knave.", {"solution_text": 3}, "Bo is a knight, and Di"],
)  # fmt: skip
def test_malformed_ground_truth(gold: Any) -> None:
    outcome = judge(f"CONCLUSION: {ALL}", gold)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


WORDS = st.sampled_from(
    ["tove", "ugo", "may", "lin", "is", "a", "knight", "knave", "knaves", "or", "and", "not", ",", ".", ":", "(", ")", "\n",
     "(1)", "are", "all", "both", "because", "conclusion:", "<answer>", "</answer>", "{", "}", "-", "?", "wait"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_any_text_is_judged_and_always_alike(text: str) -> None:
    for response in (text, f"CONCLUSION: {text}"):
        outcome = judge(response)
        assert outcome.status is Status.SCORED
        assert outcome == judge(response)


NAMES = ("Tove", "Ugo", "Ima", "Abel")


@given(
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.data(),
)
def test_equal_exactly_when_the_roles_are(gold: list[bool], said: list[bool], data: st.DataObject) -> None:
    def role(knight: bool) -> str:
        return "knight" if knight else "knave"

    pairs = data.draw(st.permutations(list(zip(NAMES, said, strict=True))))
    truth = ", ".join(f"{name} is a {role(knight)}" for name, knight in zip(NAMES, gold, strict=True))
    for conclusion in (
        "\n".join(f"({at}) {name} is a {role(knight)}" for at, (name, knight) in enumerate(pairs, 1)),
        ", ".join(f"{name}: {role(knight)}" for name, knight in pairs),
        json.dumps({name: role(knight) for name, knight in pairs}),
    ):
        assert judge(f"CONCLUSION:\n{conclusion}", truth + ".").correct is (gold == said)


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(
        Item(SOURCE, "CONCLUSION: Tove is a knave", GOLD, {}, source=SOURCE, explain=True)
    )
    assert asked.trace["gold"] == {"tove": "knight", "ugo": "knave", "may-lin": "knight"}
    assert not judge("CONCLUSION: Tove is a knave").trace
