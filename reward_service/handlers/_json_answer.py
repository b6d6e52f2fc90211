r"""A value predicted as JSON: finding it in a response, and comparing it. Pure, and free of any data source.

What is decided here
- Where: an answer is a complete object with the wanted key (`{"output": …}`), fenced, boxed or bare; `\boxed{"output": 3}`
  is one too, the box lending its braces, and a box that holds nothing but a value. The last one counts. One that was begun
  later and can't be read (cut short, a key given twice, a placeholder) is not passed over in favour of an earlier one.
- Reading: JSON; where that fails, JSON with LaTeX's backslashes, then a Python literal. Never an evaluation. NaN and
  infinities are refused, and so is a key given twice.
- Equality: by the type of the reference. `true` is no 1, `"3"` is no 3, null equals null only. Whole numbers are exact
  (`3.0` is 3). Floats are close when they differ by at most a thousandth of the reference and have the same integer part:
  the data set's own `is_close` (hkust-nlp/CodeIO, `codeio_utils.py`) as it was meant; as published it raises on every float,
  because `math` is never imported (domains.md §1.3). Asking for a reference's 16 digits would ask for a floating-point
  unit; the integer part keeps large results honest. A reference of 0.0 is met by 0 only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers._text import boxes, unwrap_macros
from reward_service.types import Reason

TOLERANCE = 1e-3
MAX_DEPTH = 200
MAX_FAILURES = 1_000
MAX_REPAIRS = 24
MAX_REPAIRED = 1 << 15
"""Characters of an object that is repaired or read as a Python literal; twice as many for all of a response."""

# ---------------------------------------------------------------- equality


def same_value(reference: Any, value: Any) -> bool:
    """Is the predicted value the reference? Both are plain data; the reference is at most `MAX_DEPTH` deep."""
    if reference is None or isinstance(reference, bool):
        return value is reference
    if isinstance(reference, str):
        return isinstance(value, str) and value == reference
    if isinstance(reference, float):
        return close(reference, value)
    if isinstance(reference, int):
        return type(value) in (int, float) and bool(value == reference)
    if isinstance(reference, list):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(reference)
            and all(same_value(one, other) for one, other in zip(reference, value, strict=True))
        )
    if not isinstance(reference, dict) or not isinstance(value, dict) or len(value) != len(reference):
        return False
    return all(key in value and same_value(one, value[key]) for key, one in reference.items())


def close(reference: float, value: Any) -> bool:
    """CodeI/O's `is_close` for one float: within a thousandth of the reference, and the same integer part."""
    if type(value) not in (int, float):
        return False
    try:
        near = abs(value - reference) <= TOLERANCE * abs(reference)
    except OverflowError:  # an integer beyond every float
        return False
    return near and math.isfinite(value) and int(value) == int(reference)


