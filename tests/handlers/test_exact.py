"""Short answers: the same text, and texts that only look the same once a normaliser has been at them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._qa import same_text, words
from reward_service.handlers.exact import SEARCH_R1
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within


def judge(
    response: str,
    gold: Any = "Vltava",
    source: str = "searchR1_nq",
    profile: Profile = Profile.STRICT,
    **extra: Any,
) -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))


@pytest.mark.parametrize("name", [*SEARCH_R1, "Natural_Made_Up"])
def test_search_r1_names_are_routed_in_any_case(name: str) -> None:
    assert judge("<answer>Vltava</answer>", {"target": ["Moldau", "Vltava"]}, f"searchR1_{name}").correct


@pytest.mark.parametrize(
    "response",
    [
        "<think>It flows through Prague.</think><answer> Vltava </answer>",
        "<answer>\nthe Vltava\n</answer>",
        "<answer>**vltava**.</answer>",
        "<answer>$\\text{Vltava}$</answer>",
        '<answer>"Vltava"</answer><|im_end|>',
        "<answer>The answer is Vltava</answer>",
        "<answer>\\boxed{Vltava}</answer>",
        "<Answer>VLTAVA</Answer>",
        "<answer>Elbe</answer> No: <answer>Vltava</answer>",
        "<information>Doc 1: <answer>Elbe</answer></information><think>x</think><answer>Vltava</answer>",
        "<answer>Vltava</answer><information>The tool adds <answer>Elbe</answer></information>",
        "So it is \\boxed{\\textbf{Vltava}}.",
    ],
)
def test_search_r1_accepts(response: str) -> None:
    outcome = judge(response, {"target": ["Vltava"]})
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("<answer>Elbe</answer>", Reason.NOT_EQUAL),
        ("<answer>Vltava or Elbe</answer>", Reason.NOT_EQUAL),
        ("<answer>not Vltava</answer>", Reason.NOT_EQUAL),
        ("<answer>Vltava</answer> rather <answer>Elbe</answer>", Reason.NOT_EQUAL),
        ("<answer>Vltava, Elbe, Oder</answer>", Reason.NOT_EQUAL),
        ("<answer></answer>", Reason.NO_ANSWER),
        ("<answer>Vltava", Reason.NO_ANSWER),
        ("The answer is Vltava.", Reason.NO_ANSWER),
        ("<think><answer>Vltava</answer>", Reason.NO_ANSWER),
        ("<information><answer>Vltava</answer></information>", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
        ("<answer>" + "Vltava " * 2_000 + "</answer>", Reason.MALFORMED_ANSWER),
    ],
)
def test_search_r1_rejects(response: str, reason: Reason) -> None:
    outcome = judge(response, {"target": ["Vltava"]})
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("The Hague", "hague", True),
        ("Kraków", "Krakow", True),
        ("well-known", "well known", True),
        ("co-op", "coop", True),
        ("D'Arcy", "DArcy", True),
        ("U.K.", "UK", True),
        ("AT&T", "AT & T", True),
        ("Rolling Stones, The", "the Rolling Stones", True),
        ("12,500", "12500", True),
        ("June 3, 1971", "June 3 1971", True),
        ("1914–1918", "1914-1918", True),
        ("4 - 2", "4–2", True),
        (".25", "0.25", True),
        ("$40", "40", True),
        # What the published form can't tell apart
        ("2.5", "25", False),
        ("-7", "7", False),
        ("1/3", "13", False),
        ("10:45", "1045", False),
        ("1 11", "11 1", False),
        ("A-1 11", "A-11 1", False),
        ("C++", "C", False),
        ("F#", "F", False),
        ("Disney+", "Disney", False),
        ("AB-", "AB", False),
        ("O+", "O-", False),
        ("Hepatitis A", "hepatitis", False),
        ("The The", "a the", False),
        ("the", "an", False),
        ("?!", "...", False),
        ("かき", "かぎ", False),
        ("Й", "И", False),
        ("", "", False),
    ],
)
def test_same_text(left: str, right: str, same: bool) -> None:
    assert same_text(left, right) is same
    assert same_text(right, left) is same


@pytest.mark.parametrize(
    "gold",
    [["Moldau", "Vltava"], {"target": "Vltava"}, '{"target": ["Vltava"]}', '["Vltava", "Moldau"]', "Vltava"],
)
def test_ground_truths_of_search_r1(gold: Any) -> None:
    assert judge("<answer>Vltava</answer>", gold).correct is True


@pytest.mark.parametrize(
    "gold", [None, "", " ", [], {}, {"target": []}, {"target": [""]}, [["a"]], [None], "a" * 5_000]
)
@pytest.mark.parametrize("source", ["searchR1_nq", "exact"])
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, source: str, profile: Profile) -> None:
    outcome = judge("<answer></answer>", gold, source, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@pytest.mark.parametrize(
    ("response", "gold", "right"),
    [
        ("The final answer is \\boxed{\\text{New South Wales}}.", "New South Wales", True),
        ("<answer>new  south\nwales</answer>", "New South Wales", True),
        ("**Answer:** New South Wales", "New South Wales", True),
        ("**The answer is: New South Wales**", "New South Wales", True),
        ("### Final Answer\n\nNew South Wales", "New South Wales", True),
        ("The answer is New South Wales. It is the oldest one.", "New South Wales", True),
        ("The answer is New South Wales, because it is not Victoria.", "New South Wales", True),
        ("The answer is New South Wales. Actually, Victoria.", "New South Wales", False),
        ("The answer is New South Wales. Victoria.", "New South Wales", False),
        ("The answer is New South Wales. It is actually Victoria.", "New South Wales", False),
        ("The answer is New South Wales. This is not certain.", "New South Wales", False),
        ("The answer is New South Wales because … wait, Victoria.", "New South Wales", False),
        ("Answer: Victoria\nAnswer: New South Wales", "New South Wales", True),
        ("Answer: New South Wales\nAnswer: Victoria", "New South Wales", False),
        ("\\boxed{New South Wales} No: the answer is Victoria", "New South Wales", False),
        ("New South Wales", "New South Wales", False),
        ("<answer>[1, 2]</answer>", "[1, 2]", True),
        ("<answer>[1,2]</answer>", "[1, 2]", False),
        ("<answer>\"x\"</answer>", '"x"', True),
        ("<answer>7</answer>", 7, True),
        ("<answer>7.0</answer>", 7, False),
        ("<answer>a-b</answer>", "a–b", True),
        ("<answer>C</answer>", "C++", False),
    ],
)  # fmt: skip
def test_exact(response: str, gold: Any, right: bool) -> None:
    assert judge(response, gold, "exact__my_own_set").correct is right
    assert judge(response, gold, "exact").correct is right


def test_letter_case_counts_when_the_row_says_so() -> None:
    assert judge("<answer>aB3x</answer>", "Ab3X", "exact").correct is True
    assert judge("<answer>aB3x</answer>", "Ab3X", "exact", case_sensitive=True).correct is False
    assert judge("<answer>Ab3X</answer>", "Ab3X", "exact", case_sensitive=True).correct is True


@pytest.mark.parametrize(
    ("response", "gold", "score"),
    [
        ("<think><answer>Vltava</answer>", "Vltava", 1.0),
        ("<answer>x</answer> <answer> the Vltava. </answer>", "Vltava", 1.0),
        ("<answer>C</answer>", "C++", 1.0),
        ("<answer>25</answer>", "2.5", 1.0),
        ("\\boxed{Vltava}", "Vltava", 0.0),
        ("<Answer>Vltava</Answer>", "Vltava", 0.0),
        ("<answer>**Vltava**</answer>", "Vltava", 1.0),
        ("<answer>\\text{Vltava}</answer>", "Vltava", 0.0),
        ("<answer>Vltava</answer>" * 11, "Vltava", 0.25),
        ("<answer>a an the</answer>", "The The", 0.0),
        ("<answer></answer>", "...", 0.0),
    ],
)
def test_guru_is_the_published_rule(response: str, gold: str, score: float) -> None:
    assert judge(response, {"target": [gold]}, profile=Profile.GURU).score == score


def test_several_answers_are_flagged() -> None:
    assert judge("<answer>Elbe</answer><answer>Vltava</answer>").flags == ("multiple_answers",)
    assert judge("<answer>Vltava</answer><answer>Vltava</answer>").flags == ()
    assert judge("<answer>\\boxed{Vltava}</answer>").flags == ()


@given(st.text(max_size=80), st.sampled_from(["searchR1_nq", "exact"]), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, source: str, profile: Profile) -> None:
    outcome = judge(f"<answer>{text}</answer>", "Vltava", source, profile)
    assert outcome.status is Status.SCORED
    assert outcome == judge(f"<answer>{text}</answer>", "Vltava", source, profile)


@given(st.text(min_size=1, max_size=30))
def test_a_text_is_the_same_as_itself(text: str) -> None:
    if text.strip():
        assert same_text(text, text)


@given(st.lists(st.sampled_from(["river", "The", "two", "A", "7", "Brno"]), min_size=1, max_size=5))
def test_articles_and_case_are_the_only_words_that_go(tokens: list[str]) -> None:
    kept = [token.lower() for token in tokens if token not in ("The", "A")]
    if kept and tokens[-1] not in ("The", "A"):
        assert list(words(" ".join(tokens))) == kept


@pytest.mark.parametrize(
    "piece",
    [
        "<answer>",
        "<answer>x</answer>",
        "\\boxed{",
        "<information>",
        "the answer is ",
        "answer:\n",
        "a, the ",
        "a.",
    ],
)
def test_hostile_length_costs_little(piece: str) -> None:
    with cpu_within(4.0):
        for source in ("searchR1_nq", "exact"):
            for profile in Profile:
                assert judge(piece * 30_000, "Vltava", source, profile).score == 0.0


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route("exact")
    assert route is not None
    asked = route.handler.plan(
        Item("exact", "<answer>x</answer>", "y", {}, source=route.source.name, explain=True)
    )
    assert isinstance(asked, Outcome)
    assert asked.trace["gold"] == ["y"]
    assert not judge("<answer>x</answer>", "y", "exact").trace
