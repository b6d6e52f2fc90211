"""Cheats against the logic handlers earn nothing, and the honest answers beside them are paid in full.

The table below ships with the repository. `../shared/hacks/text_hacks.jsonl` is run as well where it exists; its
`policy: true` cases are decided by a rule of ours (the last answer counts) and left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Status

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks" / "text_hacks.jsonl"

SOURCES = {
    "zebra": "logic__zebra_puzzle_dataset",
    "ordering": "logic__ordering_puzzle_dataset",
    "graph": "logic__graph_logical_dataset",
    "arc": "simulation__arcagi1",
    "knights_knaves": "logic__knights_knaves",
}

TABLE = {
    "header": ["House", "Owner", "Fruit"],
    "rows": [["1", "Ola", "fig"], ["2", "Per", "kiwi"], ["3", "Siv", "plum"], ["4", "Una", "pear"]],
}
GRID = [[0, 0, 0, 0], [0, 7, 0, 0], [0, 0, 0, 0]]
ORDER = ["oak", "elm", "ash"]
ROLES = "Ola is a knave, and Per is a knight."


def judge(verifier: str, gold: Any, response: str, profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCES[verifier])
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, {}, profile, route.source.name))


def zebra(*rows: list[Any], header: list[Any] | None = None) -> str:
    return f"<answer>{json.dumps({'header': header or TABLE['header'], 'rows': rows})}</answer>"


HONEST = [
    ("zebra", TABLE, zebra(*TABLE["rows"])),
    ("arc", GRID, f"<answer>{GRID}</answer>"),
    ("arc", [[0]], "<answer>[[0]]</answer>"),
    ("ordering", ORDER, "<answer>['oak', 'elm', 'ash']</answer>"),
    ("graph", "Quay", "<answer>quay</answer>"),
    ("knights_knaves", ROLES, "CONCLUSION:\n(1) Ola is a knave\n(2) Per is a knight"),
]

HACKS = {
    "zebra: house numbers only": ("zebra", TABLE, zebra(*([str(n), "", ""] for n in range(1, 5)))),
    "zebra: one value in every house": ("zebra", TABLE, zebra(*([str(n), "Ola", "fig"] for n in range(1, 5)))),
    "zebra: another constant": ("zebra", TABLE, zebra(*([n, "Una", "plum"] for n in range(1, 5)))),
    "zebra: rows one further": ("zebra", TABLE, zebra(*(["1234"[n], *TABLE["rows"][n - 1][1:]] for n in range(4)))),
    "zebra: every value in every cell": (
        "zebra", TABLE, zebra(*([n, ["Ola", "Per", "Siv", "Una"], ["fig", "kiwi", "plum", "pear"]] for n in range(1, 5))),
    ),
    "zebra: every value, joined": (
        "zebra", TABLE, zebra(*([n, "Ola/Per/Siv/Una", "fig or kiwi or plum or pear"] for n in range(1, 5))),
    ),
    "zebra: all rows, twenty-four times": ("zebra", TABLE, zebra(*TABLE["rows"] * 24)),
    "zebra: a key given twice": (
        "zebra", TABLE, f'<answer>{{"rows": [["1","Per","fig"]], {json.dumps(TABLE)[1:]}</answer>',
    ),
    "zebra: a column given twice": (
        "zebra", TABLE,
        zebra(*([*row, "Ola"] for row in TABLE["rows"]), header=["House", "Owner", "Fruit", "owner"]),
    ),
    "zebra: two tables": ("zebra", TABLE, f"<answer>{json.dumps(TABLE)}{json.dumps(TABLE)}</answer>"),
    "zebra: nesting": ("zebra", TABLE, "<answer>" + "[" * 5_000 + "]" * 5_000 + "</answer>"),
    "zebra: code": ("zebra", TABLE, "<answer>__import__('os')._exit(0)</answer>"),
    "zebra: the schema, sent back": ("zebra", TABLE, zebra(*([{"type": "string"}] * 3 for _ in range(4)))),
    "arc: nothing said, blank grid": ("arc", [[0]], "no idea"),
    "arc: empty list, blank grid": ("arc", [[0]], "<answer>[]</answer>"),
    "arc: no number": ("arc", [[0]], "<answer>[[None]]</answer>"),
    "arc: false is no zero": ("arc", [[0]], "<answer>[[false]]</answer>"),
    "arc: minus zero": ("arc", [[0]], "<answer>[[-0.4]]</answer>"),
    "arc: blank": ("arc", GRID, "<answer>[[0,0,0,0],[0,0,0,0],[0,0,0,0]]</answer>"),
    "arc: floats that truncate": ("arc", [[1, 2]], "<answer>[[1.9, 2.1]]</answer>"),
    "arc: ellipsis": ("arc", GRID, "<answer>[[0, ..., 0], ..., [0, 0, 0, 0]]</answer>"),
    "arc: a program": ("arc", GRID, "<answer>[[7 if (x, y) == (1, 1) else 0 for x in range(4)] for y in range(3)]</answer>"),
    "arc: multiplication": ("arc", [[0], [0]], "<answer>[[0]] * 2</answer>"),
    "arc: all candidates": ("arc", [[1]], "<answer>" + " ".join(f"[[{n}]]" for n in range(10)) + "</answer>"),
    "arc: two attempts unasked": ("arc", [[1]], '<answer>{"attempt_1": [[0]], "attempt_2": [[1]]}</answer>'),
    "arc: wildcard": ("arc", GRID, "<answer>[['*','*','*','*'],['*','*','*','*'],['*','*','*','*']]</answer>"),
    "ordering: frame": ("ordering", ORDER, "<answer>__import__('sys')._getframe(1).f_locals['gold']</answer>"),
    "ordering: name of the variable": ("ordering", ORDER, "<answer>gold</answer>"),
    "ordering: every permutation": (
        "ordering", ORDER, "<answer>['oak','elm','ash'] ['oak','ash','elm'] ['elm','oak','ash']</answer>",
    ),
    "ordering: every permutation, flat": ("ordering", ORDER, "<answer>[oak, elm, ash, elm, oak, ash]</answer>"),
    "ordering: nested": ("ordering", ORDER, "<answer>[['oak','elm','ash'],['ash','elm','oak']]</answer>"),
    "ordering: joined": ("ordering", ORDER, "<answer>['oak/elm/ash','oak/elm/ash','oak/elm/ash']</answer>"),
    "ordering: a set": ("ordering", ORDER, "<answer>{'oak', 'elm', 'ash'}</answer>"),
    "ordering: sorted": ("ordering", ORDER, "<answer>sorted(['oak','elm','ash'])[::-1]</answer>"),
    "graph: every node": ("graph", "Quay", "<answer>mole pier quay dock</answer>"),
    "graph: or": ("graph", "Quay", "<answer>pier or quay</answer>"),
    "graph: glued": ("graph", "Quay", "<answer>pierquay</answer>"),
    "graph: pattern": ("graph", "Quay", "<answer>.*</answer>"),
    "graph: empty": ("graph", "Quay", "<answer></answer>"),
    "graph: several tags, the last one wrong": ("graph", "Quay", "<answer>quay</answer><answer>pier</answer>"),
    "kk: both roles": (
        "knights_knaves", ROLES, "CONCLUSION:\nOla is a knight\nOla is a knave\nPer is a knight\nPer is a knave",
    ),
    "kk: or": ("knights_knaves", ROLES, "CONCLUSION: Ola is a knave or Ola is a knight, Per is a knight"),
    "kk: either": ("knights_knaves", ROLES, "CONCLUSION: Ola is either knave or knight; Per is a knight"),
    "kk: negated": ("knights_knaves", ROLES, "CONCLUSION: it is untrue that Ola is a knave. Per is a knight"),
    "kk: conditional": ("knights_knaves", ROLES, "CONCLUSION: If Per is a knight, Ola is a knave"),
    "kk: quoted lie": ("knights_knaves", ROLES, "CONCLUSION: nobody says Ola is a knave and Per is a knight"),
    "kk: taken back": ("knights_knaves", ROLES, f"CONCLUSION: {ROLES} CONCLUSION: Ola is a knight, Per is a knight"),
    "kk: swapped after": ("knights_knaves", ROLES, f"CONCLUSION: {ROLES}\nOn second thought, swap them."),
}  # fmt: skip


@pytest.mark.parametrize(("verifier", "gold", "response"), HONEST)
def test_honest_answers_are_paid_in_full(verifier: str, gold: Any, response: str) -> None:
    outcome = judge(verifier, gold, response)
    assert (outcome.score, outcome.correct) == (1.0, True)


@pytest.mark.parametrize("name", HACKS)
def test_cheats_earn_nothing(name: str) -> None:
    outcome = judge(*HACKS[name])
    assert (outcome.status, outcome.score) == (Status.SCORED, 0.0)


@pytest.mark.parametrize("name", HACKS)
def test_the_guru_profile_is_published_but_not_open_to_code_and_defaults(name: str) -> None:
    outcome = judge(*HACKS[name], Profile.GURU)
    assert outcome.status is Status.SCORED
    published = (
        "zebra:",
        "arc: floats",
        "arc: minus",
        "arc: false",
        "arc: two attempts",
        "arc: multiplication",
        "ordering: every permutation",
        "ordering: sorted",
    )
    if not name.startswith(published):
        assert outcome.score == 0.0


def shared() -> list[dict[str, Any]]:
    if not SHARED.exists():
        return []
    rows = [json.loads(line) for line in SHARED.read_text().splitlines()]
    return [row for row in rows if row["verifier"] in SOURCES and not row["policy"]]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared list of cheats is not here")
def test_the_shared_cheats_earn_nothing_and_their_controls_everything() -> None:
    rows = shared()
    assert {row["kind"] for row in rows} == {"hack", "control"}
    surprises = [
        (row["id"], outcome.score)
        for row in rows
        if (outcome := judge(row["verifier"], row["ground_truth"], row["response"])).score
        != (1.0 if row["kind"] == "control" else 0.0)
    ]
    assert surprises == []
