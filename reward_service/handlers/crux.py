"""CRUXEval: predict what a call returns, or find arguments for a given value, as an assertion.

What is decided here: a prediction is data, never a program. The last assertion about `f` in the answer is parsed; its one
side must be a call of `f` with literal arguments, the other side a literal. Then
- output prediction: the arguments are those that were asked for, and the literal equals, as Python has it, what the
  row's own `f` returns for them: the row's `output` where it has one, else our call of the row's code in the sandbox;
- input prediction: the other side is the value asked for, and the row's own `f`, called in the sandbox with the predicted
  arguments, returns it.
So `pass`, `assert True`, `f(x) == f(x)`, another input, a redefined `f` and an object that equals everything are all
wrong (domains.md §1.3). A bare literal (or bare call of `f`) is read as that side of the assertion. An answer that asserts
different things is ambiguous. Guru's rows hold the code as {"functional": code}; what was asked is then in the prompt's
last assertion with `??`.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._literal import LiteralError, check_bounds
from reward_service.handlers._program import blocks
from reward_service.handlers._text import boxes, final_part, tags
from reward_service.handlers._values import Decoder, ValueRefused, encode
from reward_service.handlers._values import parse as parse_value
from reward_service.registry import Source, handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style, Work
from reward_service.types import Domain, Example, Item, Limits, Outcome, Reason, accept, malformed, reject

LIMITS = RunLimits(cpu_seconds=5.0, total_cpu_seconds=5.0, memory_bytes=512 << 20)
MAX_ANSWER = 20_000
"""Characters of a block, a line or a tag that is read as an answer."""

CODE = "def f(items, start):\n    for item in items:\n        start -= item\n    return [start]"
ASKED = "assert f([3, 4], 10) == ??"
WANTED = "assert f(??) == [3]"


class Asked(NamedTuple):
    """The row: its code, the source of the arguments asked for (output prediction), and that of the value."""

    code: str
    arguments: str | None
    value: str | None


class Call(NamedTuple):
    """Literal arguments of `f`."""

    args: list[Any]
    kwargs: dict[str, Any]


class Claim(NamedTuple):
    """What one assertion says. None: that side is missing."""

    call: Call | None
    value: Any
    has_value: bool


def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome | Work:
    """Compare what our call returned with the literal in the notes."""
    result = results[0]
    if result.status is not RunStatus.OK:
        if notes["ours"]:
            return malformed(f"the row's own code fails on the row's own input: {result.status}")
        narrate.check("the call of f", False, status=result.status, message=result.message)
        reason = (
            Reason(result.status.value) if result.status is not RunStatus.TESTS_FAILED else Reason.NOT_EQUAL
        )
        return reject(reason, notes["shown"], flags=notes["flags"])
    try:
        frame = parse_value(result.value or "")
        returned = Decoder(frame.get("o")).decode(frame.get("v"))
        stated = Decoder().decode(notes["value"])
    except (ValueRefused, AttributeError):
        if notes["ours"]:
            return malformed("the row's own code returns what is not plain data")
        return reject(Reason.NOT_EQUAL, notes["shown"], flags=notes["flags"])
    narrate.forms(stated, returned, "what was stated, what the row's code returns")
    narrate.check("the row's code, run", same(returned, stated), expected=stated, got=returned)
    trace = {"returned": repr(returned)[:2_000], "stated": repr(stated)[:2_000]} if item.explain else {}
    if same(returned, stated):
        return accept(notes["shown"], flags=notes["flags"], trace=trace)
    return reject(Reason.NOT_EQUAL, notes["shown"], flags=notes["flags"], trace=trace)


@handler(
    "crux",
    version="1",
    domain=Domain.SIMULATION,
    sources=[
        Source(
            "simulation__cruxeval-o",
            '`{"functional": "def f(…): …"}` with the assertion asked for in the prompt; or code, input and output',
            Example(
                "10 - 3 - 4 is 3.\n```python\nassert f([3, 4], 10) == [3]\n```",
                json.dumps({"functional": CODE}),
                {"question": f"{CODE}\n{ASKED}"},
            ),
            ("cruxeval-o", "cruxeval_output", "cruxeval_o"),
        ),
        Source(
            "simulation__cruxeval-i",
            "as for outputs; the value asked for is in the prompt or in `output`",
            Example(
                "Start at 5, take 2.\n```python\nassert f([2], 5) == [3]\n```",
                json.dumps({"functional": CODE}),
                {"question": f"{CODE}\n{WANTED}"},
            ),
            ("cruxeval-i", "cruxeval_input", "cruxeval_i"),
        ),
    ],
    reads=("code", "input", "output", "question", "original_prompt"),
    limits=Limits(cpu_seconds=3.0),
    judge=judge,
)
def plan(item: Item) -> Outcome | Work:
    """The asserted value is what the row's own code returns for the asserted arguments; nothing of the answer is run."""
    wants_input = "cruxeval-i" in (item.source or item.data_source)
    asked = read_row(item.ground_truth, item.extra_info, wants_input)
    if isinstance(asked, str):
        return malformed(asked)
    claims, flags = find_claims(item.response)
    if claims is None:
        narrate.missing("no <answer>, [ANSWER], code block, assert line or box")
        return reject(Reason.NO_ANSWER, flags=flags)
    if not claims:
        return reject(
            Reason.MALFORMED_ANSWER, flags=flags, message="no assertion of `f(literals) == literal`"
        )
    if any(repr(claim) != repr(claims[0]) for claim in claims):
        return reject(Reason.AMBIGUOUS_ANSWER, flags=(*flags, "multiple_answers"))
    return (_plan_input if wants_input else _plan_output)(item, asked, claims[0], flags)


