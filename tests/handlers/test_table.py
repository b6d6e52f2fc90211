"""Answers to table questions: what is accepted, what is rejected, what is hostile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers import table
from reward_service.handlers._table_answer import normal_text, undress
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within


def say(answer: str) -> str:
    return f"The table lists it in the third row.\n\nThe final answer is \\boxed{{{answer}}}."


def judge(
    response: str, gold: Any, source: str = "hitab", profile: Profile = Profile.STRICT, **extra: Any
) -> Outcome:
    return table.plan(Item(f"table__{source}", response, gold, extra, profile, f"table__{source}"))


def right(answer: str, gold: Any, source: str = "hitab", **extra: Any) -> bool:
    outcome = judge(say(answer), gold, source, **extra)
    assert outcome.status is Status.SCORED, outcome
    return outcome.score == 1.0


# ---------------------------------------------------------------- dress

DRESSES = [
    "{}", " {} ", "\n{}\n", "{}.", "**{}**", "`{}`", '"{}"', "'{}'", "“{}”", "${}$", r"\({}\)", r"\text{{{}}}", r"\textbf{{{}}}",
    r"\mathrm{{{}}}", r"\mathbf{{\text{{{}}}}}", r"\text{{**{}**}}", r"\boxed{{{}}}", "Answer: {}", "The final answer is {}", r"\text{{{}}}.",
]  # fmt: skip


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("gold", ["Total Workers", "72", "4303.0", "Paris|Rome", "no", "June 28, 1998"])
def test_dress_is_taken_off(dress: str, gold: str) -> None:
    assert right(dress.format(gold), gold)
    assert not right(dress.format("Someone Else"), gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (r"4{,}303", "4303.0"),
        (r"4,\!303", "4303"),
        (r"4\,303", "4303"),
        ("4 303", "4303"),
        ("4\u00a0303", "4303"),
        ("４３０３", "4303"),
        (r"\approx 14.5", "14.5"),
        (r"\approx\mathbf{14.5}", "14.5"),
        ("~14.5", "14.5"),
        ("−5.2", "-5.2"),
        ("–5.2", "-5.2"),
        ("(5.2)", "-5.2"),
        (r"(\$5.2)", "-5.2"),
        (r"\$4{,}040", "4040.0"),
        ("1.758 \\times 10^{3}", "1758"),
        ("three", "3"),
        ("15-19", "15 to 19"),
        ("20\\text{ to }39", "20 to 39"),
        ("1940–41", "1940-41"),
        ("3-0", "3 - 0"),
        (r"R\&D grants", "R&D grants."),
        (r"\text{Jerel\ Myers}", "Jerel Myers"),
        ("Jerel   Myers", "jerel myers"),
        ("Sean McLoughlin", "Seán McLoughlin"),
        ("Never Tell", '"Never Tell"'),
        ("Mötley Crüe", "motley crue"),
        ("ß", "ss"),
    ],
)
def test_the_same_in_other_writing(answer: str, gold: str) -> None:
    assert right(answer, gold)


# ---------------------------------------------------------------- wrong answers


@pytest.mark.parametrize("gold", ["14.5", "4303.0", "72", "Total Workers", "married", "2019"])
@pytest.mark.parametrize(
    "spoiled",
    [
        "not {}", "{} or 11", "{} or women", "either {} or 3", "{}, 80.28", "{}|80.28", "{}; 80.28", "{} and others", "{} + 1", "{}?",
        "maybe {}", "{} (or 5)", "between {} and 90", "{} = 12", "-{}", "{}{}", "{} {}", "[{}, 5]", "", " ", r"\text{{}}", "{{}}",
        "anything but {}", "{} -> 12", "{}/2", "sqrt({})", "ground_truth", "any",
    ],
)  # fmt: skip
def test_hedges_lists_negations_and_sums_are_wrong(spoiled: str, gold: str) -> None:
    assert not right(spoiled.format(gold, gold), gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("2018", "2019"),
        ("1000900", "1000000"),
        ("145", "14.5"),
        ("1450", "14.5"),
        ("0.145", "14.5"),
        ("0.145%", "14.5"),
        ("14.6", "14.5"),
        ("41.5", "14.5"),
        ("37.4359", "0.374359"),
        ("5.2", "(5.2)"),
        ("10²", "102"),
        ("½", "12"),
        ("maes", "males"),
        ("parent(s) with child", "parent(s) with child(ren)"),
        ("Jerel", "Jerel Myers"),
        ("August 2005", "27 August 2005"),
        ("August 28, 2005", "27 August 2005"),
        ("27 August 2006", "27 August 2005"),
        ("true", "no"),
        ("nope", "no"),
        ("unknown", "no"),
    ],
)
def test_wrong_values(answer: str, gold: str) -> None:
    assert not right(answer, gold)


# ---------------------------------------------------------------- where the answer is


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (r"\boxed{72}", Reason.EQUAL),
        (r"First \boxed{71}, but after checking it is \boxed{72}.", Reason.EQUAL),
        (r"We get \boxed{72}. Correction: \boxed{71}", Reason.NOT_EQUAL),
        (r"<think>\boxed{71}?</think>The answer: \boxed{72}", Reason.EQUAL),
        (r"<think>\boxed{72}?</think>I don't know.", Reason.NO_ANSWER),
        (r"<think>it must be \boxed{72}", Reason.NO_ANSWER),
        (r"\boxed{72}<|im_end|>", Reason.EQUAL),
        (r"\boxed{71} \boxed{72}", Reason.AMBIGUOUS_ANSWER),
        (r"\boxed{71}, \boxed{72}", Reason.AMBIGUOUS_ANSWER),
        (r"\boxed{72}, \boxed{71}", Reason.AMBIGUOUS_ANSWER),
        (r"\boxed{72}, \boxed{72}", Reason.EQUAL),
        (r"\boxed{}", Reason.NO_ANSWER),
        (r"\boxed{72} then \boxed{}", Reason.NO_ANSWER),
        (r"\boxed{71} and \boxed{72", Reason.MALFORMED_ANSWER),
        (r"\boxed{72} and \boxed{7", Reason.MALFORMED_ANSWER),
        (r"\boxed{seventy-two wins}", Reason.MALFORMED_ANSWER),
        ("\\boxed{72}\nFinal answer: 73", Reason.AMBIGUOUS_ANSWER),
        ("\\boxed{72}\nFinal answer: **72**", Reason.EQUAL),
        ("\\boxed{72}\nThe answer is rounded to a whole number.", Reason.EQUAL),
        ("", Reason.NO_ANSWER),
        ("72", Reason.NO_ANSWER),
        ("I looked at 72 rows.", Reason.NO_ANSWER),
        ("The answer is 72.", Reason.EQUAL),
        ("So.\n\n**Final Answer: 72**", Reason.EQUAL),
        ("So.\n\n## Final Answer\n\n**72**", Reason.EQUAL),
        ("The answer is 72.\nOr so I think.", Reason.NO_ANSWER),
        ("The answer is 72 or 73.", Reason.AMBIGUOUS_ANSWER),
        ("The answer is not 72.", Reason.AMBIGUOUS_ANSWER),
        ("| a | b |\n|---|---|\n| 71 | 72 |\n| 73 | 74 |", Reason.NO_ANSWER),
    ],
)
def test_extraction(response: str, reason: Reason) -> None:
    assert judge(response, "72").reason is reason


# ---------------------------------------------------------------- percent, scale, currency, units


@pytest.mark.parametrize(
    ("source", "gold", "answer", "extra", "expected"),
    [
        # percent points: HiTab, TAT-QA, TableBench
        ("hitab", "14.5", "14.5%", {"question": "what percentage of men?"}, True),
        ("hitab", "14.5", r"14.5\%", {}, True),
        ("hitab", "14.5", r"14.5\text{ percent}", {"percent_question": True}, True),
        ("hitab", "14.5", "14.5 percentage points", {}, True),
        ("hitab", "4303.0", "4303%", {"question": "how many yards did he run?"}, False),
        ("hitab", "0.374359", "37.4359%", {"question": "what percentage?"}, True),
        ("hitab", "0.374359", "37.4359", {"question": "what percentage?"}, False),
        ("hitab", "0.8", "80%", {"question": "what percentage?"}, False),
        ("tatqa", "32.69", "32.69%", {"scale": "percent"}, True),
        ("tatqa", "32.69", "0.3269", {"scale": "percent"}, False),
        ("tatqa", "1,758", "1758%", {"scale": "million"}, False),
        ("tablebench", "69.75%", "69.75", {}, True),
        ("tablebench", "69.75%", "69.75%", {}, True),
        ("tablebench", "69.75%", "0.6975%", {}, False),
        ("tablebench", "69.75%", "0.6975", {}, False),
        # ratios: FinQA
        ("finqa", 0.14336, "14.336%", {}, True),
        ("finqa", "0.14336", "14.3%", {}, True),
        ("finqa", "0.14336", "14%", {}, False),
        ("finqa", "0.14336", "0.14336%", {}, False),
        ("finqa", "0.14336", "14.34", {"question": "what percentage of sales?"}, True),
        ("finqa", "0.14336", "14.34", {"question": "what was the growth rate?"}, False),
        ("finqa", "0.14336", "14.34", {}, False),
        ("finqa", "0.14336", "1434", {"question": "what percentage of sales?"}, False),
        ("finqa", "76.5", "76.5%", {"question": "what was the percentage growth?"}, True),
        ("finqa", "76.5", "7650", {"question": "what was the percentage growth?"}, False),
        ("finqa", "1.66387", "166.4%", {}, True),
        ("finqa", "10.5%", "10.5%", {}, True),
        ("finqa", "10.5%", "0.105", {}, True),
        ("finqa", "10.5%", "1050", {}, False),
        # either: MultiHiertt
        ("multihier", "56.41", "56.41%", {"question": "what percentage of revenue?"}, True),
        ("multihier", "56.41", "0.5641%", {"question": "what percentage of revenue?"}, False),
        ("multihier", "0.15641", "15.641%", {"question": "what percent of the change?"}, True),
        ("multihier", "0.15641", "0.15641%", {"question": "what percent of the change?"}, False),
        ("multihier", "0.15641", "15.641", {"question": "what percent of the change?"}, False),
        # scales
        ("tatqa", "1,758", "1758", {"scale": "million"}, True),
        ("tatqa", "1,758", "1,758 million", {"scale": "million"}, True),
        ("tatqa", "1,758", r"\$1,758\text{ million}", {"scale": "million"}, True),
        ("tatqa", "1,758", "1.758 billion", {"scale": "million"}, True),
        ("tatqa", "1,758", "1,758,000,000", {"scale": "million"}, True),
        ("tatqa", "1,758", "1758000", {"scale": "million"}, False),
        ("tatqa", "1,758", "1758 thousand", {"scale": "million"}, False),
        ("tatqa", "1,758", "1758 billion", {"scale": "million"}, False),
        ("tatqa", "1,758", "1758 million", {"scale": ""}, False),
        ("tatqa", "1,758", "1758 million", {}, False),
        ("tatqa", "103493.33", "103.493 million", {"scale": "thousand"}, True),
        ("tatqa", "103493.33", "103493.333", {"scale": "thousand"}, True),
        ("tatqa", "103493.33", "103,493,333", {"scale": "thousand"}, True),
        ("tatqa", "2.7", "2.73", {"scale": "percent"}, False),
        ("tatqa", "$14.8 billion", "$14.8 billion", {}, True),
        ("tatqa", "$14.8 billion", "14,800 million", {}, True),
        ("tatqa", "$14.8 billion", "$14.8 billion", {"question": "What share did the growth have?"}, True),
        ("tatqa", "$14.8 billion", "14.8% billion", {}, False),
        ("finqa", "1957000", "1.957 million", {"question": "what was paid, a percentage of sales?"}, True),
        ("finqa", "5%", "5 million", {}, False),
        ("tatqa", "$14.8 billion", "$14.8", {"scale": "billion"}, False),
        ("tatqa", ["2,929", "2,370"], "2,929 thousand | 2,370 thousand", {"scale": "thousand"}, True),
        ("finqa", "158.0", "$158 million", {"question": "what was the change, in millions?"}, True),
        ("finqa", "158.0", "$158 thousand", {"question": "what was the change, in millions?"}, False),
        ("finqa", "158.0", "158000000", {"question": "what was the change, in millions?"}, False),
        ("wtq", "1957000", "1.957 million", {}, True),
        # currency and units
        ("tatqa", "$64,000", "64000", {}, True),
        ("tatqa", "$64,000", "USD 64,000", {}, True),
        ("tatqa", "$64,000", "€64,000", {}, False),
        ("tatqa", "25 days", "25 days", {}, True),
        ("tatqa", "25 days", "25", {}, False),
        ("hitab", "368.0", "368 yards", {"question": "how many rushing yards in 2000?"}, True),
        ("hitab", "368.0", "368 games", {"question": "how many rushing yards in 2000?"}, False),
        ("hitab", "368.0", "368 or", {"question": "yards or games?"}, False),
        # articles
        ("tatqa", "the carrying value of goodwill", "carrying value of the goodwill", {}, True),
        ("tatqa", "Class A common stock", "Class common stock", {}, False),
        ("hitab", "the other half", "other half", {}, False),
        # dates
        ("wtq", "Dec. 17, 2007", "2007-12-17", {}, True),
        ("wtq", "18 October", "October 18th", {}, True),
        ("wtq", "18 October", "October 18, 2019", {}, False),
        ("wtq", "February 1795", "Feb 1795", {}, True),
        # yes and no, entailed and refuted
        ("finqa", "False", "no", {}, True),
        ("finqa", True, "yes", {}, True),
        ("tabfact", 1, "entailed", {}, True),
        ("tabfact", "refuted", "False", {}, True),
        ("tabfact", 0, "not entailed", {}, False),
        ("tabfact", 0, "entailed or refuted", {}, False),
        ("wtq", 1, "entailed", {}, False),
    ],
)  # fmt: skip
def test_conventions(source: str, gold: Any, answer: str, extra: dict[str, Any], expected: bool) -> None:
    assert right(answer, gold, source, **extra) is expected


def test_a_whole_prompt_as_question_is_searched_only_where_it_asks() -> None:
    prompt = "| share in percent |\n" * 100 + "Text. What was the growth rate in 2016?\nPut it in a box."
    assert not right("14.34", "0.14336", "finqa", question=prompt)
    assert right("14.34", "0.14336", "finqa", question=prompt.replace("growth rate", "percentage"))


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize(
    "answer",
    [
        "Paris|Rome", "Rome|Paris", " Rome | Paris ", r"Rome \mid Paris", r"\text{Rome} | \text{Paris}", r"\text{Rome | Paris}", "ROME|PARIS",
        '["Rome", "Paris"]', "['Rome', 'Paris']", "[Rome, Paris]", "Rome, Paris", "Rome; Paris", "Rome and Paris", "Rome & Paris",
        "Rome,Paris", "- Rome\n- Paris", "1. Rome\n2. Paris", r"\text{Rome} \\ \text{Paris}", "**Rome**|**Paris**",
    ],
)  # fmt: skip
@pytest.mark.parametrize("gold", ["Paris|Rome", ["Paris", "Rome"], '["Paris", "Rome"]', "['Paris', 'Rome']"])
def test_lists_have_no_order_and_many_spellings(answer: str, gold: Any) -> None:
    assert right(answer, gold)


@pytest.mark.parametrize(
    "answer",
    [
        "Paris",
        "Rome",
        "Paris|Paris",
        "Paris|Rome|Berlin",
        "Paris|Rome or Berlin",
        "Paris|Berlin",
        "Paris|",
        "not Paris|Rome",
        "Paris Rome",
        "Paris or Rome",
    ],
)
def test_lists_are_matched_one_to_one(answer: str) -> None:
    assert not right(answer, "Paris|Rome")


def test_lists_in_other_shapes() -> None:
    assert judge(r"Answers: \boxed{Rome}, \boxed{Paris}", "Paris|Rome").correct
    assert not judge(r"Answers: \boxed{Rome}, \boxed{Rome}", "Paris|Rome").correct
    assert right("Paris|Paris", "Paris|Paris") and not right("Paris", "Paris|Paris")
    assert right("2,929, 2,370", "2,929|2,370")
    assert right("runs, innings", "innings, runs", "tablebench")
    assert not right("runs, innings", "innings, runs", "hitab")
    assert right("June 28, 1998", "June 28, 1998", "tablebench")
    assert not right("1998, June 28", "June 28, 1998", "tablebench")
    assert right("Oslo, Norway, Rome", "Rome|Oslo, Norway")
    assert right("trade and transport, mining and fishing", "mining|trade and transport|fishing")
    # Rounding makes equality non-transitive: the first answer fits both golds, the second only one.
    assert right("1.50|1.499", "1.499|1.5012") and not right("1.50|1.7", "1.499|1.5012")


# ---------------------------------------------------------------- rows, errors, explanations


@pytest.mark.parametrize(
    "gold",
    [
        None,
        "",
        "  ",
        [],
        {},
        {"a": 1},
        [[1]],
        [None],
        [{}],
        "a||b",
        "|",
        float("nan"),
        float("inf"),
        ["x"] * 300,
    ],
)
@pytest.mark.parametrize("profile", list(Profile))
def test_malformed_ground_truth_is_an_error(gold: Any, profile: Profile) -> None:
    for response in ("", r"\boxed{}", r"\boxed{nan}", say("x")):
        outcome = judge(response, gold, profile=profile)
        assert outcome.reason is Reason.MALFORMED_GROUND_TRUTH and outcome.score is None


def test_a_gold_that_is_too_long_is_an_error() -> None:
    assert judge(say("x"), "x" * 30_000).reason is Reason.MALFORMED_GROUND_TRUTH


def test_golds_of_any_json_type() -> None:
    assert right("5", 5) and right("5", 5.0) and right("5", [5]) and right("5", "[5.0]") and right("5", ["5"])
    assert right("93.7|86.9", [93.7, 86.9]) and right("0.3", 0.1 + 0.2)
    assert right("007", "007") and not right("7", "007")
    assert right("one", "One") and not right("1", "One")


def test_metadata_of_any_type_is_harmless() -> None:
    odds: list[Any] = [None, 5, [], {"a": 1}, "", "%" * 10_000, True]
    for odd in odds:
        assert right("72", "72", "tatqa", question=odd, scale=odd, percent_question=odd)


def test_extracted_and_detail_never_show_the_gold() -> None:
    outcome = judge(say("41"), "12345.678", question="how many?")
    assert outcome.extracted == "41" and "12345" not in repr(outcome.detail) and not outcome.trace
    explained = table.plan(Item("table__hitab", say("41"), "12345.678", explain=True))
    assert "12345678" in repr(explained.trace)


def test_flags() -> None:
    assert judge(say("__import__('os')._exit(0)"), "72").flags == ("answer_injection",)
    assert judge(say("72|73|74"), "72").flags == ("multiple_answers",)
    assert judge(say("7" * 10_000), "72").flags == ("oversized_answer",)


def test_every_source_has_an_example_that_scores() -> None:
    for source in load().handlers["table"].sources:
        name = source.name.replace("*", "anything")
        outcome = table.plan(
            Item(name, source.example.response, source.example.ground_truth, source.example.extra_info)
        )
        assert outcome.correct, source


# ---------------------------------------------------------------- hostile input

HOSTILE = [
    r"\boxed{" * 30_000,
    r"\boxed{" * 30_000 + "}",
    r"\boxed{" + r"\text{" * 600 + "}" * 600 + "}",
    r"\boxed{" + "|".join(["0.5"] * 900) + "}",
    r"\boxed{" + "9" * 3_900 + "}",
    r"\boxed{" + "(" * 3_900 + "}",
    r"\boxed{" + "[" * 3_900 + "]}",
    r"\boxed{" + "a ." * 1_300 + "}",
    r"\boxed{" + "\u0344\u0315\u0323" * 1_300 + "}",
    r"\boxed{" + "\ufdfa" * 3_900 + "}",
    r"\boxed{" + "1, and " * 550 + "}",
    r"\boxed{" + "\0" * 3_900 + "}",
    "\\boxed{\0, x}",
    "\\boxed{\0" + "99\0, x}",
    r"\boxed{1}" * 20_000,
    "the final " * 25_000 + "answer is 72",
    "answer" * 40_000,
    "The answer is " + r"\text{" * 40_000,
    "the answer is " + " " * 200_000 + "72",
    r"\boxed{9**9**9}",
    r"\boxed{10^{10^{10}}}",
    r"\boxed{1e99999999}",
    "\ud800\udfff \\boxed{\ud800}",
    "</think>" * 30_000,
]


@pytest.mark.parametrize("response", HOSTILE, ids=lambda text: repr(text[:24]))
@pytest.mark.parametrize(
    "gold", ["72", "Rome, Italy|Paris", "0.5|" * 200 + "0.5"], ids=["one", "two", "many"]
)
@pytest.mark.parametrize("profile", list(Profile))
def test_hostile_responses_are_cheap_and_wrong(response: str, gold: str, profile: Profile) -> None:
    with cpu_within(1.5):
        outcome = judge(response, gold, profile=profile, question="how many?")
    assert outcome.status is Status.SCORED
    if gold != "72":
        assert outcome.score == 0.0


@given(
    st.text(max_size=300),
    st.one_of(
        st.text(max_size=40), st.integers(), st.floats(), st.none(), st.lists(st.text(max_size=9), max_size=3)
    ),
)
def test_never_raises_and_is_deterministic(text: str, gold: Any) -> None:
    for profile in Profile:
        for response in (text, say(text)):
            assert judge(response, gold, profile=profile) == judge(response, gold, profile=profile)


ANSWERS = st.from_regex(r"[A-Za-z][A-Za-z0-9 .-]{0,18}[a-z]", fullmatch=True)


@given(ANSWERS, st.sampled_from(DRESSES))
def test_a_gold_repeated_is_right_in_any_dress(gold: str, dress: str) -> None:
    assert right(dress.format(gold), gold)


@given(st.text("abcé' -.", min_size=1, max_size=6), st.text("abcé' -.", min_size=1, max_size=6))
def test_texts_are_equal_only_in_normal_form(gold: str, answer: str) -> None:
    outcome = judge(say(answer), f"town {gold}z")
    assert outcome.correct is (normal_text(undress(answer)) == normal_text(undress(f"town {gold}z")))
    assert right(f"Town {gold}Z", f"town {gold}z")


# ---------------------------------------------------------------- the published scorer


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("72", "72", True),
        ("2018", "2019", True),  # relative 1e-3
        ("1450", "14.5", True),  # x100
        ("0.145", "14.5", True),  # /100
        ("14.5%", "14.5", True),
        ("0.145%", "14.5", False),
        ("14.5 + 1", "14.5", False),
        ("7.25 * 2", "14.5", True),  # expressions are evaluated
        ("14.5 or 3", "14.5", True),  # by Python's `or`
        ("3 or 14.5", "14.5", False),
        ("(5.2)", "-5.2", False),
        (r"\text{14.5}", "14.5", False),
        ("**males**", "males", False),
        ("MALES", "males", True),
        ("males.", "males", False),
        ("4,303", "4303.0", True),
        ("4{,}303", "4303.0", False),
        ("rome|paris", "Paris|Rome", True),
        ("Rome, Paris", "Paris|Rome", False),
        ("ground_truth", "72", False),
        ("__import__('os')", "0", False),
        ("[].__class__", "0", False),
        ("9**9**9", "72", False),
        ("1/0", "0", False),
        ("(" * 90 + "1" + ")" * 90, "1", True),
        ("-" * 60 + "5", "5", False),  # bounded depth
    ],
)
def test_guru_profile(answer: str, gold: str, expected: bool) -> None:
    assert judge(say(answer), gold, profile=Profile.GURU).correct is expected


def test_guru_profile_reads_the_whole_text_without_a_box() -> None:
    assert judge("72", "72", profile=Profile.GURU).correct
    assert not judge("The answer is 72.", "72", profile=Profile.GURU).correct
    assert not judge("", "72", profile=Profile.GURU).correct
    assert judge("<think>x</think> 72 ", "72", profile=Profile.GURU).correct
