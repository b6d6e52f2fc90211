"""Grids: equal cell by cell or not, and the ways in which a grid may be written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

SOURCE = "simulation__arcagi1"
GOLD = [[3, 0, 1], [0, 5, 0]]
TWO = [[[3, 0], [0, 3]], [[1], [2], [4]]]
ATTEMPTS = {"outputs": TWO, "attempts": 2}


def judge(response: str, gold: Any = GOLD, profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, {}, profile, SOURCE))


@pytest.mark.parametrize(
    "answer",
    [
        "[[3, 0, 1], [0, 5, 0]]",
        "\n[[3,0,1],\n [0,5,0]]\n",
        json.dumps(GOLD, indent=1),
        "[ [3, 0, 1] , [0, 5, 0] ]",
        "[[3, 0, 1], [0, 5, 0],]",
        "[[3 0 1]\n [0 5 0]]",
        "np.array([[3, 0, 1], [0, 5, 0]])",
        "array([[3, 0, 1],\n       [0, 5, 0]], dtype=int64)",
        "((3, 0, 1), (0, 5, 0))",
        "[(3, 0, 1), (0, 5, 0)]",
        '[["3", "0", "1"], ["0", "5", "0"]]',
        "```python\n[[3, 0, 1], [0, 5, 0]]\n```",
        "```\n[[3, 0, 1],\n [0, 5, 0]]\n```",
        "Output grid: [[3, 0, 1], [0, 5, 0]].",
        "**[[3, 0, 1], [0, 5, 0]]**",
        "$[[3, 0, 1], [0, 5, 0]]$",
        "\\boxed{[[3, 0, 1], [0, 5, 0]]}",
        "[[[3, 0, 1], [0, 5, 0]]]",
        '{"output": [[3, 0, 1], [0, 5, 0]]}',
        "3 0 1\n0 5 0",
        "301\n050",
        "3,0,1\n0,5,0",
        "| 3 | 0 | 1 |\n| 0 | 5 | 0 |",
        "[[３, 0, 1], [0, 5, 0]]",
    ],
)
def test_accepts_every_way_to_write_the_grid(answer: str) -> None:
    outcome = judge(f"The rule is …\n<answer>{answer}</answer>")
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{[[3, 0, 1], [0, 5, 0]]}",
        "The input is [[1, 2]].\nThe output is\n```\n[[3, 0, 1], [0, 5, 0]]\n```",
        "The output is:\n[[3, 0, 1],\n [0, 5, 0]]",
        "<answer>[[3, 0, 1], [0, 5, 0]]",
        "<think>[[1]]</think><answer>[[3, 0, 1], [0, 5, 0]]</answer>",
        "<answer>[[1]]</answer> wait <answer>[[3, 0, 1], [0, 5, 0]]</answer>",
    ],
)
def test_accepts_where_it_stands(response: str) -> None:
    assert judge(response).correct is True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[[3, 0, 1], [0, 5, 1]]", Reason.NOT_EQUAL),
        ("[[3, 0, 1]]", Reason.NOT_EQUAL),
        ("[[3, 0, 1], [0, 5, 0], [0, 5, 0]]", Reason.NOT_EQUAL),
        ("[[3, 0], [0, 5]]", Reason.NOT_EQUAL),
        ("[[3, 0], [1, 0], [5, 0]]", Reason.NOT_EQUAL),
        ("[[3, 0], [0, 5], [1, 0]]", Reason.NOT_EQUAL),
        ("[[3, 0, 1], [0, 5]]", Reason.NOT_EQUAL),
        ("[[-3, 0, 1], [0, 5, 0]]", Reason.NOT_EQUAL),
        ("[[30, 1], [0, 5, 0]]", Reason.NOT_EQUAL),
        ("[[3.0, 0, 1], [0, 5, 0]]", Reason.MALFORMED_ANSWER),
        ("[[3.9, 0.1, 1.4], [0.2, 5.5, 0.3]]", Reason.MALFORMED_ANSWER),
        ("[[3, ..., 1], [0, 5, 0]]", Reason.MALFORMED_ANSWER),
        ("[[3, False, True], [0, 5, 0]]", Reason.MALFORMED_ANSWER),
        ("[[3, 0, 1], [0, 5, 0]", Reason.MALFORMED_ANSWER),
        ("[3, 0, 1, 0, 5, 0]", Reason.MALFORMED_ANSWER),
        ("[[1]] [[3, 0, 1], [0, 5, 0]]", Reason.AMBIGUOUS_ANSWER),
        ("[[3, 0, 1], [0, 5, 0]] or [[1]]", Reason.AMBIGUOUS_ANSWER),
        ("not [[3, 0, 1], [0, 5, 0]]", Reason.AMBIGUOUS_ANSWER),
        ("It isn't [[3, 0, 1], [0, 5, 0]]", Reason.AMBIGUOUS_ANSWER),
        ('{"attempt_1": [[1]], "attempt_2": [[3, 0, 1], [0, 5, 0]]}', Reason.AMBIGUOUS_ANSWER),
        ("3 0 1\n0 5 0\n\n1 1", Reason.AMBIGUOUS_ANSWER),
        ("3 0 1\nthen 0 5 0", Reason.MALFORMED_ANSWER),
        ("np.rot90([[3, 0, 1], [0, 5, 0]])", Reason.MALFORMED_ANSWER),
        ("np.array([[3, 0, 1], [0, 5, 0]]).T", Reason.MALFORMED_ANSWER),
        ("[[3, 0, 1], [0, 5, 0]] * 2", Reason.MALFORMED_ANSWER),
        ("[[3, 0, 1], [0, 5, 0]][::-1]", Reason.MALFORMED_ANSWER),
        ("np.zeros((2, 3))", Reason.MALFORMED_ANSWER),
        ("Word " * 200 + "[[3, 0, 1], [0, 5, 0]]", Reason.MALFORMED_ANSWER),
        ("[[]]", Reason.NO_ANSWER),
        ("[]", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
    ],
)
def test_rejects(answer: str, reason: Reason) -> None:
    outcome = judge(f"<answer>{answer}</answer>")
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    "response",
    [
        "",
        "I give up",
        "3 0 1\n0 5 0",
        "<answer>[[3, 0, 1], [0, 5, 0]]</answer> no: <answer>[[1]]</answer>",
        "[[3, 0, 1], [0, 5, 0]]\nNo, wait: [[3, 0, 1], [0, 5, 5]]",
        "[[3, 0, 1], [0, 5, 0]]\nNo, that is wrong.",
        "Not [[3, 0, 1], [0, 5, 0]]",
        "Either [[1]] or [[3, 0, 1], [0, 5, 0]]",
        "[[3, 0, 1], [0, 5, 0]] then [[3.5, 0, 1]",
        "<think>[[3, 0, 1], [0, 5, 0]]",
        "<answer>" + "[" * 50_000 + "</answer>",
        "<answer>" + "[[3, 0, 1], [0, 5, 0]] [[1]]" * 50_000 + "</answer>",
    ],
)
def test_rejects_where_it_stands(response: str) -> None:
    assert judge(response).score == 0.0


@pytest.mark.parametrize(
    "response", ["", "I give up", "<answer></answer>", "<answer>[[]]</answer>", "<answer>x</answer>"]
)
@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("gold", [[[0]], [[0, 0], [0, 0]]])
def test_nothing_is_ever_a_blank_grid(response: str, profile: Profile, gold: Any) -> None:
    assert judge(response, gold, profile).score == 0.0
    assert judge("<answer>[[0]]</answer>", [[0]], profile).score == 1.0


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        (TWO, "[[[3, 0], [0, 3]], [[1], [2], [4]]]", True),
        (TWO, "[[3, 0], [0, 3]]\n[[1], [2], [4]]", True),
        (TWO, "Test 1: [[3, 0], [0, 3]] Test 2: [[1], [2], [4]]", True),
        (TWO, "30\n03\n\n1\n2\n4", True),
        (TWO, "[[[1], [2], [4]], [[3, 0], [0, 3]]]", False),
        (TWO, "[[3, 0], [0, 3]]", False),
        (TWO, "[[3, 0], [0, 3]] [[1], [2], [4]] [[1]]", False),
        (TWO, '[{"attempt_1": [[3, 0], [0, 3]]}, {"attempt_1": [[1], [2], [4]]}]', True),
        (TWO, '[{"attempt_1": [[3, 0], [0, 3]]}, {"attempt_1": [[1]], "attempt_2": [[1], [2], [4]]}]', False),
        (
            ATTEMPTS,
            '[{"attempt_1": [[9]], "attempt_2": [[3, 0], [0, 3]]}, {"attempt_1": [[1], [2], [4]]}]',
            True,
        ),
        (ATTEMPTS, '[{"attempt_1": [[9]], "attempt_2": [[3, 0], [0, 3]]}, {"attempt_1": [[1], [2]]}]', False),
        (ATTEMPTS, '{"attempt_1": [[3, 0], [0, 3]], "attempt_2": [[1], [2], [4]]}', False),
        (ATTEMPTS, "[[[3, 0], [0, 3]], [[1], [2], [4]]]", True),
        ({"output": GOLD, "attempts": 2}, '{"attempt_1": [[1]], "attempt_2": [[3, 0, 1], [0, 5, 0]]}', True),
        ({"output": GOLD, "attempts": 2}, '{"attempt_1": [[3.0, 0, 1], [0, 5, 0]]}', False),
        ({"output": GOLD, "attempts": 2}, '{"attempt_1": [[1]], "attempt_3": [[3, 0, 1], [0, 5, 0]]}', False),
        ({"output": GOLD, "attempts": 2}, '{"attempt_1": [[1]], "attempt_1": [[3, 0, 1], [0, 5, 0]]}', False),
        (ATTEMPTS, '[5, "attempt"]', False),
        (ATTEMPTS, '["attempt_1"]', False),
        (ATTEMPTS, "attempt 1: [[3, 0]", False),
        ({"output": GOLD}, "[[3, 0, 1], [0, 5, 0]]", True),
        (json.dumps(GOLD), "[[3, 0, 1], [0, 5, 0]]", True),
        ([GOLD], "[[3, 0, 1], [0, 5, 0]]", True),
    ],
)
def test_several_tests_and_attempts(gold: Any, answer: str, right: bool) -> None:
    assert judge(f"<answer>{answer}</answer>", gold).correct is right


@pytest.mark.parametrize(
    "gold",
    [None, "", "x", [], [[]], [[], []], [1, 2], [[1.0]], [["1"]], [[True]], [[1], [1, 2]], [[[]]], {}, 7, [[1], 2],
     {"outputs": TWO, "attempts": 3}, {"outputs": TWO, "attempts": True}, {"outputs": []}, "[[1, 2]", [[1, None]]],
)  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge("<answer>[[1]]</answer>", gold, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("\n[[3, 0, 1],\n [0, 5, 0]]\n", True),
        ("so [[3, 0, 1], [0, 5, 0]] it is", True),
        ("[[3.9, 0, 1], [0, 5, 0]]", True),
        ('[["3", 0, 1], [0, 5, 0]]', True),
        ("[ [3, 0, 1], [0, 5, 0] ]", False),
        ("[[1]] [[3, 0, 1], [0, 5, 0]]", False),
        ("[[3, 0, 1], [0, 5]]", False),
        ("3 0 1\n0 5 0", False),
        ("[[1e400, 0, 1], [0, 5, 0]]", False),
        ("3, 0, 1], [0, 5, 0]]", False),
        ("[[3, 0, 1], [0, 5, 0]" + " " * 200_000 + "]]", False),
    ],
)
def test_guru_is_the_published_rule(answer: str, right: bool) -> None:
    assert judge(f"<answer>{answer}</answer>", profile=Profile.GURU).correct is right


CELLS = st.integers(0, 9)
GRIDS = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(GRIDS, GRIDS)
def test_equal_exactly_when_the_cells_are(gold: list[list[int]], grid: list[list[int]]) -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in grid)
    for answer in (json.dumps(grid), json.dumps(grid, indent=2), repr(grid), rows, rows.replace(" ", "")):
        assert judge(f"<answer>{answer}</answer>", gold).correct is (gold == grid)
        assert judge(f"<answer>{answer}</answer>", grid).correct is True


@given(
    st.text(max_size=80) | st.text("[](),0123456789 .\n-'\"{}", max_size=80), st.sampled_from(list(Profile))
)
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile) -> None:
    for gold in (GOLD, TWO, ATTEMPTS):
        outcome = judge(f"<answer>{text}</answer>", gold, profile)
        assert outcome.status is Status.SCORED
        assert outcome == judge(f"<answer>{text}</answer>", gold, profile)
        assert judge(text, gold, profile).status is Status.SCORED


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(Item(SOURCE, "<answer>[[1]]</answer>", GOLD, {}, source=SOURCE, explain=True))
    assert asked.trace["gold"] == ["[[3,0,1],[0,5,0]]"]
    assert not judge("<answer>[[1]]</answer>").trace
