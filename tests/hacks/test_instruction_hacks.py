"""Cheats against instruction following: to the letter, and nothing said. Honest answers beside them are paid in full.

The table below ships with the repository. The `ifeval` cases of `../shared/hacks/text_hacks.jsonl` are run as well where
they exist.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Status

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks" / "text_hacks.jsonl"


def judge(gold: Any, response: str, question: str = "", profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route("ifeval")
    assert route is not None
    extra = {"question": question} if question else {}
    return route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))


def asks(identifier: str, **arguments: Any) -> dict[str, Any]:
    return {"instruction_id": [identifier], "kwargs": [arguments]}


LONG = asks("length_constraints:number_words", num_words=25, relation="at least")
WORDS = asks("keywords:existence", keywords=["harvest", "frost"])
PLAIN = asks("punctuation:no_comma")
KOREAN = asks("language:response_language", language="ko")
TEXT = (
    "The frost came early that year and the harvest was still in the fields, so the whole village worked through the "
    "night by lamp light until the last cart was under a roof."
)

HONEST = {
    "length": (LONG, TEXT, ""),
    "keywords": (WORDS, TEXT, ""),
    "keywords in a short sentence": (WORDS, "Frost spoils the harvest.", ""),
    "a keyword is the answer": (asks("keywords:existence", keywords=["Oslo"]), "Oslo", ""),
    "no comma, one word": (PLAIN, "Rain", ""),
    "a repetition that was asked for": (LONG, "hello " * 25, "Repeat the word hello 25 times."),
    "few words, said often, and others": (LONG, "No no no no no! " * 5 + "Stop it at once.", ""),
    "Korean": (KOREAN, "오늘은 날씨가 좋습니다.", ""),
}  # fmt: skip

HACKS = {
    "one letter over and over": (LONG, "a " * 40, ""),
    "one word over and over": (LONG, "word " * 40, ""),
    "two words over and over": (LONG, "So what? " * 30, ""),
    "filler where the keyword asks for repetition": (
        asks("keywords:frequency", keyword="frost", frequency=20, relation="at least"), "frost " * 30, "",
    ),
    "nothing but the keywords": (WORDS, "harvest frost", ""),
    "the keywords and a joint": (WORDS, "Harvest and frost.", ""),
    "the keywords, many times": (WORDS, "harvest frost " * 3, ""),
    "nothing after the thinking": (PLAIN, "Snow, rain, hail</think>.", ""),
    "only marks": (PLAIN, "?!;:", ""),
    "only white space characters": (asks("format:no_whitespace"), "\u200b", ""),
    "a thinking part that never ends": (PLAIN, "<think>rain", ""),
    "digits in no language": (KOREAN, "1 2 3 4 5", ""),
    "code in the arguments' place": (WORDS, "__import__('os').system('true')", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_honest_answers_are_paid(what: str) -> None:
    gold, response, question = HONEST[what]
    assert judge(gold, response, question).score == 1.0


@pytest.mark.parametrize("what", HACKS)
def test_cheats_earn_nothing(what: str) -> None:
    gold, response, question = HACKS[what]
    outcome = judge(gold, response, question)
    assert (outcome.status, outcome.score) == (Status.SCORED, 0.0)


def test_the_reply_says_that_only_the_constraint_was_met() -> None:
    outcome = judge(LONG, "a " * 40)
    assert outcome.flags == ("constraint_only",)
    assert outcome.detail["followed"] == [True]
    assert judge(LONG, "a " * 40, profile=Profile.GURU).score == 1.0, (
        "the published rule asks for nothing else"
    )


def test_the_shared_cases() -> None:
    if not SHARED.exists():
        pytest.skip("no shared cheats here")
    cases = [json.loads(line) for line in SHARED.read_text().splitlines()]
    cases = [case for case in cases if case["verifier"] == "ifeval"]
    assert len(cases) >= 7
    got = {
        case["id"]: judge(case["ground_truth"], case["response"], case["question"]).score for case in cases
    }
    assert got == {case["id"]: case["expected_reward"] for case in cases}
