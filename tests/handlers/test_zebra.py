"""Zebra puzzles: which tables are right, and what a partly right one is worth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

SOURCE = "logic__zebra_puzzle_dataset"
GOLD = {
    "header": ["Position", "Name", "Pet-Kind", "Drink"],
    "rows": [["1", "Ada", "guinea-pig", "tea"], ["2", "Bo", "cat", "r&b cola"], ["3", "Cy", "dog", "milk"]],
}


def judge(
    response: str, gold: Any = GOLD, profile: Profile = Profile.STRICT, extra: dict[str, Any] | None = None
) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, extra or {}, profile, SOURCE))


def table(rows: list[list[Any]], header: list[Any] | None = None) -> str:
    """A compact answer with these rows."""
    return f"<answer>{json.dumps({'header': header or GOLD['header'], 'rows': rows})}</answer>"


ROWS: list[list[Any]] = GOLD["rows"]
RIGHT = {"header": GOLD["header"], "rows": ROWS}
HOUSES = {f"House {row[0]}": dict(zip(GOLD["header"][1:], row[1:], strict=True)) for row in ROWS}


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(RIGHT),
        json.dumps(RIGHT, indent=4),
        repr(RIGHT),
        f"```json\n{json.dumps(RIGHT, indent=1)}\n```",
        f"```json {json.dumps(RIGHT)} ```",
        f"Here is the table: {json.dumps(RIGHT)}.",
        json.dumps({"rows": ROWS, "header": GOLD["header"]}),
        json.dumps({"header": GOLD["header"], "rows": [[int(row[0]), *row[1:]] for row in ROWS]}),
        json.dumps({"header": GOLD["header"], "rows": [[f"House {row[0]}", *row[1:]] for row in ROWS]}),
        json.dumps(
            {"header": GOLD["header"], "rows": [[cell.upper() + " " for cell in row] for row in ROWS]}
        ),
        json.dumps({"header": [name.lower() for name in GOLD["header"]], "rows": ROWS}),
        json.dumps({"header": GOLD["header"][::-1], "rows": [row[::-1] for row in ROWS]}),
        json.dumps({"header": GOLD["header"], "rows": ROWS[::-1]}),
        json.dumps({"header": GOLD["header"][1:], "rows": [row[1:] for row in ROWS]}),
        json.dumps({"header": ["House", *GOLD["header"][1:]], "rows": ROWS}),
        json.dumps({"rows": [dict(zip(GOLD["header"], row, strict=True)) for row in ROWS]}),
        json.dumps([dict(zip(GOLD["header"], row, strict=True)) for row in ROWS]),
        json.dumps(HOUSES),
        json.dumps({"reasoning": "…", "solution": HOUSES}),
        '{"reasoning": "first\nsecond", "solution": ' + json.dumps(HOUSES) + "}",
        json.dumps(RIGHT).replace("guinea-pig", "Guinea pig"),
        json.dumps(RIGHT).replace("guinea-pig", "guinea‑pig"),
        "| Position | Name | Pet-Kind | Drink |\n|---|:--|---|---|\n"
        + "\n".join("| " + " | ".join(row) + " |" for row in ROWS),
        "\\boxed{" + json.dumps(RIGHT) + "}",
    ],
)
def test_accepts_every_way_to_write_the_table(answer: str) -> None:
    outcome = judge(f"Clue by clue …\n<answer> {answer} </answer>")
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    "response",
    [
        json.dumps({"reasoning": "so", "solution": HOUSES}),
        f"The grid:\n```json\n{json.dumps(RIGHT, indent=2)}\n```\nThat is all.",
        f"<answer>{json.dumps(RIGHT)}",
        f"<ANSWER>{json.dumps(RIGHT)}</ANSWER>",
        f"<think>{{}}</think>\n<answer>{json.dumps(RIGHT)}</answer><|im_end|>",
        f"<answer>{{}}</answer> again <answer>{json.dumps(RIGHT)}</answer>",
    ],
)
def test_accepts_where_it_stands(response: str) -> None:
    assert judge(response).correct is True


def cells(*rows: str) -> list[list[str]]:
    return [row.split() for row in rows]


SMALL = {"header": ["House", "A", "B"], "rows": cells("1 a x", "2 b y", "3 c z")}


@pytest.mark.parametrize(
    ("rows", "score"),
    [
        (cells("1 a x", "2 b y", "3 c z"), 1.0),
        (cells("1 a x", "2 c y", "3 b z"), 0.5),  # 4 of 6 cells, 2 for any constant guess
        (cells("1 a x", "2 b y", "3 c w"), 0.75),
        (cells("1 a ?", "2 b ?", "3 c ?"), 0.25),
        (cells("1 a x", "2 a x", "3 a x"), 0.0),  # the best constant guess
        (cells("1 b y", "2 b y", "3 b y"), 0.0),
        (cells("1 a x", "2 ? ?", "3 ? ?"), 0.0),
        (cells("1 ? ?", "2 ? ?", "3 ? ?"), 0.0),
        (cells("1 c z", "2 b y", "3 a x"), 0.0),
        (cells("1 b x", "2 c y", "3 a z"), 0.25),
    ],
)
def test_partial_credit_is_what_a_constant_guess_does_not_earn(rows: list[list[str]], score: float) -> None:
    outcome = judge(table(rows, SMALL["header"]), SMALL)
    assert outcome.score == pytest.approx(score)
    assert outcome.correct is (score == 1.0)
    expected = Reason.EQUAL if score == 1 else Reason.PARTIALLY_EQUAL if score else Reason.NOT_EQUAL
    assert outcome.reason is expected


def test_all_or_nothing_can_be_asked_for() -> None:
    nearly = table(cells("1 a x", "2 b y", "3 c w"), SMALL["header"])
    for profile in Profile:
        assert judge(nearly, SMALL, profile).score != 0.0
        assert judge(nearly, SMALL, profile, {"scoring": "partial"}).score != 0.0
        assert judge(nearly, SMALL, profile, {"scoring": "all_or_nothing"}).score == 0.0
    assert judge(table(ROWS), extra={"scoring": "all_or_nothing"}).score == 1.0
    outcome = judge(nearly, SMALL, extra={"scoring": "some"})
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_ITEM)


def changed(y: int, x: int, cell: Any) -> str:
    rows = [list(row) for row in ROWS]
    rows[y][x] = cell
    return table(rows)


@pytest.mark.parametrize(
    "response",
    [
        changed(1, 1, "Boo"),
        changed(1, 1, "Bo or Cy"),
        changed(1, 1, ["Bo"]),
        changed(1, 1, ["Bo", "Cy"]),
        changed(1, 1, {"is": "Bo"}),
        changed(1, 1, None),
        changed(1, 1, True),
        changed(1, 1, ""),
        changed(1, 1, "not Bo"),
    ],
)
def test_a_wrong_cell_is_never_correct(response: str) -> None:
    outcome = judge(response)
    assert outcome.correct is False
    assert outcome.score == pytest.approx((8 - 3) / (9 - 3))


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (table(ROWS[:2]), Reason.MALFORMED_ANSWER),
        (table([*ROWS, ROWS[0]]), Reason.MALFORMED_ANSWER),
        (table([ROWS[0], ROWS[0], ROWS[2]]), Reason.MALFORMED_ANSWER),
        (table([[row[0]] for row in ROWS], ["Position"]), Reason.MALFORMED_ANSWER),
        (table(ROWS, ["X", "X", "X", "X"]), Reason.MALFORMED_ANSWER),
        (table(ROWS, ["Position", "Name", "Pet-Kind", "Car"]), Reason.MALFORMED_ANSWER),
        (table([[*row, "x"] for row in ROWS], [*GOLD["header"], "Car"]), Reason.MALFORMED_ANSWER),
        (table([["x", *row[1:]] for row in ROWS]), Reason.MALFORMED_ANSWER),
        (table([[str(int(row[0]) + 1), *row[1:]] for row in ROWS]), Reason.MALFORMED_ANSWER),
        (table([[*row, "x"] for row in ROWS]), Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps({'rows': ROWS})}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps(ROWS)}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps({**HOUSES, 'House 9': {}})}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps({'Ada': HOUSES['House 1'], **HOUSES})}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps(RIGHT)} {json.dumps(RIGHT)}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>not {json.dumps(RIGHT)}</answer>", Reason.MALFORMED_ANSWER),
        (f"<answer>{json.dumps(RIGHT)} is wrong</answer>", Reason.MALFORMED_ANSWER),
        ("<answer>not this:\n|Position|Name|\n|1|Ada|</answer>", Reason.MALFORMED_ANSWER),
        (
            '<answer>[{"Name": "Bo", "name ": "Ada", "Pet-Kind": "cat", "Drink": "tea"}]</answer>',
            Reason.MALFORMED_ANSWER,
        ),
        (f"<answer>{json.dumps(RIGHT)[:-2]}</answer>", Reason.MALFORMED_ANSWER),
        (f'<answer>{{"rows": [], {json.dumps(RIGHT)[1:]}</answer>', Reason.MALFORMED_ANSWER),
        (f"<answer>{repr({'rows': []})[:-1]}, {repr(RIGHT)[1:]}</answer>", Reason.MALFORMED_ANSWER),
        ("<answer>a table</answer>", Reason.MALFORMED_ANSWER),
        ("<answer></answer>", Reason.NO_ANSWER),
        ("I can't solve it", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
        (f"<think>{table(ROWS)}", Reason.NO_ANSWER),
        (f"{table(ROWS)} wait <answer>{{}}</answer>", Reason.MALFORMED_ANSWER),
        ("<answer>" + "[" * 20_000 + "</answer>", Reason.MALFORMED_ANSWER),
        ("<answer>" + '{"a":' * 6_000 + "}" * 6_000 + "</answer>", Reason.BUDGET_EXCEEDED),
        ("<answer>" + '{"a":' * 4_000 + "}" * 4_000 + "</answer>", Reason.MALFORMED_ANSWER),
    ],
)
def test_no_table_earns_nothing(response: str, reason: Reason) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (0.0, reason)


def test_a_column_named_twice_in_an_object_is_refused() -> None:
    houses = {name: {**house, "name": "Ada"} for name, house in HOUSES.items()}
    assert judge(f"<answer>{json.dumps(houses)}</answer>").reason is Reason.MALFORMED_ANSWER


def test_a_table_beside_a_hedge_is_refused() -> None:
    rows = "\n".join("|" + "|".join(row) + "|" for row in [GOLD["header"], *ROWS])
    assert judge(f"<answer>My table:\n{rows}</answer>").correct is True
    assert judge(f"<answer>This is not the table:\n{rows}</answer>").score == 0.0


def test_contradictory_house_numbers() -> None:
    houses = {name: {**house, "Position": "1"} for name, house in HOUSES.items()}
    assert judge(f"<answer>{json.dumps(houses)}</answer>").score == 0.0


def test_only_one_column_is_given_and_the_others_are_checked() -> None:
    gold = {"header": ["House", "Floor", "Name"], "rows": [["1", "1", "Ada"], ["2", "2", "Bo"]]}
    assert judge(table([["1", "1", "Ada"], ["2", "2", "Bo"]], gold["header"]), gold).correct is True
    assert judge(table([["1", "2", "Ada"], ["2", "1", "Bo"]], gold["header"]), gold).correct is False


def test_a_puzzle_without_house_numbers_goes_by_row() -> None:
    gold = {"header": ["Name", "Pet"], "rows": [["Ada", "cat"], ["Bo", "dog"]]}
    assert judge(table([["ada", "cat"], ["bo", "dog"]], ["Name", "Pet"]), gold).correct is True
    assert judge(table([["bo", "dog"], ["ada", "cat"]], ["Name", "Pet"]), gold).score == 0.0


@pytest.mark.parametrize(
    "gold",
    [
        None, "", "x", [], {}, 3, {"header": [], "rows": []}, {"header": ["A"], "rows": []},
        {"header": ["A"], "rows": [["1", "2"]]}, {"header": ["A", "A"], "rows": [["1", "2"]]},
        {"header": ["A", None], "rows": [["1", "2"]]}, {"header": ["A"], "rows": [[None]]},
        {"header": ["A"], "rows": [[["x"]]]}, {"header": ["A"], "rows": "x"}, {"header": "A", "rows": [["x"]]},
        {"header": ["Position"], "rows": [["1"], ["2"]]}, {"rows": [["x"]]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge(table(ROWS), gold, profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_ground_truth_as_json_text() -> None:
    assert judge(table(ROWS), json.dumps(GOLD)).correct is True


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (table(ROWS), 1.0),
        (table(ROWS, ["X", "X", "X", "X"]), 1.0),
        (table([*ROWS, ROWS[0]]), 1.0),
        (table([[int(row[0]), *row[1:]] for row in ROWS]), 9 / 12),
        (table([[row[0], "?", "?", "?"] for row in ROWS]), 3 / 12),
        (table(ROWS[:2]), 0.0),
        (f"<answer>{json.dumps(RIGHT, indent=1)}</answer>", 0.0),
        (f"<Answer>{json.dumps(RIGHT)}</Answer>", 0.0),
        (table([*ROWS, ["x" * 40_000]]), 0.0),
        ("<answer>[1]</answer>", 0.0),
        ("<answer>{'rows': 7}</answer>", 0.0),
        ("<answer></answer>", 0.0),
    ],
)
def test_guru_is_the_published_rule(response: str, score: float) -> None:
    assert judge(response, profile=Profile.GURU).score == pytest.approx(score)


def test_the_reply_does_not_hold_the_ground_truth_but_the_trace_does() -> None:
    route = load().route(SOURCE)
    assert route is not None
    item = Item(SOURCE, table([["1", "?", "?", "?"], *ROWS[1:]]), GOLD, {}, source=SOURCE, explain=True)
    outcome = route.handler.plan(item)
    assert "guinea" not in str(outcome.detail) + str(outcome.extracted)
    assert outcome.trace["wrong_columns"] == ["name", "pet kind", "drink"]


@given(st.text(max_size=80) | st.text('{}[]":,rowshead1 ', max_size=80), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile) -> None:
    for response in (text, f"<answer>{text}</answer>"):
        outcome = judge(response, profile=profile)
        assert outcome.status is Status.SCORED
        assert outcome == judge(response, profile=profile)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.sampled_from(["1", "Ada", "a"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["header", "rows", "a"]), inner)
    ),
    max_leaves=12,
)


@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_no_row_raises(header: Any, rows: Any, gold: Any) -> None:
    for profile in Profile:
        judge(f"<answer>{json.dumps({'header': header, 'rows': rows})}</answer>", profile=profile)
        judge(table(ROWS), {"header": header, "rows": rows}, profile)
        judge(table(ROWS), gold, profile)


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_permuted_tables_are_equal_and_the_score_is_one_only_for_them(
    n: int, m: int, data: st.DataObject
) -> None:
    header = ["Position", *(f"col {x}" for x in range(m))]
    gold = {"header": header, "rows": [[str(y + 1), *(f"v{y}{x}" for x in range(m))] for y in range(n)]}
    order = data.draw(st.permutations(range(m + 1)))
    rows = data.draw(st.permutations(gold["rows"]))
    answer = table([[row[x] for x in order] for row in rows], [header[x] for x in order])
    assert judge(answer, gold).score == 1.0
    y, x = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, m))
    wrong = [list(row) for row in gold["rows"]]
    wrong[y][x] = "other"
    outcome = judge(table(wrong, header), gold)
    assert outcome.correct is False
    assert outcome.score is not None and 0 <= outcome.score < 1
