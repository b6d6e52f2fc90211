"""Graph logic: one node name, and what is not one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

SOURCE = "logic__graph_logical_dataset"


def judge(response: str, gold: Any = "kvorp", profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, {}, profile, SOURCE))


@pytest.mark.parametrize(
    "response",
    [
        "Step by step … <answer>kvorp</answer>",
        "<answer>\n  KVORP\n</answer>",
        "<answer>'kvorp'</answer>",
        "<answer>**kvorp**.</answer>",
        "<answer>`kvorp`</answer>",
        "<answer>```\nkvorp\n```</answer>",
        "<answer>$\\text{kvorp}$</answer>",
        "<answer>\\boxed{kvorp}</answer>",
        "<Answer>kvorp</Answer>",
        "<answer>The last node is kvorp.</answer>",
        "<answer>So the final node reached is **kvorp**</answer>",
        "<answer>Answer: kvorp</answer>",
        "<answer>node kvorp</answer>",
        "The node is \\boxed{\\text{kvorp}}",
        "<think>perhaps <answer>abc</answer></think><answer>kvorp</answer>",
        "<answer>abc</answer> no, better: <answer>kvorp</answer>",
        "<answer>kv\u200borp</answer><|im_end|>",
    ],
)
def test_accepts(response: str) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("<answer>prokv</answer>", Reason.NOT_EQUAL),
        ("<answer>kvor</answer>", Reason.NOT_EQUAL),
        ("<answer>kvorpa</answer>", Reason.NOT_EQUAL),
        ("<answer>kvorp prokv</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>kvorp, prokv</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>prokv or kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>not kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>the node is not kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>nobody says the node is kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>it isn't prokv, the node is kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>a -> b -> kvorp</answer>", Reason.AMBIGUOUS_ANSWER),
        ("<answer>kvorp</answer> sorry: <answer>zz</answer>", Reason.NOT_EQUAL),
        ("<answer>kvorp</answer> \\boxed{zz}", Reason.NOT_EQUAL),
        ("<answer></answer>", Reason.NO_ANSWER),
        ("<answer> . </answer>", Reason.AMBIGUOUS_ANSWER),
        ("kvorp", Reason.NO_ANSWER),
        ("<answer>kvorp", Reason.NO_ANSWER),
        ("<think><answer>kvorp</answer>", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
        ("<answer>" + "kvorp " * 400 + "</answer>", Reason.MALFORMED_ANSWER),
    ],
)
def test_rejects(response: str, reason: Reason) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        (7, "<answer>7</answer>", True),
        (7, "<answer>node 7</answer>", True),
        (7, "<answer>17</answer>", False),
        ("New York", "<answer>new york</answer>", True),
        ("New York", "<answer>The destination is New York</answer>", True),
        ("New York", "<answer>York</answer>", False),
        ("Node 7", "<answer>Node 7</answer>", True),
    ],
)
def test_node_names(gold: Any, response: str, right: bool) -> None:
    assert judge(response, gold).correct is right


@pytest.mark.parametrize("gold", [None, "", "  ", [], ["a"], {"a": 1}, 1.5, True])
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge("<answer>a</answer>", gold, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("<answer> Kvorp </answer>", True),
        ("<answer>x</answer> <answer>kvorp</answer>", True),
        ("<answer>\nkvorp\n</answer>", False),
        ("<answer>kvorp.</answer>", False),
        ("<answer>kvörp</answer>", False),
        ("<answer>kv0rp</answer>", False),
        ("\\boxed{kvorp}", False),
        ("<Answer>kvorp</Answer>", False),
    ],
)
def test_guru_is_the_published_rule(response: str, right: bool) -> None:
    assert judge(response, profile=Profile.GURU).correct is right


def test_flags_several_answers() -> None:
    assert judge("<answer>a</answer><answer>kvorp</answer>").flags == ("multiple_answers",)
    assert judge("<answer>kvorp</answer><answer>kvorp</answer>").flags == ()


@given(st.text(max_size=60), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile) -> None:
    outcome = judge(f"<answer>{text}</answer>", profile=profile)
    assert outcome.status is Status.SCORED
    assert outcome == judge(f"<answer>{text}</answer>", profile=profile)
    if outcome.correct:
        assert "kvorp" in text.casefold()


@given(st.from_regex(r"[a-z]{2,9}", fullmatch=True), st.from_regex(r"[a-z]{2,9}", fullmatch=True))
def test_equal_exactly_when_the_names_are(gold: str, other: str) -> None:
    for profile in Profile:
        assert judge(f"<answer> {other} </answer>", gold, profile).correct is (gold == other)


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(Item(SOURCE, "<answer>x</answer>", "kvorp", {}, source=SOURCE, explain=True))
    assert asked.trace["gold"] == "kvorp"
    assert not judge("<answer>x</answer>").trace
