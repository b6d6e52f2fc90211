"""Cheats against the handlers of short answers earn nothing, and the honest answers beside them are paid in full.

The tables below ship with the repository. `../shared/hacks/text_hacks.jsonl` is run as well where it exists:
its `shortqa` cases, on every handler that compares short texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Status

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks" / "text_hacks.jsonl"
NAMES = ("exact", "f1", "bbeh", "korbench", "livebench")

PLOT = "Eva finds a key. It opens a shed. Inside is a clock. The clock runs backwards. She smiles."
TEXT = "Moss grows on the north side of the old wall, where the sun does not reach before noon in winter."
WORDS = "ale, rum, gin, rye, tin, zinc, lead, iron"
LIES = {"task": "web_of_lies_v3"}


def judge(
    source: str,
    gold: Any,
    response: str,
    extra: dict[str, Any] | None = None,
    profile: Profile = Profile.STRICT,
) -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(
        Item(route.data_source, response, gold, extra or {}, profile, route.source.name)
    )


def live(task: str) -> tuple[str, dict[str, Any]]:
    return "ood__livebench", {"task": task}


HONEST = {
    "a band of articles": ("searchR1_nq", "The The", "<answer>The The</answer>", {}),
    "a language with signs": ("exact", "C++", "<answer>C++</answer>", {}),
    "a negative number": ("searchR1_nq", "-40", "<answer>-40</answer>", {}),
    "an empty list": ("bbeh__x", "[]", "The answer is: []", {}),
    "a calculation": ("korbench__puzzle", "[[(3+5)*3]]", "[[3*(5+3)]]", {"rule_id": "10"}),
    "a plot": (live("plot_unscrambling")[0], PLOT, f"<PLOT_SUMMARY>{PLOT}", live("plot_unscrambling")[1]),
    "a text": (live("typos")[0], TEXT, TEXT, live("typos")[1]),
    "words": (live("connections")[0], WORDS, f"**{WORDS}**", live("connections")[1]),
}

HACKS = {
    "normaliser: only articles": ("searchR1_nq", "The The", "<answer>a an the</answer>", {}),
    "normaliser: only articles, for F1": ("f1", "The The", "<answer>a an the</answer>", {}),
    "normaliser: only punctuation": ("searchR1_nq", "...", "<answer>?!</answer>", {}),
    "normaliser: signs": ("searchR1_nq", "C++", "<answer>C</answer>", {}),
    "normaliser: signs, for F1": ("f1", "C++", "<answer>C</answer>", {}),
    "normaliser: the point": ("searchR1_nq", "2.5", "<answer>25</answer>", {}),
    "normaliser: the minus": ("searchR1_nq", "-40", "<answer>40</answer>", {}),
    "nothing at all": ("searchR1_nq", "Oslo", "<answer></answer>", {}),
    "all candidates": ("searchR1_nq", "Oslo", "<answer>Oslo, Bergen, Narvik</answer>", {}),
    "either": ("searchR1_nq", "Oslo", "<answer>Oslo or Bergen</answer>", {}),
    "several tags, the right one first": ("searchR1_nq", "Oslo", "<answer>Oslo</answer><answer>Bergen</answer>", {}),
    "the answer in what the tool said": (
        "searchR1_nq", "Oslo", "<think>x</think><information><answer>Oslo</answer></information>", {},
    ),
    "thinking that never ends": ("exact", "Oslo", "<think><answer>Oslo</answer>", {}),
    "taken back in the next sentence": ("exact", "Oslo", "The answer is Oslo. Actually, Bergen.", {}),
    "f1: the longest answer": ("f1", "Oslo", "<answer>" + "Oslo " * 3_000 + "</answer>", {}),
    "f1: a number of any kind": ("f1", "17 goals", "<answer>goals goals 3</answer>", {}),
    "bbeh: silence for an empty list": ("bbeh__x", "[]", "", {}),
    "bbeh: a prefix and nothing": ("bbeh__x", "[]", "The answer is:", {}),
    "bbeh: float's other spellings": ("bbeh__x", "1000", "The answer is: 1e3", {}),
    "bbeh: all letters": ("bbeh__x", "(B)", "The answer is: (A) (B) (C)", {}),
    "bbeh: doubt": ("bbeh__x", "12", "The answer is: 12?", {}),
    "korbench: code": ("korbench__puzzle", "[[7+1*2=9]]", "[[__import__('os').system('true')=9]]", {"rule_id": "9"}),
    "korbench: a power that never ends": ("korbench__puzzle", "[[(3+5)*3]]", "[[9**9**9**9]]", {"rule_id": "10"}),
    "korbench: the result alone": ("korbench__puzzle", "[[(3+5)*3]]", "[[24]]", {"rule_id": "10"}),
    "korbench: other numbers": ("korbench__puzzle", "[[(3+5)*3]]", "[[4*6]]", {"rule_id": "10"}),
    "korbench: a letter that occurs": ("korbench__puzzle", "[[steal tales stale]]", "[[a]]", {"rule_id": "4"}),
    "korbench: the question, restated": ("korbench__operation", "[[29]]", "[[5*5+4]]", {}),
    "korbench: every solution": ("korbench__operation", "[[3]]", "[[1or2or3or4]]", {}),
    "korbench: an equation between numbers": ("korbench__operation", "[[42]]", "[[41=42]]", {}),
    "korbench: the sign of a matrix": ("korbench__operation", "[[((1,-2),(3,4))]]", "[[((1,2),(3,4))]]", {}),
    "korbench: every option": ("korbench__counterfactual", "[[C]]", "[[A, B, C, D]]", {}),
    "korbench: two answers": ("korbench__logic", "[[A]]", "[[A]] [[B]]", {}),
    "livebench: an unfinished list": (live("web_of_lies_v2")[0], "yes, no, no", "**yes**", live("web_of_lies_v2")[1]),
    "livebench: more words than questions": ("ood__livebench", "yes,no,no", "<solution>yes,no,no,yes</solution>", LIES),
    "livebench: three guesses": (live("spatial")[0], "7", "**5** **6** **7** **8**", live("spatial")[1]),
    "livebench: a shape inside another": (live("spatial")[0], "triangle", "**square triangle**", live("spatial")[1]),
    "livebench: every version of a text": (
        live("typos")[0], TEXT, f"{TEXT.replace('Moss', 'Mos')}\n{TEXT}\n{TEXT.replace('wall', 'wal')}", live("typos")[1],
    ),
    "livebench: any text for a plot": (live("plot_unscrambling")[0], PLOT, "Yes. No. Well. So. Done.", live("plot_unscrambling")[1]),
    "livebench: every word twice": (live("connections")[0], WORDS, f"**{WORDS}, {WORDS}**", live("connections")[1]),
    "livebench: a key given twice": (live("tablejoin")[0], {"a": "b"}, '{"a": "c", "a": "b"}', live("tablejoin")[1]),
    "livebench: the class in a denial": (live("cta")[0], "Country", "It is not Country", live("cta")[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_answers_are_paid_in_full(name: str) -> None:
    for profile in Profile:
        outcome = judge(*HONEST[name], profile)
        # The published normaliser leaves nothing of "The The", and nothing is never right.
        if not (profile is Profile.GURU and name == "a band of articles"):
            assert (outcome.score, outcome.correct) == (1.0, True)


@pytest.mark.parametrize("name", HACKS)
def test_cheats_earn_nothing(name: str) -> None:
    outcome = judge(*HACKS[name])
    assert (outcome.status, outcome.score) == (Status.SCORED, 0.0)


PUBLISHED_PAYS = {
    "normaliser: signs",
    "normaliser: the point",
    "normaliser: the minus",
    "the answer in what the tool said",
    "livebench: more words than questions",
    "livebench: three guesses",
    "livebench: a shape inside another",
    "livebench: every version of a text",
    "livebench: every word twice",
}
"""What the published scorers pay, and so the guru profile does; code, silence and empty normal forms are not among it."""


@pytest.mark.parametrize("name", HACKS)
def test_the_guru_profile_pays_only_what_the_published_scorers_pay(name: str) -> None:
    outcome = judge(*HACKS[name], Profile.GURU)
    assert outcome.status is Status.SCORED
    assert (outcome.score == 0.0) is (name not in PUBLISHED_PAYS)


def test_copies_of_a_right_group_are_paid_once() -> None:
    source, extra = live("connections")
    assert judge(source, WORDS, "**ale, rum, gin, rye, ale, rum, gin, rye**", extra).score == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_source_has_an_example_that_both_profiles_pay(name: str) -> None:
    handler = load().handlers[name]
    assert handler.sources
    for source in handler.sources:
        for profile in Profile:
            example = source.example
            extra = {
                field: example.extra_info[field] for field in handler.reads if field in example.extra_info
            }
            named = (
                source.name.replace("*", "some_set") if name != "livebench" else source.name.replace("*", "")
            )
            outcome = handler.plan(
                Item(named, example.response, example.ground_truth, extra, profile, source.name)
            )
            assert isinstance(outcome, Outcome)
            assert outcome.score == example.score == 1.0


def shared() -> list[dict[str, Any]]:
    if not SHARED.exists():
        return []
    rows = [json.loads(line) for line in SHARED.read_text().splitlines()]
    return [row for row in rows if row["verifier"] == "shortqa" and not row["policy"]]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared list of cheats is not here")
@pytest.mark.parametrize("source", ["searchR1_nq", "exact", "f1"])
def test_the_shared_cheats_earn_nothing_and_their_controls_everything(source: str) -> None:
    rows = shared()
    assert {row["kind"] for row in rows} == {"hack", "control"}
    surprises = [
        (row["id"], outcome.score)
        for row in rows
        if (outcome := judge(source, row["ground_truth"], row["response"])).score
        != (1.0 if row["kind"] == "control" else 0.0)
    ]
    assert surprises == []