def bounded(value: Any, depth: int = 0) -> bool:
    """Can this reference be compared: plain data, finite numbers, not nested too deep?"""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(bounded(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and bounded(one, depth + 1) for key, one in value.items())
    return value is None or isinstance(value, str | int)


# ---------------------------------------------------------------- reading


def _refuse(name: str) -> NoReturn:
    raise LiteralError(f"{name} is no value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise LiteralError("a key is given twice")
    return value


_WHOLE = re.compile(r"(-?\d{16,})\.0+")


def _float(text: str) -> float | int:
    """A float, or the whole number that a long `….0` spells out: as a float it would lose digits."""
    whole = _WHOLE.fullmatch(text) if len(text) > 17 else None
    if whole is not None:
        return int(whole.group(1))
    value = float(text)
    if math.isinf(value):
        raise LiteralError("beyond every float")
    return value


_ANSWER = json.JSONDecoder(
    parse_float=_float, parse_constant=_refuse, object_pairs_hook=_unique, strict=False
)
_REFERENCE = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


def read_reference(text: str) -> Any:
    """A reference value from JSON text. ValueError if it is not JSON or can't be compared."""
    try:
        value = _REFERENCE.decode(text)
    except RecursionError:
        raise LiteralError("nested too deep") from None
    if not bounded(value):
        raise LiteralError("nested too deep, or not finite")
    return value


def read_value(text: str) -> Any:
    """A predicted value from text that holds nothing else. ValueError if it is neither JSON nor a literal."""
    text = text.strip()
    try:
        return _ANSWER.decode(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > MAX_REPAIRED:
        raise LiteralError("too long to be repaired")
    repaired = _STRAY.sub(r"\\\\", text)
    if repaired != text:
        try:
            return _ANSWER.decode(repaired)
        except (ValueError, RecursionError):
            pass
    return _plain(parse_literal(text), 0)


_STRAY = re.compile(r'\\(?!["\\/bfnrtu])')


def _plain(value: Any, depth: int) -> Any:
    """A Python literal as the JSON that it would be written as. LiteralError for what JSON has no word for."""
    if depth > MAX_DEPTH:
        raise LiteralError("nested too deep")
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return _unique([(_key(key), _plain(one, depth + 1)) for key, one in value.items()])
    if (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    raise LiteralError(f"no JSON value: {type(value).__name__}")


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(_plain(key, MAX_DEPTH))


# ---------------------------------------------------------------- finding


class Found(NamedTuple):
    """A value that was answered, and where its object or box stands in the text."""

    value: Any
    start: int
    end: int


class Answer(NamedTuple):
    """The answer of a response, or the reason why there is none. `shown` is its text."""

    value: Any
    reason: Reason | None = None
    shown: str | None = None
    flags: tuple[str, ...] = ()


_OBJECT = re.compile(r"\{\s*+[\"']")
_GLUE_WORDS = (
    "and or also either maybe perhaps possibly alternatively json output input the is answer final boxed text"
)
_GLUE = frozenset(_GLUE_WORDS.split())
_WORD = re.compile(r"[^\W\d_]+")
_NOT_BEFORE = re.compile(
    r"(?:\bnot|\bnever|n['’]t)\b[\s:`$*]*+(?:json\b\s*+)?(?:\\boxed\s*+\{)?$", re.IGNORECASE
)
_OR_AFTER = re.compile(r"[\s`$}.,)]*+or\b(?:\s|maybe\b|perhaps\b)*+[\d\"'\[{\-]")


def find_answer(text: str, key: str, *, bare_keys: Collection[str] = (), bare_values: bool = False) -> Answer:
    """The last value given for `key` in the final part of a response.

    bare_keys: an object with exactly these keys counts without the wrapper, if no object has it.
    bare_values: a box that holds nothing but a value counts too.
    """
    found, bare = _objects(text, key, frozenset(bare_keys))
    if bare_values and "box" in text:
        found = sorted((*found, *_boxed_values(text, found)), key=lambda one: one.start)
    begun = _begun(key).search(text, found[-1].end if found else 0)
    found = found or bare
    if begun is not None:
        return Answer(None, Reason.MALFORMED_ANSWER, text[begun.start() : begun.start() + 200])
    if not found:
        return Answer(None, Reason.NO_ANSWER)
    last = found[-1]
    shown = text[last.start : last.end]
    others = [one for one in found[:-1] if not _alike(one.value, last.value)]
    flags = ("multiple_answers",) if others else ()
    beside = bool(others) and others[-1] is found[-2] and _side_by_side(text, others[-1].end, last.start)
    denied = _NOT_BEFORE.search(text[max(0, last.start - 40) : last.start]) is not None
    if beside or denied or _OR_AFTER.match(text, last.end):
        return Answer(None, Reason.AMBIGUOUS_ANSWER, shown, flags)
    return Answer(last.value, None, shown, flags)


def _objects(text: str, key: str, bare_keys: frozenset[str]) -> tuple[list[Found], list[Found]]:
    """The outermost objects with the key in order, and those with exactly the bare keys."""
    found: list[Found] = []
    bare: list[Found] = []
    failures = repairs = at = 0
    budget, repairing = 8 * len(text) + (1 << 16), 2 * MAX_REPAIRED
    while (opening := _OBJECT.search(text, at)) is not None and failures < MAX_FAILURES and budget > 0:
        start, value, end = opening.start(), None, 0
        try:
            value, end = _ANSWER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            budget -= error.pos - start
        except (ValueError, RecursionError):
            budget -= len(text) - start
        if not end:
            failures += 1
            if repairs < MAX_REPAIRS and repairing > 0 and text.find(key, start, start + MAX_REPAIRED) > 0:
                repairs += 1
                value, end, read = _repaired(text, start)
                repairing -= read
        if not end:
            at = start + 1
            continue
        at = end
        if isinstance(value, dict):
            if key in value:
                found.append(Found(value[key], start, end))
            elif bare_keys and value.keys() == bare_keys:
                bare.append(Found(value, start, end))
    return found, bare


_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?|\\?[{}]", re.DOTALL)


def _repaired(text: str, start: int) -> tuple[Any, int, int]:
    """The object at `start` read as a literal or without LaTeX's escapes; its end (0: none); characters looked at."""
    depth = 0
    for token in _TOKEN.finditer(text, start, start + MAX_REPAIRED):
        piece = token.group()
        depth += (piece[-1] == "{") - (piece[-1] == "}") if piece[0] not in "\"'" else 0
        if depth == 0:
            segment = text[start : token.end()]
            if text[start - 1 : start] == "\\":
                segment = segment.replace("\\{", "{").replace("\\}", "}").replace("\\_", "_")
            try:
                return read_value(segment), token.end(), len(segment)
            except (ValueError, RecursionError):
                return None, 0, len(segment)
    return None, 0, MAX_REPAIRED


@lru_cache(maxsize=16)
def _begun(key: str) -> re.Pattern[str]:
    return re.compile(rf"\{{\s*+[\"']{re.escape(key)}[\"']\s*+:")


def _boxed_values(text: str, found: list[Found]) -> list[Found]:
    """Boxes that hold a value; beside an object with the key only a value of the same type, which can contradict it."""
    values: list[Found] = []
    for span in boxes(text)[-MAX_REPAIRS:]:
        if any(one.start < span.end and span.start < one.end for one in found):
            continue
        content = unwrap_macros(span.content).replace("\\{", "{").replace("\\}", "}")
        try:
            value = read_value(content)
        except (ValueError, RecursionError):
            continue
        if not found or _type(value) is _type(found[-1].value):
            values.append(Found(value, span.start, span.end))
    return values


def _type(value: Any) -> type:
    return float if type(value) is int else type(value)


def _alike(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except RecursionError:
        return False


def _side_by_side(text: str, end: int, start: int) -> bool:
    """Do no words of their own stand between two answers?"""
    gap = text[end:start]
    return len(gap) < 200 and all(word.lower() in _GLUE for word in _WORD.findall(gap))
