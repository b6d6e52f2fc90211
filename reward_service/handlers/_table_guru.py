"""The published Reasoning360 verdict on table answers, where it is deterministic and safe.

What is decided here: what of the published scorer is kept. Facts (`reference/guru.md` §2a, §5.2): the whole text in
lower case, the part after the last `</think>`, the last box or else the whole text; a number when both sides evaluate
to one, equal within a relative 1e-3 of the gold, of its hundredfold or its hundredth (`%` divides by a hundred);
otherwise strings without `\\text{…}` (contents too), `$`, `,` and runs of blanks; and `|` a sorted multiset.
Left out: `eval` of the answer. Its place takes arithmetic on literals of at most 200 characters; what only an
evaluation could pay (names, calls, attribute access, bitwise `|`) is text here. TAT-QA, WTQ and TableBench were never
Guru sources; they are judged alike, from their golds as they stand. An empty answer is never paid.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Sequence

from reward_service.handlers._text import boxes
from reward_service.types import Outcome, Reason, accept, reject

TOLERANCE = 1e-3
MAX_EXPRESSION = 200
_TEXT_MACRO = re.compile(r"\\text\s?\{[^{}]*\}")
_BLANKS = re.compile(r"[ \t\n]+")


def published_verdict(response: str, golds: Sequence[str]) -> Outcome:
    """Score 0 or 1 as the published scorer would, for golds that are already split at `|`."""
    text = response.lower().rpartition("</think>")[2].strip()[-(1 << 16) :]
    spans = boxes(text)
    answer = (spans[-1].content if spans else text).strip()
    if not answer:
        return reject(Reason.NO_ANSWER)
    parts = answer.split("|")
    if len(parts) != len(golds):
        return reject(Reason.NOT_EQUAL, answer)
    if len(golds) == 1:
        equal = _same(golds[0].lower(), answer)
    else:
        left, right = sorted(_normal(gold.lower()) for gold in golds), sorted(_normal(part) for part in parts)
        equal = all(_same(one, other) for one, other in zip(left, right, strict=True))
    return accept(answer) if equal else reject(Reason.NOT_EQUAL, answer)


def _normal(text: str) -> str:
    return _BLANKS.sub(
        " ", text.replace("\\$", "").replace("$", "").replace("\\,", "").replace(",", "")
    ).strip()


def _same(gold: str, answer: str) -> bool:
    gold, answer = _normal(gold), _normal(answer)
    given = _number(answer)
    if given is None:
        return gold == _normal(_TEXT_MACRO.sub("", answer))
    try:
        expected = float(gold.removesuffix("%"))
    except ValueError:
        return False
    return any(
        math.isclose(given, wanted, rel_tol=TOLERANCE)
        for wanted in (expected, expected * 100, expected / 100)
    )


def _number(text: str) -> float | None:
    """The value of an arithmetic expression of literals, or None."""
    if not text or len(text) > MAX_EXPRESSION:
        return None
    percent = 100 if text.endswith("%") else 1
    text = text.removesuffix("%").removesuffix("\\")
    try:
        value: float | None = float(text)
        return value / percent if value is not None and math.isfinite(value) else None
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
        value = _value(tree.body, 0)
    except (SyntaxError, ValueError, ArithmeticError, MemoryError, RecursionError):
        return None
    return value / percent if value is not None and math.isfinite(value) else None


def _value(node: ast.expr, depth: int) -> float | None:
    if depth > 20:
        return None
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            inner = _value(operand, depth + 1)
            return None if inner is None else (-inner if isinstance(sign, ast.USub) else inner)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _value(operand, depth + 1)
            return None if inner is None else float(not inner)
        case ast.BoolOp(op=op, values=values):
            found = None
            for one in values:
                found = _value(one, depth + 1)
                if found is None or bool(found) is isinstance(op, ast.Or):
                    break
            return found
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = _value(left, depth + 1), _value(right, depth + 1)
            return None if a is None or b is None else _apply(a, operator, b)
    return None


def _apply(a: float, operator: ast.operator, b: float) -> float | None:
    match operator:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Div():
            return a / b
        case ast.Pow():
            power = a**b  # of floats: overflows at once
            return power if isinstance(power, float) else None
    return None