def _plan_output(item: Item, asked: Asked, claim: Claim, flags: tuple[str, ...]) -> Outcome | Work:
    shown = repr(claim.value)
    if not claim.has_value:
        return reject(Reason.MALFORMED_ANSWER, flags=flags, message="no value is asserted")
    if claim.call is not None:
        given = read_call(f"f({asked.arguments})")
        if given is not None and not (
            same(given.args, claim.call.args) and same(given.kwargs, claim.call.kwargs)
        ):
            return reject(Reason.NOT_EQUAL, shown, flags=(*flags, "other_input"), message="another input")
    if asked.value is not None:
        try:
            value = read_literal(asked.value)
        except LiteralError:
            pass
        else:
            narrate.forms(claim.value, value, "Python values")
            narrate.compared("Python's own equality", same(value, claim.value))
            trace = {"expected": asked.value} if item.explain else {}
            if same(value, claim.value):
                return accept(shown, flags=flags, trace=trace)
            return reject(Reason.NOT_EQUAL, shown, flags=flags, trace=trace)
    source = f"{asked.code}\n\n\ndef asked__():\n    return f({asked.arguments})\n"
    return _work(source, "asked__", {"a": []}, claim.value, shown, flags, ours=True)


def _plan_input(item: Item, asked: Asked, claim: Claim, flags: tuple[str, ...]) -> Outcome | Work:
    if claim.call is None:
        return reject(Reason.MALFORMED_ANSWER, flags=flags, message="no call of `f` with literal arguments")
    try:
        value = read_literal(asked.value or "")
    except LiteralError:
        return malformed("the value asked for is not a literal")
    shown = repr(claim.call)
    if claim.has_value and not same(value, claim.value):
        return reject(Reason.NOT_EQUAL, shown, flags=flags, message="another value than was asked for")
    try:
        arguments = {
            "a": [encode(arg) for arg in claim.call.args],
            "k": {name: encode(arg) for name, arg in claim.call.kwargs.items()},
        }
    except ValueRefused:
        return reject(Reason.MALFORMED_ANSWER, flags=flags)
    return _work(asked.code, "f", arguments, value, shown, flags, ours=False)


