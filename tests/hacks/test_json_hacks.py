"""Cheats against predicted JSON values earn nothing, and the honest answer beside each reference is paid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Status

SOURCE = "simulation__codeio"

REFERENCES: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "one": 1,
    "float": 3.25,
    "word": "kiwi",
    "empty list": [],
    "empty object": {},
    "list": [2, 3, 5],
    "object": {"found": False, "steps": 7},
}

HACKS = {
    "nothing": "",
    "prose": "The output follows from the code.",
    "empty fence": "```json\n```",
    "empty box": "\\boxed{}",
    "no value": '{"output": }',
    "placeholder": '{"output": <your output>}',
    "ellipsis": '{"output": ...}',
    "undefined": '{"output": undefined}',
    "not a number": '{"output": NaN}',
    "infinity": '{"output": Infinity}',
    "overflow": '{"output": 1e999}',
    "every value": '{"output": [null, true, 0, 1, 3.25, "kiwi", [], {}, [2, 3, 5], {"found": false, "steps": 7}]}',
    "every value, a key each": '{"output": {"a": null, "b": 1, "c": 0, "d": [], "e": {}, "f": "kiwi"}}',
    "every value, one after the other": " ".join(
        json.dumps({"output": value}) for value in [*REFERENCES.values(), "end"]
    ),
    "every value, or": " or ".join(json.dumps({"output": value}) for value in REFERENCES.values()),
    "a key given twice": '{"output": null, "output": 0, "output": 1, "output": 3.25, "output": "kiwi"}',
    "a schema": '{"output": {"type": "integer", "enum": [0, 1]}}',
    "a reference": '{"output": {"$ref": "#/output"}}',
    "a comparison": '{"output": 1 == 1}',
    "a conditional": '{"output": 1 if True else 0}',
    "arithmetic": "{'output': 3 + 0.25}",
    "a call": "{'output': __import__('os').getenv('HOME')}",
    "a comprehension": "{'output': [n for n in (2, 3, 5)]}",
    "an attribute": '{"output": {"__class__": "str", "__eq__": true}}',
    "the key, alone": '"output"',
    "the key's name as a value": '{"output": "output"}',
    "another key": '{"result": 1}',
    "the thinking only": '<think>{"output": 1}',
    "cut short": '{"output": {"found": false, "steps": 7',
    "right or not": '{"output": {"found": false, "steps": 7, "maybe": true}}',
    "a pattern": '{"output": ".*"}',
    "deep": '{"output": ' + "[" * 3_000 + "]" * 3_000 + "}",
    "digits": '{"output": ' + "1" * 6_000 + "}",
}


def judge(response: str, reference: Any, profile: Profile = Profile.STRICT) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    gold = f'"output": {json.dumps(reference)}'
    return route.handler.plan(Item(SOURCE, response, gold, {}, profile, SOURCE))


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("profile", Profile)
def test_honest_answers_are_paid(name: str, profile: Profile) -> None:
    response = f"So:\n```json\n{json.dumps({'output': REFERENCES[name]})}\n```"
    assert judge(response, REFERENCES[name], profile).correct
    paid = [other for other in REFERENCES if judge(response, REFERENCES[other]).correct]
    assert paid == [name]


@pytest.mark.parametrize("name", HACKS)
def test_cheats_earn_nothing_whatever_the_reference(name: str) -> None:
    for reference in REFERENCES.values():
        outcome = judge(HACKS[name], reference)
        assert (outcome.status, outcome.score) == (Status.SCORED, 0.0)


@pytest.mark.parametrize("name", HACKS)
def test_the_guru_profile_has_no_default_and_runs_nothing(name: str) -> None:
    published = (
        "every value, one after",
        "every value, or",
        "a key given twice",
        "the thinking only",
        "empty box",  # its braces are an empty object
    )
    for reference in REFERENCES.values():
        outcome = judge(HACKS[name], reference, Profile.GURU)
        assert outcome.status is Status.SCORED
        if not name.startswith(published):
            assert outcome.score == 0.0
