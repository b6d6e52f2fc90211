r"""CodeI/O: predict what a program returns, or find an input for a given return value, as a JSON object.

What is decided here: which value is compared with what. How an answer is found, read and compared is decided in
`_json_answer`, from the data set's own rule (domains.md §1.3); the row formats are Guru's (guru.md §2a): the ground truth is
`"output": …` or `"input": …` without outer braces, or the object itself.
- Output prediction: the last answered value equals the reference.
- Input prediction: every input that leads to the stated output is right, and only running the row's code can tell. Without
  that, an answer is right when it equals the reference input, and wrong otherwise; `detail.compared_with` says so.
- An answer that can't be read is never a null.
guru: the published scorer: the first fence of the whole response, thinking included, or else the last balanced braces; its
`output`, else its `input`, else the object; strings that hold JSON or true/false count as such, and equality is
Python's, in which true is 1. Its one default, that an unreadable answer is null and equals null, is not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from reward_service.handlers._json_answer import bounded, find_answer, read_reference, same_value
from reward_service.handlers._text import final_part
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MODES = ("output", "input")
GOLD = '`"output": …` or `"input": …`: JSON without its outer braces, or the object'


class Gold(NamedTuple):
    """What was to be predicted (`output` or `input`), and the reference value."""

    mode: str
    value: Any


@handler(
    "json_output",
    version="1",
    domain=Domain.SIMULATION,
    sources=[
        Source(
            "simulation__codeio",
            GOLD,
            Example(
                'Both lists merge.\n```json\n{"output": {"sum": 42, "mean": 10.5}}\n```',
                '"output": {"sum": 42, "mean": 10.5}',
            ),
            ("codei_o", "codeio_pyedu", "hkust-nlp/codeio-pyedu-reasoning", "json_output"),
        )
    ],
    reads=("mode",),
)
def plan(item: Item) -> Outcome:
    """The last JSON answer equals the reference: exact, floats within a thousandth and the same integer part."""
    gold = parse_gold(item.ground_truth, item.extra_info.get("mode"))
    if gold is None:
        return malformed(
            'the ground truth is `"output": …` or `"input": …`, finite JSON with or without its outer braces'
        )
    if item.profile is Profile.GURU:
        return _published_verdict(item.response, gold)
    bare = gold.value.keys() if isinstance(gold.value, dict) else ()
    answer = find_answer(
        final_part(item.response), gold.mode, bare_keys=bare, bare_values=gold.mode == "output"
    )
    trace = {"mode": gold.mode, "reference": gold.value} if item.explain else {}
    if answer.reason is not None:
        return reject(answer.reason, answer.shown, flags=answer.flags, trace=trace)
    if same_value(gold.value, answer.value):
        return accept(answer.shown, flags=answer.flags, trace=trace)
    if gold.mode == "input":
        return reject(
            Reason.NOT_EQUAL,
            answer.shown,
            flags=answer.flags,
            trace=trace,
            compared_with="the reference input",
        )
    return reject(Reason.NOT_EQUAL, answer.shown, flags=answer.flags, trace=trace)


_KEY = re.compile(r'\s*+"(?:output|input)"\s*+:')


def parse_gold(value: Any, mode: Any = None) -> Gold | None:
    """The reference of a row; `mode` (the row's own) decides where it holds both. None if it can't be used."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = read_reference("{" + text + "}" if _KEY.match(text) else text)
        except ValueError:
            return None
    if not isinstance(value, Mapping):
        return None
    given = [key for key in MODES if key in value]
    if len(given) == 2:
        given = [mode] if mode in MODES else []
    if len(given) != 1 or not bounded(value[given[0]]):
        return None
    return Gold(given[0], value[given[0]])


# ---------------------------------------------------------------- the published scorer


def _published_verdict(response: str, gold: Gold) -> Outcome:
    try:
        found = _published_object(response)
        if found is None:
            return reject(Reason.NO_ANSWER)
        answer = found.get("output", found.get("input", found))
        equal = bool(_published_normal(answer) == _published_normal(gold.value))
    except (ValueError, RecursionError):
        return reject(Reason.MALFORMED_ANSWER)
    shown = json.dumps(answer)
    return accept(shown) if equal else reject(Reason.NOT_EQUAL, shown)


def _published_object(response: str) -> dict[str, Any] | None:
    text = response
    start = response.find("```")
    end = response.find("```", start + 3) if start >= 0 else -1
    if end >= 0:
        text = response[start + 3 : end].removeprefix("json")
    text = text.strip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        braces = _last_braces(text)
        value = json.loads(braces.replace("\n", "")) if braces else None
    return value if isinstance(value, dict) else None


def _last_braces(text: str) -> str:
    depth = start = 0
    last = ""
    for brace in re.finditer(r"[{}]", text):
        if brace.group() == "{":
            start = brace.start() if depth == 0 else start
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                last = text[start : brace.end()]
    return last


def _published_normal(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if text[:1] + text[-1:] in ("{}", "[]"):
            try:
                return _published_normal(json.loads(text))
            except json.JSONDecodeError:
                pass
        return text.lower() == "true" if text.lower() in ("true", "false") else value
    if isinstance(value, list):
        return [_published_normal(one) for one in value]
    if isinstance(value, dict):
        return {key: _published_normal(one) for key, one in value.items()}
    return value