def _work(
    source: str, entry: str, arguments: Any, value: Any, shown: str, flags: tuple[str, ...], *, ours: bool
) -> Outcome | Work:
    try:
        notes = {"value": encode(value), "shown": shown, "flags": list(flags), "ours": ours}
    except ValueRefused:
        return reject(Reason.MALFORMED_ANSWER, flags=flags)
    program = Program("python", source, Style.FUNCTION, entry_point=entry, limits=LIMITS)
    return Work(program, (Run(arguments=arguments),), notes)


def same(one: Any, other: Any) -> bool:
    """Python's own equality of plain data: True is 1, a tuple is no list; a nan is itself."""
    try:
        return bool(one == other) or repr(one) == repr(other)
    except RecursionError:
        return False


# The row ------------------------------------------------------------------------------------------------------------


def read_row(gold: Any, extra: Mapping[str, Any], wants_input: bool) -> Asked | str:
    """What the row asks; a text says what it lacks."""
    fields: dict[str, Any] = {}
    if isinstance(gold, str):
        try:
            decoded = json.loads(gold)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, dict) and {"functional", "code"} & decoded.keys():
            gold = decoded
    if isinstance(gold, Mapping) and {"functional", "code"} & gold.keys():
        fields = {
            "code": gold.get("functional") or gold.get("code"),
            **{k: gold.get(k) for k in ("input", "output")},
        }
    elif isinstance(gold, str) and gold.strip():
        fields = {"input" if wants_input else "output": gold}
    given = {
        name: value
        for name in ("code", "input", "output")
        if isinstance(value := fields.get(name) or extra.get(name), str) and value.strip()
    }
    prompt = "\n".join(
        text for key in ("question", "original_prompt") if isinstance(text := extra.get(key), str)
    )
    arguments, value = _asked_in(prompt)
    arguments = given.get("input") or arguments
    value = given.get("output") or value
    code = given.get("code") or _code_in(prompt)
    needs_code = wants_input or value is None
    if needs_code and not code:
        return "the row lacks the code of `f`"
    if wants_input and value is None:
        return "the row lacks the value that was asked for (`output`, or an assertion with ?? in the prompt)"
    if not wants_input and arguments is None:
        return "the row lacks the input that was asked for (`input`, or an assertion with ?? in the prompt)"
    return Asked(code, arguments, value)


_ASKED = re.compile(r"assert\s+f\((.*)\)\s*==\s*([^\n]+)")
_BLANK = re.compile(r"\?{2,}|_{3,}|<\w+>|\.\.\.")


def _asked_in(prompt: str) -> tuple[str | None, str | None]:
    """The arguments and the value in the prompt's last assertion with a blank; None for the blank."""
    found: tuple[str | None, str | None] = (None, None)
    for line in prompt.splitlines()[-2_000:]:
        match = _ASKED.search(line[:MAX_ANSWER])
        if match:
            sides = [None if _BLANK.fullmatch(side.strip()) else side.strip() for side in match.groups()]
            if None in sides:
                found = (sides[0], sides[1])
    return found


def _code_in(prompt: str) -> str:
    fenced = [block.source for block in blocks(prompt) if re.search(r"^def f\(", block.source, re.MULTILINE)]
    text = fenced[-1] if fenced else prompt
    at = text.rfind("\ndef f(")
    text = text[at + 1 :] if at >= 0 else text
    lines = text.split("\n")
    kept = [line for line in lines if not line.startswith("assert ")]
    for end in range(len(kept), max(0, len(kept) - 40), -1):
        if "def f(" in (source := "\n".join(kept[:end])) and _parse(source) is not None:
            return source
    return ""


# The answer ---------------------------------------------------------------------------------------------------------


