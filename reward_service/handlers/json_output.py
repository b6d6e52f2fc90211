r"""CodeI/O: predict what a program returns, or find an input for a given return value, as a JSON object.

What is decided here: which value is compared with what. How an answer is found, read and compared is decided in
`_json_answer`, from the data set's own rule (domains.md §1.3); the row formats are Guru's (guru.md §2a): the ground truth is
`"output": …` or `"input": …` without outer braces, or the object itself.
- Output prediction: the last answered value equals the reference.
- Input prediction: every input that leads to the stated output is right, and only running the row's code can tell. Where
  the row has it (`refcode`, with the stated output in `io`), an input that isn't the reference one is given to it in the
  sandbox. Without that, an answer is right when it equals the reference input, and wrong otherwise;
  `detail.compared_with` says which it was.
- An answer that can't be read is never a null.
guru: the published scorer: the first fence of the whole response, thinking included, or else the last balanced braces; its
`output`, else its `input`, else the object; strings that hold JSON or true/false count as such, and equality is
Python's, in which true is 1. Its one default, that an unreadable answer is null and equals null, is not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._json_answer import bounded, find_answer, read_reference, same_value
from reward_service.handlers._text import final_part
from reward_service.handlers._values import Decoder, ValueRefused, as_json, encode, parse
from reward_service.registry import Source, handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style, Work
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MODES = ("output", "input")
GOLD = '`"output": …` or `"input": …`: JSON without its outer braces, or the object'


LIMITS = RunLimits(cpu_seconds=5.0, total_cpu_seconds=5.0)
"""Of the row's code on a predicted input: CodeI/O's own 5 seconds."""


class Gold(NamedTuple):
    """What was to be predicted (`output` or `input`), and the reference value."""

    mode: str
    value: Any


class Code(NamedTuple):
    """The row's code, the function to call, and the output that was stated."""

    source: str
    function: str
    output: Any


def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome | Work:
    """Does the row's code return the stated output for the predicted input?"""
    trace = {"output": notes["output"], "returned": results[0].value} if item.explain else {}
    compared = "the row's code"
    if narrate.listening():
        result = results[0]
        got = _returned(result) if result.status is RunStatus.OK else None
        right = result.status is RunStatus.OK and same_value(notes["output"], got)
        narrate.check("the row's code, run on the answer", right, status=result.status.value, expected=repr(notes["output"]), got=repr(got), message=result.message)  # fmt: skip
    if results[0].status is RunStatus.OK and same_value(notes["output"], _returned(results[0])):
        return accept(notes["shown"], flags=notes["flags"], trace=trace, compared_with=compared)
    return reject(Reason.NOT_EQUAL, notes["shown"], flags=notes["flags"], trace=trace, compared_with=compared)


@handler(
    "json_output",
    version="2",
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
    reads=("mode", "refcode", "funcname", "io"),
    judge=judge,
)
def plan(item: Item) -> Outcome | Work:
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
    same = same_value(gold.value, answer.value)
    narrate.forms(answer.value, gold.value, gold.mode)
    narrate.compared(f"the reference {gold.mode}", same)
    if same:
        return accept(answer.shown, flags=answer.flags, trace=trace)
    if gold.mode == "input":
        code = row_code(item.extra_info)
        if code is not None:
            return _run(code, answer.value, answer.shown, answer.flags)
        return reject(
            Reason.NOT_EQUAL,
            answer.shown,
            flags=answer.flags,
            trace=trace,
            compared_with="the reference input",
        )
    return reject(Reason.NOT_EQUAL, answer.shown, flags=answer.flags, trace=trace)


def row_code(extra: Mapping[str, Any]) -> Code | None:
    """The code that a row ships, if its output is known and can be compared."""
    source, pair = extra.get("refcode"), extra.get("io")
    function = extra.get("funcname") or "main_solution"
    if not (
        isinstance(source, str) and source.strip() and isinstance(function, str) and isinstance(pair, Mapping)
    ):
        return None
    if "output" not in pair or not bounded(pair["output"]):
        return None
    return Code(source, function, pair["output"])


_WINDOWS = re.compile(r"\b(?:turtle|tkinter|pygame)\b")
NO_WINDOWS = """
import importlib.util, sys, types
for _name in ("turtle", "tkinter", "pygame"):
    if importlib.util.find_spec("tkinter" if _name == "turtle" else _name) is None:
        sys.modules[_name] = types.ModuleType(_name)
"""
"""In front of code that imports what draws windows: nothing here has one, and `main_solution` doesn't draw."""


def _run(code: Code, answer: Any, shown: str | None, flags: Sequence[str]) -> Outcome | Work:
    """The row's code on the predicted input: an object is its arguments by name, anything else the only one."""
    try:
        by_name = {name: encode(value) for name, value in answer.items()} if isinstance(answer, dict) else {}
        arguments = {"a": [] if isinstance(answer, dict) else [encode(answer)], "k": by_name}
    except ValueRefused:
        return reject(Reason.NOT_EQUAL, shown, flags=flags)
    preamble = NO_WINDOWS if _WINDOWS.search(code.source) else ""
    program = Program("python", code.source, Style.FUNCTION, preamble, code.function, limits=LIMITS)
    notes = {"output": code.output, "shown": shown, "flags": list(flags)}
    return Work(program, (Run(arguments=arguments),), notes)


def _returned(result: RunResult) -> Any:
    try:
        frame = parse(result.value or "")
        return as_json(Decoder(frame.get("o")).decode(frame.get("v")))
    except (ValueRefused, AttributeError):
        return object()  # equals no reference


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
