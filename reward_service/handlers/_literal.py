"""Data written by a model: JSON first, then a Python literal; never an evaluation.

What is decided here: the caps under which text may become a value (length, nesting, digits), that a key
given twice is refused, and that NaN and infinities are refused, `1e999` and its like among them. Nesting is counted before any parser sees
the text, because deep nesting is what crashes parsers.
"""

from __future__ import annotations

import ast
import cmath
import json
import math
import re
import warnings
from typing import Any, NoReturn

MAX_CHARS = 1 << 18
MAX_DEPTH = 48
MAX_DIGITS = 1_000
MAX_BITS = 3_322
"""Of an integer of MAX_DIGITS digits: hexadecimal, and digits with `_` between, are counted when they are read."""


class LiteralError(ValueError):
    """The text is not a bounded JSON or Python literal."""


# A quote that never closes takes the rest of its line: looking for its end again from every later quote is quadratic.
_BRACKETS = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|[\[\](){}]|\d+")
_DIGITS = re.compile(r"\d+")


def check_bounds(text: str) -> None:
    """LiteralError if the text is too long, nested too deep, or has a number with too many digits."""
    if len(text) > MAX_CHARS:
        raise LiteralError(f"longer than {MAX_CHARS} characters")
    opened = text.count("[") + text.count("(") + text.count("{")
    if opened <= MAX_DEPTH and (
        len(text) <= MAX_DIGITS or max(map(len, _DIGITS.findall(text)), default=0) <= MAX_DIGITS
    ):
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        piece = match.group()
        if piece in "[({":
            depth += 1
            if depth > MAX_DEPTH:
                raise LiteralError(f"nested deeper than {MAX_DEPTH}")
        elif piece in "])}":
            depth -= 1
        elif piece[0] not in "\"'" and len(piece) > MAX_DIGITS:
            raise LiteralError(f"a number of more than {MAX_DIGITS} digits")
    # Unbalanced quotes can hide brackets from the count above, never more than half of the text.
    if opened > MAX_DEPTH * 4 and _raw_depth(text) > MAX_DEPTH * 4:
        raise LiteralError(f"nested deeper than {MAX_DEPTH * 4}")


def _raw_depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[({":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "])}":
            depth = max(0, depth - 1)
    return deepest


def parse_json(text: str) -> Any:
    """A strict JSON value: no NaN, no duplicate keys. LiteralError otherwise."""
    check_bounds(text)
    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_float=_finite_float, object_pairs_hook=_no_duplicates
        )
    except LiteralError:
        raise
    except (ValueError, RecursionError) as error:
        raise LiteralError(str(error)) from None


def parse_literal(text: str) -> Any:
    """A JSON value or a Python literal (tuples and sets too), no key given twice. LiteralError otherwise."""
    text = text.strip()
    try:
        return parse_json(text)
    except LiteralError:
        pass
    if (
        "'" in text and '"' not in text and "\\" not in text
    ):  # then the two quotes mean the same, and JSON is faster
        try:
            return parse_json(text.replace("'", '"'))
        except LiteralError:
            pass
    check_bounds(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
            value = ast.literal_eval(tree)
        _check_tree(tree)
    except LiteralError:
        raise
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise LiteralError(f"not a literal: {type(error).__name__}") from None
    return value


def last_json(text: str, opening: str = "{") -> Any:
    """The last complete JSON or Python object (`{`) or array (`[`) in the text. LiteralError if there is none.

    Later ones win, outermost first: in `a {"x": 1} b {"y": {"z": 2}}` it is the one with `y`.
    """
    closing = {"{": "}", "[": "]"}[opening]
    end = text.rfind(closing)
    attempts = 0
    while end >= 0 and attempts < 20:
        attempts += 1
        start = _matching_open(text, end, opening, closing)
        if start is not None:
            try:
                return parse_literal(text[start : end + 1])
            except LiteralError:
                pass
        end = text.rfind(closing, 0, end)
    raise LiteralError(f"no complete {opening}…{closing} found")


def _matching_open(text: str, end: int, opening: str, closing: str) -> int | None:
    depth = 0
    in_string = False
    at = end
    while at >= 0:
        character = text[at]
        if character == '"':
            before = at
            while before and text[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                in_string = not in_string
            at = before
        elif not in_string:
            if character == closing:
                depth += 1
            elif character == opening:
                depth -= 1
                if depth == 0:
                    return at
        at -= 1
    return None


def _check_tree(tree: ast.AST) -> None:
    """LiteralError for what `literal_eval` takes and a value is not: keys that are equal, inf, `...`, huge hex."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [ast.literal_eval(key) for key in node.keys if key is not None]
            if len(set(keys)) != len(keys):
                raise LiteralError("a key is given twice")
        elif isinstance(node, ast.Constant):
            value = node.value
            if value is ... or (isinstance(value, float | complex) and not cmath.isfinite(value)):
                raise LiteralError("not a finite value")
            if isinstance(value, int) and value.bit_length() > MAX_BITS:
                raise LiteralError(f"a number of more than {MAX_DIGITS} digits")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise LiteralError("a number beyond the range of floats")
    return value


def _no_constant(name: str) -> NoReturn:
    raise LiteralError(f"{name} is not a JSON value")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise LiteralError("a key is given twice")
    return value
