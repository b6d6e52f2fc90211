"""LiveBench's rule-scored tasks: each task's own rule, partial credit, and tasks that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers.livebench import PUBLISHED, TASKS
from reward_service.handlers.livebench.extract import bold
from reward_service.handlers.livebench.language import edit_distance
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

SOURCE = "ood__livebench"
TRIPLE = "yes, unknown, no"
HOBBIES = "elk, fox, hen, owl, oak, elm, ash, yew"
JOIN = {"Name": "full_name", "Born": "birth", "City": "town", "Pay": "wage"}
TEXT = "The ferry leaves at dawn, and it rarely comes back before the lamps along the quay have all been lit."
SENTENCES = ["Ida buys a boat", "She names it Storm", "The boat leaks", "A neighbour helps", "They set sail"]
PLOT = ". ".join(SENTENCES) + "."
TABLE = "Name,Age\nIda,31\nPer,44\n"


def judge(
    task: str | None,
    response: str,
    gold: Any,
    profile: Profile = Profile.STRICT,
    source: str = SOURCE,
    **extra: Any,
) -> Outcome:
    route = load().route(source)
    assert route is not None
    info = {"task": task, **extra} if task is not None else extra
    return route.handler.plan(Item(route.data_source, response, gold, info, profile, route.source.name))


def plot(*order: int) -> str:
    return "<PLOT_SUMMARY>" + ". ".join(SENTENCES[at] for at in order) + "."


def solution(text: str) -> str:
    return f"Step by step …\n<solution>{text}</solution>"


RIGHT = [
    ("web_of_lies_v2", f"So **{TRIPLE}**.", TRIPLE),
    ("web_of_lies_v2", "**Yes**, **Unknown**, **No**", TRIPLE),
    ("web_of_lies_v2", "**Reasoning:** …\n\n**Answer: yes, unknown, no**", TRIPLE),
    ("web_of_lies_v2", "**Answer:** yes, unknown, no", TRIPLE),
    ("web_of_lies_v2", "\\boxed{\\text{yes, unknown, no}}", TRIPLE),
    ("web_of_lies_v2", solution("yes, unknown, and no"), TRIPLE),
    ("web_of_lies_v2", f"<think>**no, no, no**</think>***{TRIPLE}***", TRIPLE),
    ("web_of_lies_v3", solution("\nyes, unknown, no, no\n"), "yes,unknown,no,no"),
    ("house_traversal", "**Ann, Bo, Cy**", "Ann Bo Cy"),
    ("house_traversal", "**Ann** then **Bo** then **Cy**", "Ann Bo Cy"),
    ("house_traversal", solution("Ann -> Bo -> Cy"), "Ann Bo Cy"),
    ("house_traversal", "**The answer is: Ann, Bo and Cy.**", "Ann, Bo, Cy"),
    ("zebra_puzzle", "***gardening***", "gardening"),
    ("zebra_puzzle", "***4***", "four"),
    ("zebra_puzzle", "**four**", "4"),
    ("zebra_puzzle", "***crime***", "crime movies"),
    ("zebra_puzzle", solution("Position 2, magic tricks, Thai"), "2,magic-tricks,thai"),
    ("spatial", "There are **6** of them.", "6"),
    ("spatial", "**six**", "6"),
    ("spatial", "**6**\n\n**Note:** see above.", "6"),
    ("spatial", "**Final answer:** 6", "6"),
    ("spatial", "**two tetrahedra**", "tetrahedra"),
    ("spatial", "**an equilateral triangle**", "triangle"),
    ("spatial", "**Rectangular pyramid**", "rectangular pyramid"),
    ("spatial", "2**3 is 8, minus two: **6**", "6"),
    ("cta", "Postal Code", "PostalCode"),
    ("cta", "I looked at the values.\n\n**postal_code**", "Postal Code"),
    ("cta", "The class is\n`Postal Code`.", "Postal Code"),
    ("cta", "\\boxed{\\text{Postal Code}}", "Postal Code"),
    ("tablejoin", f"```python\n{JOIN}\n```", JOIN),
    ("tablejoin", "The mapping is:\n```json\n{\n  \"Name\": \"full_name\"\n}\n```\nas asked.", {"Name": "full_name"}),
    ("tablejoin", f"mapping = {JOIN}", str(JOIN)),
    ("tablejoin", "\\boxed{\\{'Name': 'full\\_name'\\}}", {"Name": "full_name"}),
    ("tablereformat", "```csv\nName,Age\nIda,31\nPer,44\n```", TABLE),
    ("tableformat", TABLE, TABLE),
    ("typos", TEXT, TEXT),
    ("typos", f"Here is the text:\n\n{TEXT}\n", TEXT),
    ("typos", solution(TEXT.replace(", ", ",\n")), TEXT),
    ("typos", f"```\n{TEXT}\n```", TEXT),
    ("typos", f"“{TEXT}”", TEXT),
    ("plot_unscrambling", plot(0, 1, 2, 3, 4) + "</PLOT_SUMMARY>", PLOT),
    ("plot_unscrambling", f"<think>{plot(4, 3, 2, 1, 0)}</think>Here it is:\n\n{PLOT}\n\n**End of Plot Summary**", PLOT),
    ("connections", f"**{HOBBIES}**", HOBBIES),
    ("connections", "**yew, elm, ash, oak**\n\n**fox, elk, owl, hen**", HOBBIES),
    ("connections", solution("[ELK, FOX, OWL, HEN, YEW, ELM, ASH, OAK]"), HOBBIES),
    ("connections", solution("1. elk, fox, hen, owl\n2. oak, elm, ash, yew"), HOBBIES),
    ("connections", solution("Animals: elk, fox, hen, owl\nTrees: oak, elm, ash, yew"), HOBBIES),
]  # fmt: skip

WRONG = [
    ("web_of_lies_v2", "**yes, unknown, yes**", TRIPLE),
    ("web_of_lies_v2", "**yes, unknown**", TRIPLE),
    ("web_of_lies_v2", "**yes, unknown, no, yes**", TRIPLE),
    ("web_of_lies_v2", f"**{TRIPLE}** or **no, no, no**", TRIPLE),
    ("web_of_lies_v2", f"**not {TRIPLE}**", TRIPLE),
    ("web_of_lies_v2", f"{TRIPLE}", TRIPLE),
    ("web_of_lies_v2", f"<think>**{TRIPLE}**", TRIPLE),
    ("web_of_lies_v2", "", TRIPLE),
    ("web_of_lies_v3", solution("yes,unknown,no,no,no"), "yes,unknown,no,no"),
    ("house_traversal", "**Bo, Ann, Cy**", "Ann Bo Cy"),
    ("house_traversal", "**Ann, Bo, Cy, Di**", "Ann Bo Cy"),
    ("house_traversal", "**Joanna, Bob, Cyril**", "Anna Bo Cy"),
    ("zebra_puzzle", "***not gardening***", "gardening"),
    ("zebra_puzzle", "***gardening*** or ***cooking***", "gardening"),
    ("zebra_puzzle", "gardening", "gardening"),
    ("zebra_puzzle", "***14***", "four"),
    ("zebra_puzzle", solution("2, thai, cooking"), "2,thai"),
    ("spatial", "**6** **7** **8**", "6"),
    ("spatial", "**square triangle**", "triangle"),
    ("spatial", "**not triangle**", "triangle"),
    ("spatial", "**nontriangle**", "triangle"),
    ("spatial", "**triangle or square**", "triangle"),
    ("cta", "It is not a postal code", "Postal Code"),
    ("cta", "Postal Code, City, Country", "Postal Code"),
    ("cta", "", "Postal Code"),
    ("tablejoin", "no join is possible", JOIN),
    ("tablejoin", '{"Name": "a", "Name": "full_name"}', {"Name": "full_name"}),
    ("tablejoin", "{}", JOIN),
    ("tablejoin", '{"name": "full_name"}', {"Name": "full_name"}),
    ("tablejoin", "__import__('os')", JOIN),
    ("tablereformat", TABLE.replace("31", "32"), TABLE),
    ("typos", TEXT.replace("dawn", "dwan"), TEXT),
    ("typos", f"{TEXT}\n{TEXT.replace('dawn', 'dwan')}", TEXT),
    ("typos", TEXT.lower(), TEXT),
    ("typos", "", TEXT),
    ("plot_unscrambling", plot(4, 3, 2, 1, 0).replace("The boat leaks", "x"), PLOT),
    ("plot_unscrambling", "Any text. At all. That has. Five full. Stops in it.", PLOT),
    ("plot_unscrambling", "", PLOT),
    ("connections", solution("elk, fox, hen, oak, owl, elm, ash, yew"), HOBBIES),
    ("connections", solution(f"{HOBBIES}, {HOBBIES}"), HOBBIES),
    ("connections", HOBBIES, HOBBIES),
]  # fmt: skip

PARTIAL = [
    ("web_of_lies_v3", solution("yes, unknown, no, yes"), "yes,unknown,no,no", 3 / 8),
    ("web_of_lies_v3", solution("yes, unknown"), "yes,unknown,no,no", 2 / 8),
    ("zebra_puzzle", solution("2, cooking"), "2,thai", 1 / 4),
    ("tablejoin", str({**JOIN, "City": "county"}), JOIN, 3 / 4),
    ("tablejoin", str({**JOIN, "Zip": "code"}), JOIN, 8 / 9),
    ("tablejoin", '{"Name": "full_name"}', JOIN, 2 / 5),
    ("plot_unscrambling", plot(1, 0, 2, 3, 4), PLOT, 3 / 5),
    ("plot_unscrambling", plot(0, 1, 3, 4), PLOT, 4 / 5),
    ("plot_unscrambling", plot(0, 1, 2, 3, 4, 0, 1, 2, 3, 4), PLOT, 1 / 5),
    ("connections", solution("elk, fox, hen, owl, oak, elm, ash, bog"), HOBBIES, 1 / 2),
    ("connections", solution("elk, fox, hen, owl, elk, fox, hen, owl"), HOBBIES, 1 / 2),
    ("connections", solution("oak, elm, ash, yew"), HOBBIES, 1 / 2),
]


@pytest.mark.parametrize(("task", "response", "gold"), RIGHT)
def test_right_answers_get_full_marks(task: str, response: str, gold: Any) -> None:
    outcome = judge(task, response, gold)
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(("task", "response", "gold"), WRONG)
def test_wrong_answers_earn_nothing(task: str, response: str, gold: Any) -> None:
    outcome = judge(task, response, gold)
    assert (outcome.status, outcome.score) == (Status.SCORED, 0.0)


@pytest.mark.parametrize(("task", "response", "gold", "score"), PARTIAL)
def test_partial_credit(task: str, response: str, gold: Any, score: float) -> None:
    outcome = judge(task, response, gold)
    assert outcome.score == pytest.approx(score)
    assert (outcome.correct, outcome.reason) == (False, Reason.PARTIALLY_EQUAL)


def test_the_last_pair_of_hundreds_is_not_rounded_away() -> None:
    gold = {f"column {n}": f"name {n}" for n in range(300)}
    outcome = judge("tablejoin", str({**gold, "column 7": "name 8"}), gold)
    assert outcome.correct is False
    assert outcome.score == pytest.approx(299 / 300)


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Please convert the Input Table from CSV format to JSON format.", True),
        ("Source Format: csv\nTarget Format: json", True),
        ("Please convert the Input Table from JSON format to CSV format.", False),
        (None, False),
    ],
)
def test_the_question_says_in_which_format_the_table_was_to_be(question: str | None, right: bool) -> None:
    response = '```json\n[{"Name": "Ida", "Age": 31}, {"Name": "Per", "Age": 44}]\n```'
    extra = {"question": question} if question else {}
    assert judge("tablereformat", response, TABLE, **extra).correct is right


# ---------------------------------------------------------------- tasks and ground truths


@pytest.mark.parametrize("task", ["sudoku", "math_comp", "", "livebench"])
@pytest.mark.parametrize("profile", Profile)
def test_an_unknown_task_is_an_error_that_names_the_known_ones(task: str, profile: Profile) -> None:
    outcome = judge(task, "**x**", "x", profile)
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.MALFORMED_ITEM, None)
    assert all(known in outcome.detail["message"] for known in TASKS)


def test_a_task_is_known_in_any_case() -> None:
    assert judge(" CTA ", "Postal Code", "Postal Code").correct is True


def test_no_task_at_all_is_an_error() -> None:
    for source in (SOURCE, "livebench"):
        assert judge(None, "**x**", "x", source=source).reason is Reason.MALFORMED_ITEM
    assert judge(3, "**x**", "x").reason is Reason.MALFORMED_ITEM  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source", ["livebench__spatial", "ood__livebench__spatial", "livebench/spatial", "LiveBench_spatial"]
)
def test_the_name_may_say_the_task(source: str) -> None:
    assert judge(None, "**6**", "6", source=source).correct is True


@pytest.mark.parametrize("gold", [None, "", "  ", [], True, 1.5])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, task: str, profile: Profile) -> None:
    outcome = judge(task, "**x**", gold, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_every_task_has_its_rows_here() -> None:
    for rows in (RIGHT, WRONG):
        assert {row[0] for row in rows} | {"tableformat"} == set(TASKS)


# ---------------------------------------------------------------- the published rules


@pytest.mark.parametrize(
    ("task", "response", "gold", "score"),
    [
        ("web_of_lies_v2", f"<think>**{TRIPLE}**", TRIPLE, 1.0),
        ("web_of_lies_v2", f"{TRIPLE}", TRIPLE, 1.0),
        ("web_of_lies_v2", "**yes, unknown, yes**", TRIPLE, 0.0),
        ("web_of_lies_v3", solution("yes,unknown,no,yes"), "yes,unknown,no,no", 3 / 8),
        ("web_of_lies_v3", solution("yes, unknown, no, no"), "yes,unknown,no,no", 1 / 8),
        ("web_of_lies_v3", solution("yes,unknown,no,no,no"), "yes,unknown,no,no", 1.0),
        ("house_traversal", "**Ann, Bo, Cy, Di**", "Ann Bo Cy", 1.0),
        ("house_traversal", "**Ann** **Bo** **Cy**", "Ann Bo Cy", 1.0),
        ("house_traversal", "**Bo, Ann, Cy**", "Ann Bo Cy", 0.0),
        ("zebra_puzzle", "It must be gardening.", "gardening", 1.0),
        ("zebra_puzzle", "***4*** and more words", "four", 1.0),
        ("zebra_puzzle", "***four***", "4", 0.0),
        ("spatial", "**6** **7** **8**", "6", 1.0),
        ("spatial", "**6** **7** **8** **9**", "6", 0.0),
        ("spatial", "**not triangle**", "triangle", 1.0),
        ("spatial", "**a shape that is a triangle**", "triangle", 0.0),
        ("cta", "Postal Code.", "PostalCode", 1.0),
        ("cta", "It is Postal Code", "Postal Code", 0.0),
        ("tablejoin", f"```python\n{JOIN}\n```", JOIN, 1.0),
        ("tablejoin", f"mapping = {JOIN}", JOIN, 0.0),
        ("tablejoin", str({**JOIN, "Zip": "code"}), JOIN, 0.89),
        ("typos", f"one {TEXT} two {TEXT[:40]}", TEXT, 1.0),
        ("typos", TEXT.replace("dawn", "dwan"), TEXT, 0.0),
        ("plot_unscrambling", plot(0, 1, 2, 3, 4), PLOT, 1.0),
        ("plot_unscrambling", plot(1, 0, 2, 3, 4), PLOT, 3 / 5),
        ("plot_unscrambling", "One sentence.", PLOT, 1 / 5),
        ("connections", f"**{HOBBIES}** **x**", HOBBIES, 1.0),
        ("connections", "**yew, elm, ash, oak** **fox, elk, owl, hen**", HOBBIES, 1 / 2),
        ("connections", solution(HOBBIES), HOBBIES, 0.0),
        ("tablereformat", TABLE, TABLE, 1.0),
    ],
)
def test_guru_is_the_published_rule(task: str, response: str, gold: Any, score: float) -> None:
    assert judge(task, response, gold, Profile.GURU).score == pytest.approx(score)


def test_the_published_plot_rule_has_a_bound() -> None:
    outcome = judge("plot_unscrambling", "a b. " * 20_000, PLOT, Profile.GURU)
    assert (outcome.score, outcome.reason) == (0.0, Reason.BUDGET_EXCEEDED)


# ---------------------------------------------------------------- properties and hostile input


GOLDS: dict[str, Any] = {task: gold for task, _, gold in RIGHT}


@given(st.text(max_size=80), st.sampled_from(sorted(TASKS)), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, task: str, profile: Profile) -> None:
    for response in (text, f"**{text}**", solution(text)):
        outcome = judge(task, response, GOLDS[task], profile)
        assert outcome.status is Status.SCORED
        assert outcome == judge(task, response, GOLDS[task], profile)


@given(st.permutations(range(5)))
def test_the_order_of_a_plot_is_scored_by_its_edit_distance(order: list[int]) -> None:
    wanted = max(0.0, 1 - edit_distance(list(range(5)), order) / 5)
    for profile in Profile:
        assert judge("plot_unscrambling", plot(*order), PLOT, profile).score == pytest.approx(wanted)


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_edit_distance_is_a_metric_with_the_usual_bounds(left: list[int], right: list[int]) -> None:
    distance = edit_distance(left, right)
    assert distance == edit_distance(right, left)
    assert abs(len(left) - len(right)) <= distance <= max(len(left), len(right))
    assert (distance == 0) is (left == right)


@given(st.permutations(HOBBIES.split(", ")))
def test_groups_are_counted_once(words: list[str]) -> None:
    halves = {frozenset(words[:4]), frozenset(words[4:])}
    right = len(halves & {frozenset(HOBBIES.split(", ")[:4]), frozenset(HOBBIES.split(", ")[4:])})
    assert judge("connections", solution(", ".join(words)), HOBBIES).score == right / 2


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("**a** b **c**", ["a", "c"]),
        ("***a***", ["a"]),
        ("2**3 and **a**", ["a"]),
        ("2**3*2**2 and **a**", ["a"]),
        ("** a", []),
        ("**a", []),
        ("**a\nb**", ["a\nb"]),
        ("****", []),
    ],
)
def test_bold(text: str, passages: list[str]) -> None:
    assert bold(text) == passages


@pytest.mark.parametrize("task", [task for task in TASKS if task != "tableformat"])
@pytest.mark.parametrize(
    "piece",
    [
        "**",
        "**a** ",
        "<solution>",
        "<solution>a</solution>",
        "\\boxed{",
        "```\n",
        "{",
        "a, ",
        "a. ",
        "yes, ",
        "[",
    ],
)
def test_hostile_length_costs_little(task: str, piece: str) -> None:
    for profile in Profile:
        with cpu_within(2.0):
            judge(task, piece * 30_000, GOLDS[task], profile)


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    item = Item(SOURCE, "**7**", "6", {"task": "spatial"}, source=SOURCE, explain=True)
    asked = route.handler.plan(item)
    assert isinstance(asked, Outcome)
    assert asked.trace == {"gold": "6"}
    assert not judge("spatial", "**7**", "6").trace


def test_published_rules_are_known_tasks() -> None:
    assert PUBLISHED.keys() <= TASKS.keys()
