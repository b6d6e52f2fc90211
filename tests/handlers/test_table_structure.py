"""Whole tables: the format asked for, columns in any order, rows in theirs, every cell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers import table_structure
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

HEADER = ["City", "Founded", "Area, km2", "Note"]
ROWS = [
    ["Rome", "753.5", "1,285", "a|b"],
    ["Paris", "250", "105.4", ""],
    ["São Paulo", "1554", "007", '"x" & <y>'],
]


def as_csv(header: list[str], rows: list[list[str]], mark: str = ",") -> str:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if mark in cell or '"' in cell else cell

    return "\n".join(mark.join(map(quoted, row)) for row in [header, *rows])


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in [header, *rows]]
    lines.insert(1, "|".join(["---"] * len(header)))
    return "\n".join(f"| {line} |" for line in lines)


def as_html(header: list[str], rows: list[list[str]]) -> str:
    def escaped(cell: str) -> str:
        return cell.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")

    head = "".join(f"<th>{escaped(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def as_json(header: list[str], rows: list[list[str]]) -> str:
    return json.dumps([dict(zip(header, row, strict=True)) for row in rows], ensure_ascii=False)


def as_json_lines(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows)


FORMATS = {
    "csv": as_csv,
    "tsv": lambda header, rows: as_csv(header, rows, "\t"),
    "markdown": as_markdown,
    "html": as_html,
    "json": as_json,
    "jsonl": as_json_lines,
}
every_format = pytest.mark.parametrize("form", FORMATS)


def judge(response: str, gold: Any, profile: Profile = Profile.STRICT, **extra: Any) -> Outcome:
    return table_structure.plan(
        Item("table__structured", response, gold, extra, profile, "table__structured")
    )


def written(form: str, header: list[str] = HEADER, rows: list[list[str]] = ROWS) -> str:
    return FORMATS[form](header, rows)


@every_format
@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(
    "frame",
    ["{}", "```\n{}\n```", "```xyz\n{}\n```", "<solution>\n{}\n</solution>", "Here it is:\n{}", "Here it is:\n\n{}", "{}\n\nAnything else?", "{}\n  \n",
     "<think>| a | b |\n|---|---|</think>\n{}", "<solution>```\n{}\n```</solution>", "```\na,b\n1,2\n```\nNo:\n```\n{}\n```"],
)  # fmt: skip
def test_a_copy_is_right_in_any_frame(form: str, profile: Profile, frame: str) -> None:
    assert judge(frame.replace("{}", written(form)), written(form), profile).correct


@every_format
def test_columns_may_be_reordered_and_padded(form: str) -> None:
    gold = written(form)
    assert judge(written(form, HEADER[::-1], [row[::-1] for row in ROWS]), gold).correct
    assert judge(written(form, [f" {name} " for name in HEADER]), gold).correct
    assert judge(gold.replace("\n", "\r\n"), gold).correct
    assert judge("\n".join(line + "  " for line in gold.split("\n")), gold).correct


@every_format
def test_a_decimal_may_lose_or_win_zeros(form: str) -> None:
    spelled = [[cell.replace("753.5", "753.50").replace("250", "250.0") for cell in row] for row in ROWS]
    assert judge(written(form, rows=spelled), written(form)).correct


WRONG = {
    "one cell": (HEADER, [["Roma", *ROWS[0][1:]], *ROWS[1:]]),
    "one number": (HEADER, [ROWS[0], ["Paris", "251", *ROWS[1][2:]], ROWS[2]]),
    "one letter's case": (HEADER, [["rome", *ROWS[0][1:]], *ROWS[1:]]),
    "an identifier's zeros": (HEADER, [*ROWS[:2], ["São Paulo", "1554", "7", ROWS[2][3]]]),
    "an empty cell filled": (HEADER, [ROWS[0], [*ROWS[1][:3], "x"], ROWS[2]]),
    "missing row": (HEADER, ROWS[:-1]),
    "extra row": (HEADER, [*ROWS, ROWS[-1]]),
    "row twice": (HEADER, [ROWS[0], ROWS[0], ROWS[2]]),
    "reversed rows": (HEADER, ROWS[::-1]),
    "another name": (["City_x", *HEADER[1:]], ROWS),
    "missing column": (HEADER[:-1], [row[:-1] for row in ROWS]),
    "extra column": ([*HEADER, "More"], [[*row, "1"] for row in ROWS]),
    "columns swapped under their names": (HEADER, [[row[1], row[0], *row[2:]] for row in ROWS]),
    "no rows": (HEADER, []),
}


@every_format
@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_wrong(form: str, what: str) -> None:
    outcome = judge(written(form, *WRONG[what]), written(form))
    assert outcome.score == 0.0
    assert outcome.reason in (Reason.NOT_EQUAL, Reason.MALFORMED_ANSWER, Reason.NO_ANSWER)
    if outcome.reason is Reason.NOT_EQUAL:
        assert 0.0 <= outcome.detail["cell_f1"] < 1.0 or what == "reversed rows"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_only_the_format_that_was_asked_for(form: str, other: str) -> None:
    related = {"json", "jsonl"} == {form, other}
    if form != other and not related:
        assert not judge(written(other), written(form)).correct
        assert judge(written(other), written(form), format=other).correct


@every_format
def test_the_last_table_counts(form: str) -> None:
    gold, wrong = written(form), written(form, *WRONG["one cell"])
    assert judge(f"{wrong}\n\nCorrected:\n\n{gold}", gold).correct == (form != "jsonl")
    assert not judge(f"{gold}\n\nCorrected:\n\n{wrong}", gold).correct


def test_the_last_solution_counts() -> None:
    gold, wrong = written("csv"), written("csv", *WRONG["one cell"])
    assert judge(f"<solution>{wrong}</solution> no: <solution>{gold}</solution>", gold).correct
    assert not judge(f"<solution>{gold}</solution> no: <solution>{wrong}</solution>", gold).correct


def test_a_table_that_is_too_long_is_a_bad_answer() -> None:
    outcome = judge("x" * 200_000, written("csv"))
    assert outcome.reason is Reason.BUDGET_EXCEEDED and outcome.flags == ("oversized_answer",)


def test_row_order_can_be_released() -> None:
    gold = written("csv")
    assert judge(written("csv", HEADER, ROWS[::-1]), gold, row_order=False).correct
    assert not judge(written("csv", *WRONG["row twice"]), gold, row_order=False).correct


def test_equal_column_names_are_kept_apart_by_their_order() -> None:
    gold = "a,a,b\n1,2,3"
    assert judge("b,a,a\n3,1,2", gold).correct
    assert not judge("b,a,a\n3,2,1", gold).correct


def test_golds_as_objects() -> None:
    assert judge(written("csv"), {"header": HEADER, "rows": ROWS}, format="csv").correct
    assert judge(written("json"), json.loads(written("json"))).correct
    index = {"0": {"a": 1, "b": None}, "1": {"a": 2, "b": "x"}}
    assert judge(json.dumps(index), index).correct
    assert judge('[{"a": 1, "b": null}, {"a": 2, "b": "x"}]', index).correct
    assert judge('{"a": [1, 2], "b": [null, "x"]}', index).correct
    assert judge('{"a": {"0": 1, "1": 2}, "b": {"0": null, "1": "x"}}', index).correct
    assert not judge('{"a": [1, 2], "b": ["x", null]}', index).correct


def test_missing_values_are_empty_cells() -> None:
    assert judge("a,b\n1,\n2,x", "a,b\n1,NaN\n2,x").correct
    assert judge("a\tb\n2\tx\n1\t", "a\tb\n2\tx\n1\t").correct  # the response's last tab is trimmed away
    assert not judge("a,b\n1,0\n2,x", "a,b\n1,\n2,x").correct


@every_format
def test_one_column(form: str) -> None:
    rows = [["Rome"], [""], ["1,285"], ["---"], ["-"]]
    gold = written(form, ["City"], rows)
    assert judge(gold, gold, format=form).correct
    for at in range(len(rows)):
        assert not judge(
            written(form, ["City"], [*rows[:at], ["x"], *rows[at + 1 :]]), gold, format=form
        ).correct


@every_format
def test_one_row(form: str) -> None:
    gold = written(form, rows=ROWS[:1])
    assert judge(gold, gold).correct and not judge(written(form, rows=ROWS[1:2]), gold).correct


@every_format
def test_a_row_of_empty_cells_does_not_end_the_table(form: str) -> None:
    rows = [ROWS[0], [""] * 4, ROWS[1]]
    assert judge(written(form, rows=rows), written(form, rows=rows)).correct
    assert not judge(written(form, rows=[*rows[:2], ROWS[2]]), written(form, rows=rows)).correct


def test_markdown_in_its_variants() -> None:
    gold = "| a | b |\n|:---|---:|\n| 1 | 2 |"
    for text in (
        "a | b\n---|---\n1 | 2",
        "|a|b|\n|-|-|\n|1|2|",
        "| a   |  b |\n| :-: | - |\n| 1   | 2|",
        gold + "\nThat's it.",
    ):
        assert judge(text, gold).correct, text
    for text in (
        "| a | b |\n| 1 | 2 |",
        "| a | b |\n|---|---|\n| 1 | 2 | 3 |",
        "| a | b |\n|---|---|---|\n| 1 | 2 |",
        "a b\n---\n1 2",
    ):
        assert judge(text, gold).reason is Reason.MALFORMED_ANSWER, text


@pytest.mark.parametrize(
    "gold", [None, "", " ", 5, True, [], {}, [1], [[1]], [{"a": 1}, {"b": 1}], [{"a": [1]}], "<p>x</p>", "[1", "{", {"header": [], "rows": []},
             {"header": ["a"], "rows": [1]}, {"header": ["a"], "rows": [["1", "2"]]}, "x" * 200_000]
)  # fmt: skip
def test_malformed_ground_truth_is_an_error(gold: Any) -> None:
    for response in ("", "x", written("csv")):
        assert judge(response, gold).reason is Reason.MALFORMED_GROUND_TRUTH


@every_format
@pytest.mark.parametrize("response", ["", "  ", "<think>", "None", "<solution></solution>", "```\n```"])
def test_no_table_is_no_reward(form: str, response: str) -> None:
    outcome = judge(response, written(form))
    assert outcome.score == 0.0 and outcome.reason in (Reason.NO_ANSWER, Reason.MALFORMED_ANSWER)


HOSTILE = [
    "|" * 120_000, "|a|b|\n|-|-|\n" + "|\n" * 60_000, "a|b\n" + "-|" * 9_000 + "\n" + "|" * 100_000, "|a|b|\n|-|-|\n" + "|`" * 60_000,
    "<table>" * 18_000 + "</table>" * 18_000, "<table>" + "<tr><td>" * 15_000 + "</table>", "<table>" + "<div>" * 20_000 + "</table>",
    "<table><tr><td " + "a=1 " * 30_000 + "></table>", '<!DOCTYPE x [<!ENTITY a "aaa">]><table><tr><td>&a;</td></tr></table>',
    "City,Founded\n" * 9_000, "City\tFounded\n" + '"' * 110_000, "a,b\n" + "," * 120_000, "[" * 120_000, "{" * 60_000 + "}" * 60_000,
    '[{"a": ' + "1" * 100_000 + "}]", "]" * 120_000, '"' * 120_000 + "]", '{"a":1}\n' * 16_000, "```" * 40_000, "<solution>" * 20_000,
    "x" * 300_000, "\0" * 1000, "\ud800",
]  # fmt: skip


@every_format
@pytest.mark.parametrize("response", HOSTILE, ids=lambda text: repr(text[:24]))
def test_hostile_responses_are_cheap_and_wrong(form: str, response: str) -> None:
    with cpu_within(1.5):
        outcome = judge(response, written(form))
    assert outcome.status is Status.SCORED and outcome.score == 0.0


def test_every_source_has_an_example_that_scores() -> None:
    for source in load().handlers["table_structure"].sources:
        assert judge(source.example.response, source.example.ground_truth).correct


CELLS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8)


@given(
    st.data(),
    st.sampled_from(["csv", "json", "html"]),
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_a_table_equals_itself_and_no_other(data: st.DataObject, form: str, rows: list[list[str]]) -> None:
    header = ["a", "b", "c"]
    filled = [[f"r{cell}" for cell in row] for row in rows]
    gold = FORMATS[form](header, filled)
    order = data.draw(st.permutations(range(3)))
    answer = FORMATS[form]([header[i] for i in order], [[row[i] for i in order] for row in filled])
    outcome = judge(answer, gold)
    if outcome.status is Status.SCORED:
        assert outcome.correct and judge(answer, gold) == outcome
        changed = [["other", *filled[0][1:]], *filled[1:]]
        assert not judge(FORMATS[form](header, changed), gold).correct


@given(
    st.text(max_size=200),
    st.one_of(st.text(max_size=60), st.lists(st.dictionaries(st.text(max_size=3), st.integers()))),
)
def test_never_raises(text: str, gold: Any) -> None:
    judge(text, gold)
    for form in FORMATS:
        judge(text, written("csv"), format=form)
