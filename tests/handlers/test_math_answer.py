"""Where the answer is: the extraction rule, what is ambiguous, and what is no answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.handlers.math import plan
from reward_service.handlers.math.answer import boxed_number, find
from reward_service.types import Item, Outcome, Reason

PI = "\\boxed{3.1}"


def judge(response: str, gold: Any = "12", source: str = "math", **extra: Any) -> Outcome:
    return plan(Item(source, response, gold, extra, source=source))


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{12}",
        "So $x=\\boxed{12}$.",
        "\\[ \\boxed{ 12 } \\]",
        "\\boxed{\n12\n}",
        "\\fbox{12}",
        "\\boxed {12}",
        "$$\\boxed{12}$$<|im_end|>",
        "\\boxed{\\boxed{12}}",
        "\\boxed{\\text{12}}",
        "\\boxed{$12$}",
        "\\boxed{12.}",
        "\\boxed{12}}",
        "\\boxed{12\\}",
        "first \\boxed{13}, but that is wrong, and after another look at the sum the result is \\boxed{12}",
        "the same twice: \\boxed{12}. Indeed, \\boxed{12}",
        "\\boxed{12} and \\boxed{12.0}",
        "<think>\\boxed{13}</think> \\boxed{12}",
        "<think>a</think><think>b</think>\\boxed{12}",
        "\\boxed{12}\nThe final answer is 12. I hope it is correct.",
        "\\boxed{12}\nAnswer: $12$",
        "\\boxed{12}\n#### 12",
        "\\boxed{12}, which is what was to be put into \\boxed{}.",
        "\\boxed{12}. So the answer is correct.",
        "\\boxed{12}, so the answer is B",
        "\\boxed{12}. The answer is in its simplest form.",
        "Answer: 12",
        "**Answer:** 12",
        "ANSWER: 12.",
        "The final answer is $12$.",
        "The answer is 12. We used the formula for the sum.",
        "The answer is \\(12\\). That is all.",
        "Answer: 11\nAnswer: 12",
        "Final Answer: The largest $n$ is 12.",
        "6 * 2 = 12\n#### 12",
    ],
)
def test_accepts(response: str) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", Reason.NO_ANSWER),
        ("12", Reason.NO_ANSWER),
        ("There are 12 apples.", Reason.NO_ANSWER),
        ("$12$", Reason.NO_ANSWER),
        ("\\boxed{12", Reason.NO_ANSWER),
        ("\\boxed12", Reason.NO_ANSWER),
        ("<think>\\boxed{12}", Reason.NO_ANSWER),
        ("<think>\\boxed{12}</think>", Reason.NO_ANSWER),
        ("\\boxed{}", Reason.NO_ANSWER),
        ("\\boxed{ }", Reason.NO_ANSWER),
        ("\\boxed{{}}", Reason.NO_ANSWER),
        ("\\boxed{\\text{}}", Reason.NO_ANSWER),
        ("\\boxed{\\boxed{}}", Reason.NO_ANSWER),
        ("\\boxed{12} or \\boxed{13}", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{13}, \\boxed{12}", Reason.AMBIGUOUS_ANSWER),
        ("$\\boxed{13}$ and $\\boxed{12}$", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{12}\nThe final answer is 13. I hope it is correct.", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{12}\nAnswer: 13", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{12}\n#### 13", Reason.AMBIGUOUS_ANSWER),
        ("Answer: 10\nAnswer: 11\nAnswer: 12", Reason.AMBIGUOUS_ANSWER),
        ("#### 10\n#### 11\n#### 12", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{12} no, it must be something else entirely, so let me say \\boxed{13}", Reason.NOT_EQUAL),
        ("Answer: 12\nAnswer: 13", Reason.NOT_EQUAL),
        ("Answer: 1 2", Reason.NOT_EQUAL),
        ("\\boxed{answer}", Reason.NOT_EQUAL),
        ("\\boxed{ground truth}", Reason.NOT_EQUAL),
    ],
)
def test_rejects(response: str, reason: Reason) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    ("gold", "response"),
    [
        ("1, 2", "\\boxed{1} and \\boxed{2}"),
        ("\\{1,2\\}", "\\boxed{2}, \\boxed{1}"),
        ("(1,2),(3,4)", "\\[\\boxed{(3,4)}, \\boxed{(1,2)}\\]"),
        ("k=45, n=2", "$\\boxed{k = 45} \\quad \\text{and} \\quad \\boxed{n = 2}$"),
        ("(3,3),(1,1)", "\\boxed{(3,3)} \\text{ for part (a) and } \\boxed{(1,1)}"),
    ],
)
def test_the_parts_of_an_answer_may_stand_in_boxes_of_their_own(gold: str, response: str) -> None:
    assert judge(response, gold).correct


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("x \\le 2", "\\boxed{x \\le 2} or \\boxed{x \\le 5}", False),
        ("x \\le 5", "\\boxed{x \\le 2} or \\boxed{x \\le 5}", True),  # both together say no more
        ("-4<m\\leq0", "\\boxed{-5<m\\leq0} or \\boxed{-4<m\\leq0}", False),
        ("(3,\\infty)", "\\boxed{x>3} or \\boxed{x>2}", False),
        ("x>3", "\\boxed{x>3} and \\boxed{x>2}", True),
        ("x<1 \\text{ or } x>2", "\\boxed{x<1} or \\boxed{x>2}", True),
        ("1, 2", "\\boxed{1} or \\boxed{2}", True),
        ("1, 2", "\\boxed{1} or \\boxed{3}", False),
    ],
)
def test_conditions_with_or_between_their_boxes_are_alternatives(
    gold: str, response: str, right: bool
) -> None:
    assert judge(response, gold).correct is right


def test_boxes_far_apart_are_not_parts() -> None:
    assert not judge(
        "\\boxed{1}. We go on with the second equation, whose root is \\boxed{2}", "1, 2"
    ).correct


@pytest.mark.parametrize(
    ("answer_format", "response", "right"),
    [
        ("boxed", "Answer: 12", False),
        ("boxed", "\\boxed{12}", True),
        ("line", "Answer: 12", True),
        ("line", "\\boxed{12}", False),
        ("hash", "#### 12", True),
        ("hash", "Answer: 12", False),
        ("any", "#### 12", True),
    ],
)
def test_a_row_may_ask_for_a_format(answer_format: str, response: str, right: bool) -> None:
    assert judge(response, answer_format=answer_format).correct is right


@pytest.mark.parametrize(
    ("source", "response", "right"),
    [
        ("openai/gsm8k", "#### 12", True),
        ("math__*", "#### 12", False),
        ("math__*", "Answer: 12", True),
        ("aime*", "Answer: 12", True),
        ("hiyouga/geometry3k", "Answer: 12", False),
        ("hiyouga/geometry3k", "\\boxed{12}", True),
    ],
)
def test_markers_follow_the_data_source(source: str, response: str, right: bool) -> None:
    assert plan(Item("any", response, "12", source=source)).correct is right


def test_several_answers_are_flagged_not_punished() -> None:
    outcome = judge("\\boxed{13}. On second thoughts, after checking the last step again: \\boxed{12}")
    assert outcome.correct
    assert outcome.flags == ("multiple_answers",)


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("so the result is 12", "12"),
        ("The length is [5.0].", "5"),
        ("not it's not 10 it's 1,000.99m²", "1000.99"),
        ("Therefore $x \\geq 5$ is the solution.", "x >= 5"),
        ("We find that $x \\lt 3$.", "x<3"),
        ("x = 3", "3"),
        ("1000,99", "1000.99"),
        ("$k = \\frac{1}{3}$", "1/3"),
        ("$28$ percent", "28\\%"),
        ("The answer is $\\sqrt{16}$", "4"),
        ("I get \\boxed{255}. But the total is more. Final Answer: The final answer is $10,455$. I hope it is correct.", "10455"),
        ("{12", "12"),
    ],
)  # fmt: skip
def test_anywhere_reads_dumps_of_models_that_box_nothing(response: str, gold: str) -> None:
    assert judge(response, gold, extraction="anywhere").correct
    assert not judge(response, gold).correct


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("so the result is 13", "12"),
        ("AZYUK2A", "2"),
        ("", "12"),
        ("!!!invalid!!!", "4"),
        ("The final answer is $(0, 1)$. I hope it is correct.", "[0,1)"),
        ("x < 5 is the solution", "x>5"),
        ("$4\\sqrt{2}$", "4"),
        ("The answer is 5", "4"),
    ],
)
def test_anywhere_is_no_wildcard(response: str, gold: str) -> None:
    assert not judge(response, gold, extraction="anywhere").correct


@settings(deadline=None)
@given(st.text(alphabet="\\boxed{}fbox 12#Answer:\n<think>/$.,", max_size=120))
def test_the_short_way_agrees_with_the_rule(text: str) -> None:
    for response in (text, text + "\\boxed{12}", "\\boxed{-12}" + text):
        short = boxed_number(response)
        if short is not None:
            found = find(response)
            assert (found.parts, found.how, found.behind, found.guesses) == ((short,), "box", None, 1)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_found_or_not(text: str) -> None:
    for response in (text, text.replace("a", "\\boxed{"), f"\\boxed{{{text}}}"):
        found = find(response)
        assert bool(found.parts) is bool(found.how)
