"""Multiple choice: where a letter counts as the answer, and where it doesn't."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

SOURCE = "stem__gpqa_diamond"
OPTIONS = {"options": ["it rises", "it stays", "it falls", "it swings"]}
QUESTION = {
    "question": "What does the needle do?\n(A) it rises\n(B) it stays\n(C) it falls\n(D) it swings\n\nBox it."
}


def judge(
    response: str, gold: Any = "C", extra: dict[str, Any] | None = None, *, source: str = SOURCE,
    profile: Profile = Profile.STRICT,
) -> Outcome:  # fmt: skip
    route = load().route(source)
    assert route is not None
    return route.handler.plan(
        Item(route.data_source, response, gold, extra or {}, profile, route.source.name)
    )


BOXED = [
    r"\boxed{C}",
    r"$\boxed{C}$.",
    r"\boxed{(C)}",
    r"\boxed{C.}",
    r"\boxed{ C }",
    r"\boxed{{C}}",
    r"\boxed{[C]}",
    r"\boxed{\text{C}}",
    r"\boxed{\textbf{(C)}}",
    r"\boxed{\mathrm{C}}",
    r"\boxed{\bf C}",
    r"\boxed{\text{Option } C}",
    r"\boxed{\text{Answer: }C}",
    r"\boxed{\text{The answer is C}}",
    r"\boxed{**C**}",
    r"\boxed{c}",
    r"\boxed{Ｃ}",
    r"\boxed{C. it falls}",
    r"\boxed{C: \text{it falls}}",
    r"\boxed{C\text{ (it falls)}}",
    r"\boxed{\textbf{C}\ \text{(it falls)}}",
    r"\boxed{\text{C – it falls}}",
    r"\boxed{\color{red}{C}}",
    r"\boxed{\Large C}",
    r"\boxed{(C)\ \text{it falls}}",
    r"\boxed{C) It falls.}",
    r"\fbox{C}",
    "\\boxed{\n  C\n}",
    "<answer>C</answer>",
    "<answer>\n(C) it falls\n</answer>",
    r"<answer>\boxed{C}</answer>",
    r"Option A is tempting. The answer is \boxed{C}, because A would need a field.",
    r"<think>first \boxed{A}</think>\boxed{C}",
    r"\boxed{C}<|im_end|>",
    "\\boxed{C}\n\nSo the correct answer is C) it falls.",
    "\\boxed{C}\n\nThe answer is not A, since the field is off. Option D is wrong.",
    "\\boxed{C}\n\nA common wrong answer is D.",
    r"maybe \boxed{A}. No: \boxed{C}",
    r"\boxed{A}. Wait, the sign was wrong, hence \boxed{C}",
    r"It isn't A but \boxed{C}.",
    r"Answer: \boxed{C} (I used \boxed as you asked)",
    "Answer: C\n\\boxed{C}",
]

STATED = [
    "The answer is (C).",
    "the answer is C",
    "The answer is C because A or D would need a field.",
    "The answer is C, not D.",
    "The answer is C rather than D.",
    "Answer: C",
    "ANSWER: C",
    "answer: c",
    "Answer - C",
    "Answer: $C$",
    "Answer: [C]",
    "Answer: **C**",
    "**Answer:** C",
    "**Answer: C**",
    "**Answer**: (C) it falls",
    r"Answer: \text{(C)}",
    "Final Answer: The final answer is C",
    "### Final Answer\n\n**C**",
    "## Answer:\n\n(C) it falls",
    "The correct answer is **C. it falls**",
    "The correct option is C.",
    "The correct choice is (C) because the others ignore drag.",
    "Therefore, the answer is: C) it falls",
    "The answer is therefore **(C)**.",
    "The correct answer to this question is (C).",
    "The correct answer is most likely (C).",
    "So the best answer is option C.",
    "The answer is D? No, the field is off. The answer is C.",
    "Answer: A. But the field is off, so let me redo it.\nAnswer: C",
    "Answer: C\n\nThe answer agrees with the experiment.",
    "Option C is the correct answer.",
    "Therefore, option (C) is correct.",
    "(C) it falls is the right answer.",
    "So I choose C.",
    "Answer：C",
    "The answer has to be C.",
    "The correct answer choice is C.",
    "The correct statement is C.",
    "The closest option is C.",
    "**C** is the correct answer.",
    "Among the four, C is correct.",
    "This corresponds to option (C).",
    "The field is off. Hence (C).",
    "Therefore, C.",
    "**Option C**",
    "Answer: C\n```",
    "C",
    "(C)",
    "**C**",
    "Let us see.\n\n**C**",
    "Let us see.\n\nC. it falls",
]


@pytest.mark.parametrize("response", [*BOXED, *STATED])
@pytest.mark.parametrize("extra", [{}, OPTIONS, QUESTION], ids=["bare", "options", "question"])
def test_accepts(response: str, extra: dict[str, Any]) -> None:
    outcome = judge(response, extra=extra)
    assert (outcome.score, outcome.reason, outcome.extracted) == (1.0, Reason.EQUAL, "C")


REJECTED = [
    (r"\boxed{D}", Reason.NOT_EQUAL),
    ("The answer is D.", Reason.NOT_EQUAL),
    (r"\boxed{C}. Actually no, \boxed{D}", Reason.NOT_EQUAL),
    ("The answer is C. On reflection the answer is D.", Reason.NOT_EQUAL),
    (r"\boxed{Z}", Reason.NOT_EQUAL),
    (r"\boxed{C, D}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C \text{ or } D}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C/D}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C D}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{A and C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\{C, D\}}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{ABCD}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C. it falls D. it swings}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\text{either } C \text{ or } D}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\text{not } C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\text{C is incorrect}}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\text{anything but } C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{\text{maybe } C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C?}", Reason.AMBIGUOUS_ANSWER),
    (r"Is it \boxed{C}?", Reason.AMBIGUOUS_ANSWER),
    (r"It can't be \boxed{C}", Reason.AMBIGUOUS_ANSWER),
    (r"The answer is not \boxed{C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C} is wrong", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{C} or D", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{D} \boxed{C}", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{D} or \boxed{C}", Reason.AMBIGUOUS_ANSWER),
    ("Answer: D\n\\boxed{C}", Reason.AMBIGUOUS_ANSWER),
    ("\\boxed{C}\nSo the answer is D.", Reason.AMBIGUOUS_ANSWER),
    ("\\boxed{D}\nSo the answer is C.", Reason.AMBIGUOUS_ANSWER),
    ("\\boxed{C}. In fact the answer is not C.", Reason.AMBIGUOUS_ANSWER),
    ("The answer is C or D.", Reason.AMBIGUOUS_ANSWER),
    ("The answer is not C.", Reason.AMBIGUOUS_ANSWER),
    ("The answer is perhaps C.", Reason.AMBIGUOUS_ANSWER),
    ("Answer: C is wrong", Reason.AMBIGUOUS_ANSWER),
    ("Answer: A\nAnswer: B\nAnswer: C", Reason.AMBIGUOUS_ANSWER),
    (r"\boxed{}", Reason.NO_ANSWER),
    ("Answer: C \\boxed{}", Reason.NO_ANSWER),
    (r"Answer: C \boxed{C", Reason.NO_ANSWER),
    (r"<think>\boxed{C}", Reason.NO_ANSWER),
    ("", Reason.NO_ANSWER),
    ("I cannot decide.", Reason.NO_ANSWER),
    ("Another possible answer is C.", Reason.NO_ANSWER),
    ("If the answer is C, then the needle falls.", Reason.NO_ANSWER),
    ("Options A, B and C look fine.", Reason.NO_ANSWER),
    ("I would never choose C", Reason.NO_ANSWER),
    ("This rules out option C.", Reason.NO_ANSWER),
    ("This does not match option C.", Reason.NO_ANSWER),
    ("Option C is not correct, and D is.", Reason.NO_ANSWER),
    ("The incorrect option is C.", Reason.NO_ANSWER),
    ("So, not C.", Reason.NO_ANSWER),
    ("Therefore, C or D.", Reason.NO_ANSWER),
    ("The needle is like vitamin C", Reason.NO_ANSWER),
    ("Statement D is true and C is correct, and D is correct.", Reason.AMBIGUOUS_ANSWER),
    ("The list again:\nA. it rises\nB. it stays\nC. it jumps", Reason.NO_ANSWER),
    (r"\boxed{?}", Reason.MALFORMED_ANSWER),
    (r"\boxed{\text{CAPACITY}}", Reason.MALFORMED_ANSWER),
    (r"\boxed{\text{A BAD QUESTION}}", Reason.MALFORMED_ANSWER),
    (r"\boxed{C = 5}", Reason.MALFORMED_ANSWER),
    (r"\boxed{C_1}", Reason.MALFORMED_ANSWER),
    (r"\boxed{C\text{-}H}", Reason.MALFORMED_ANSWER),
    (r"\boxed{" + "C " * 4_000 + "}", Reason.MALFORMED_ANSWER),
]  # fmt: skip


@pytest.mark.parametrize(("response", "reason"), REJECTED)
@pytest.mark.parametrize("extra", [{}, OPTIONS], ids=["bare", "options"])
def test_rejects(response: str, reason: Reason, extra: dict[str, Any]) -> None:
    outcome = judge(response, extra=extra)
    assert (outcome.score, outcome.reason) == (0.0, reason)


@pytest.mark.parametrize(
    ("response", "extra", "right"),
    [
        (r"\boxed{it falls}", OPTIONS, True),
        (r"\boxed{\text{It falls.}}", OPTIONS, True),
        ("The answer is it falls.", OPTIONS, True),
        ("It falls.", QUESTION, True),
        (r"\boxed{it falls}", {}, False),
        (r"\boxed{it rises}", OPTIONS, False),
        (r"\boxed{it falls and it rises}", OPTIONS, False),
        (r"\boxed{C. it rises}", OPTIONS, False),
        (r"\boxed{A. it falls}", OPTIONS, False),
        ("The answer is (C) it rises", OPTIONS, False),
        (r"\boxed{C. it falls slowly}", OPTIONS, True),
        (r"\boxed{C it falls}", OPTIONS, True),
        (r"\boxed{C it falls}", {}, True),
        (r"\boxed{C vitamins}", OPTIONS, False),
        (r"\boxed{it falls}", {"options": ["x", "it falls", "it falls"]}, False),
        (r"\boxed{x}", {"options": {"A": "y", "C": "x"}}, True),
        (r"\boxed{x}", {"options": '["z", "y", "x"]'}, True),
        (r"\boxed{x}", {"choices": {"label": ["A", "B", "C"], "text": ["z", "y", "x"]}}, True),
        (r"\boxed{x}", {"options": ["A. z", "B. y", "C. x"]}, True),
        (r"\boxed{12}", {"options": [10, 11, 12.0, 12]}, False),
        (r"\boxed{Aa}", {"options": ["AA", "aa", "Aa"]}, True),
        (r"\boxed{aA}", {"options": ["AA", "aa", "Aa"]}, False),
        (r"\boxed{c}", {"options": ["b", "c", "d"]}, False),
        (r"\boxed{C. B and A}", {"options": ["B", "A", "B and A"]}, True),
        (r"\boxed{\frac{1}{2}}", {"options": ["1", "2", "$\\frac{1}{2}$"]}, True),
        (r"\boxed{C}", {"options": 7}, True),
        (r"\boxed{C}", {"options": []}, True),
    ],
)
def test_option_texts(response: str, extra: dict[str, Any], right: bool) -> None:
    assert judge(response, extra=extra).correct is right


def test_the_last_list_of_options_in_a_question_counts() -> None:
    shots = {"question": "Q1\nA) up\nB) down\nC) left\n\nQ2\nA) left\nB) up\nC) down"}
    assert judge(r"\boxed{down}", extra=shots).correct
    assert not judge(r"\boxed{left}", extra=shots).correct


@pytest.mark.parametrize("gold", ["C", "c", "(C)", "C.", " C ", "C. it falls", "it falls"])
def test_ground_truth_forms(gold: str) -> None:
    assert judge(r"\boxed{C}", gold, OPTIONS).correct
    assert not judge(r"\boxed{D}", gold, OPTIONS).correct


@pytest.mark.parametrize("gold", [None, "", " ", 2, True, ["C"], {"C": 1}, "CD", "it jumps", "E"])
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge(r"\boxed{C}", gold, OPTIONS, profile=profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_letters_go_to_z() -> None:
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        assert judge(f"\\boxed{{{letter}}}", letter).correct
        assert judge(f"The answer is ({letter}).", letter).correct
        assert judge(f"The answer is {letter}", letter).correct


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        ("stem__gpqa", "stem__gpqa"),
        ("gpqa_diamond", "stem__gpqa_diamond"),
        ("stem__gpqa_diamond_no_box", "stem__gpqa_diamond_no_box"),
        ("gpqa_diamond_no_box", "stem__gpqa_diamond_no_box"),
        ("stem__gpqa_extended_no_box_198", "stem__gpqa_extended_no_box_198"),
        ("gpqa_main", "gpqa_main"),
        ("supergpqa", "stem__supergpqa"),
        ("m-a-p/SuperGPQA", "stem__supergpqa"),
        ("MMLU-Pro", "stem__mmlu_pro"),
        ("mmlu_redux", "mmlu_redux"),
        ("stem__mmlu_stem", "stem__mmlu_stem"),
        ("mcq", "choice"),
    ],
)
def test_names(source: str, canonical: str) -> None:
    route = load().route(source)
    assert route is not None
    assert (route.handler.name, route.data_source) == ("choice", canonical)


@pytest.mark.parametrize(
    ("response", "gold", "right"),
    [
        (r"\boxed{C}", "C", True),
        (r"<think>\boxed{D}</think> \boxed{C}", "C", True),
        (r"\boxed{not C}", "C", True),
        (r"\boxed{C, D}", "C", True),
        (r"\boxed{\text{Answer: C}}", "A", True),
        (r"\boxed{\text{Answer: C}}", "C", False),
        (r"\boxed{c}", "C", False),
        (r"\boxed{K}", "K", False),
        ("Final Answer: C\n", "C", True),
        ("Final Answer: C", "C", False),
        ("The answer is: (C)\n", "C", True),
        ("The answer is C\n", "C", False),
        ("Answer: C\n", "C", False),
        ("no idea", "C", False),
        (r"\boxed{}", "C", False),
    ],
)
def test_guru_is_the_published_rule_without_its_guess(response: str, gold: str, right: bool) -> None:
    assert judge(response, gold, profile=Profile.GURU).correct is right


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("Answer: C", True),
        ("answer : $C", True),
        ("Answer: C\nAnswer: D", True),
        ("Answer: D\nAnswer: C", False),
        ("Answer: Copper", True),
        (r"\boxed{C}", False),
        ("The answer is C", False),
    ],
)
def test_guru_without_a_box(response: str, right: bool) -> None:
    assert judge(response, source="stem__gpqa_no_box", profile=Profile.GURU).correct is right


def test_guru_judges_sources_that_it_never_had_as_strict_does() -> None:
    assert not judge(r"\boxed{not C}", source="mmlu_pro", profile=Profile.GURU).correct
    assert judge("Answer: C", source="mmlu_pro", profile=Profile.GURU).correct


def test_flags_several_answers() -> None:
    assert judge(r"\boxed{A}. No, since it falls: \boxed{C}").flags == ("multiple_answers",)
    assert judge(r"\boxed{C, D}").flags == ("multiple_answers",)
    assert judge(r"\boxed{C} and again \boxed{C}").flags == ()


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(Item(SOURCE, r"\boxed{D}", "C", OPTIONS, source=SOURCE, explain=True))
    assert asked.trace == {"gold": "C", "options": ["A", "B", "C", "D"]}
    assert not judge(r"\boxed{D}").trace


@given(st.text(max_size=80), st.sampled_from(list(Profile)), st.sampled_from([{}, OPTIONS]))
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile, extra: dict[str, Any]) -> None:
    for response in (text, f"\\boxed{{{text}}}", f"The answer is {text}"):
        outcome = judge(response, extra=extra, profile=profile)
        assert outcome.status is Status.SCORED
        assert outcome == judge(response, extra=extra, profile=profile)


@given(st.text(alphabet="BCD ,/or.()not", max_size=12))
def test_whatever_a_statement_says_at_most_one_letter_is_paid_for_it(text: str) -> None:
    for response in (f"\\boxed{{{text}}}", f"Answer: {text}", text):
        paid = [gold for gold in "ABCD" if judge(response, gold).correct]
        assert len(paid) <= 1
        assert all(gold in response for gold in paid)


HOSTILE = {
    "unclosed boxes": r"\boxed{" * 40_000,
    "boxes": r"\boxed{C} or " * 20_000,
    "statements": "answer: " * 30_000,
    "headings": "Answer\n" * 30_000,
    "options": "option C is " * 20_000,
    "brackets": "the answer is " + "(" * 250_000,
    "lead-in": r"\boxed{" + "the answer is " * 280 + "}",
    "blank": "the answer" + " " * 250_000 + "is C",
    "stars": "*" * 250_000 + "C",
    "negations": "not " * 60_000 + r"\boxed{C}",
    "quotes": r"\boxed{" + "\"'" * 1_990 + "}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_judged_in_bounded_time(name: str) -> None:
    with cpu_within(1.5):
        assert judge(HOSTILE[name], extra=OPTIONS).status is Status.SCORED


@pytest.mark.parametrize("profile", Profile)
def test_the_examples_of_the_sources_are_paid(profile: Profile) -> None:
    for source in load().handlers["choice"].sources:
        name, example = source.name.replace("*", "_example"), source.example
        for gold, score in ((example.ground_truth, 1.0), ("D", 0.0)):
            outcome = judge(example.response, gold, dict(example.extra_info), source=name, profile=profile)
            assert outcome.score == score, source.name