def find_claims(response: str) -> tuple[list[Claim] | None, tuple[str, ...]]:
    """The assertions in the place where the answer is; None if there is no such place."""
    text = final_part(response)
    for spans in ([span.content for span in tags(text, "answer")], _answer_marks(text)):
        if spans:
            narrate.found_text("the last <answer> or [ANSWER]", spans[-1].strip())
            inner = blocks(spans[-1])
            return claims_in(inner[-1].source if inner else spans[-1]), ()
    fenced = [block.source for block in blocks(text) if block.tag in ("", "python", "py", "python3")]
    if fenced:
        narrate.found_text("the last block of Python", fenced[-1].strip())
        return claims_in(fenced[-1]), ()
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("assert ")]
    if lines:
        narrate.found_text("the last line that begins with assert", lines[-1])
        return claims_in(lines[-1]), ()
    boxed = boxes(text)
    if boxed:
        narrate.found("the last closed box", text, boxed[-1].start, boxed[-1].end)
        return claims_in(boxed[-1].content), ()
    return None, ()


def _answer_marks(text: str) -> list[str]:
    _, found, rest = text.rpartition("[ANSWER]")
    inner, closed, _ = rest.partition("[/ANSWER]")
    return [inner] if found and closed else []


def claims_in(text: str) -> list[Claim]:
    """Every assertion about `f` on the top level of a text, or the one bare literal or call that it is."""
    text = text.strip()
    if not text or len(text) > MAX_ANSWER:
        return []
    tree = _parse(text)
    if tree is None:
        return []
    asserts = [node.test for node in tree.body if isinstance(node, ast.Assert)]
    if not asserts:
        only = tree.body[0] if len(tree.body) == 1 else None
        if not isinstance(only, ast.Expr):
            return []
        side = _side(only.value)
        return [side] if side is not None else []
    claims = []
    for test in asserts:
        claim = _claim(test)
        if claim is None:
            return []
        claims.append(claim)
    return claims


def _claim(test: ast.expr) -> Claim | None:
    if not (
        isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is)
    ):
        return None
    left, right = _side(test.left), _side(test.comparators[0])
    if left is None or right is None or (left.call is None) == (right.call is None):
        return None
    call, literal = (left, right) if left.call is not None else (right, left)
    return Claim(call.call, literal.value, True)


def _side(node: ast.expr) -> Claim | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "f":
        call = _call(node)
        return Claim(call, None, False) if call is not None else None
    try:
        return Claim(None, _literal(node), True)
    except LiteralError:
        return None


def read_call(text: str) -> Call | None:
    """`f(literals)` as a call; None if its arguments are no literals."""
    tree = _parse(text)
    node = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return _call(node.value)
    return None


def _call(node: ast.Call) -> Call | None:
    try:
        kwargs = {
            keyword.arg: _literal(keyword.value) for keyword in node.keywords if keyword.arg is not None
        }
        if len(kwargs) != len(node.keywords):
            return None
        return Call([_literal(arg) for arg in node.args], kwargs)
    except LiteralError:
        return None


def read_literal(text: str) -> Any:
    """A Python literal, also `set()` and its like. LiteralError otherwise."""
    tree = _parse(text.strip())
    node = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    if not isinstance(node, ast.Expr):
        raise LiteralError("not a literal")
    return _literal(node.value)


_EMPTY: Mapping[str, Any] = {
    "set": set,
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "frozenset": frozenset,
    "str": str,
}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        name = node.func.id
        if name in _EMPTY and not node.args:
            return _EMPTY[name]()
        if name in ("frozenset", "set", "tuple", "list") and len(node.args) == 1:
            inner = _literal(node.args[0])
            if isinstance(inner, list | tuple | set):
                try:
                    return _EMPTY[name](inner)
                except TypeError:
                    raise LiteralError("a set of what has no hash") from None
        if name == "float" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            text = node.args[0].value
            if text in ("nan", "inf", "-inf"):
                return float(text)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise LiteralError("not a literal") from None


def _parse(text: str) -> ast.Module | None:
    try:
        check_bounds(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (LiteralError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
