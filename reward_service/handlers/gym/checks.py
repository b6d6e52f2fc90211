"""The handler's own checks of a gym answer against its ground truth: text, numbers, fractions, lists, times, expressions.

What is decided here: what counts as the same answer, task family by task family. A check gets one candidate (the answer,
more or less undressed), the ground truth as text and the row's metadata, and says yes or no. None of them evaluates
anything; all are linear under the cap on the answer's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from reward_service.handlers._arithmetic import CalculationError, arithmetic, rational
from reward_service.handlers._literal import LiteralError, parse_json, parse_literal
from reward_service.handlers._logic import undress
from reward_service.handlers._text import plain_characters
from reward_service.handlers.gym.calculus import same_antiderivative, same_polynomial

Check = Callable[[str, str, Mapping[str, Any]], bool]


def canonical(text: str) -> str:
    """Lines without outer and repeated white space, none empty at the ends."""
    return "\n".join(" ".join(line.split()) for line in plain_characters(text).strip().split("\n"))


def text(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same text, white space aside; what is taken off an answer may be missing from it."""
    return canonical(answer) in {canonical(gold), canonical(undress(gold))}


def word(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same text, letter case aside."""
    return canonical(answer).casefold() in {canonical(gold).casefold(), canonical(undress(gold)).casefold()}


def letters(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same letters, case and spaces aside (a word drawn in big letters)."""
    return "".join(answer.split()).casefold() == "".join(gold.split()).casefold()


def _decimal(written: str) -> Decimal | None:
    written = plain_characters(written).strip().replace("\\,", "").replace("{,}", ",")
    match = re.fullmatch(
        r"([+-]?)\s?(\d{1,3}(?:,\d{3})++|\d{1,60})?(\.\d{1,60})?(?:[eE]([+-]?\d{1,3}))?", written
    )
    if match is None or not (match.group(2) or match.group(3)):
        return None
    sign, whole, fraction, exponent = match.groups()
    try:
        return Decimal(f"{sign}{(whole or '0').replace(',', '')}{fraction or ''}e{exponent or 0}")
    except InvalidOperation:
        return None


def number(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same number, however it is written; a ground truth that is no number is a word."""
    wanted = _decimal(gold)
    return word(answer, gold, {}) if wanted is None else _decimal(answer) == wanted


def rounded(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same decimal: an answer with more places has to round to the ground truth."""
    found, wanted = _decimal(answer), _decimal(gold)
    if found is None or wanted is None:
        return False
    place = wanted.as_tuple().exponent
    return isinstance(place, int) and abs(found - wanted) <= Decimal((0, (5,), min(place, 0) - 1))


def significant(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """Three significant figures at least, and as many as the answer has are right."""
    found, wanted = _decimal(answer), _decimal(gold)
    if found is None or wanted is None:
        return False
    if not wanted or not found:
        return found == wanted
    figures = max(3, len("".join(map(str, found.as_tuple().digits)).rstrip("0")))
    if figures > 12:  # the stored answer is a float
        return float(found) == float(wanted)
    return f"{found:.{figures - 1}e}" == f"{wanted:.{figures - 1}e}"


def probability(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same fraction, or a decimal of at least three figures to which the ground truth rounds."""
    found, wanted = rational(plain_characters(answer)), rational(gold)
    if found is None or wanted is None or found == wanted:
        return found is not None and found == wanted
    places = len(answer.strip().partition(".")[2]) if re.fullmatch(r"0?\.\d{3,30}", answer.strip()) else 0
    scaled = wanted * 10**places
    return (
        places > 0
        and found * 10**places in {round(scaled), int(scaled + Fraction(1, 2))}
        and found >= Fraction(1, 10 ** (places - 2))
    )


_FRACTION = re.compile(
    r"\(?(-?\d{1,60})\)?\s*/\s*\(?(-?\d{1,60})\)?|\\[dt]?frac\s*\{\s*(-?\d{1,60})\s*\}\s*\{\s*(-?\d{1,60})\s*\}"
)


def _fraction(written: str) -> tuple[int, int] | None:
    written = plain_characters(written).strip()
    if len(written) > 2 and written[0] == written[-1] == "$":
        written = written[1:-1].strip()
    match = _FRACTION.fullmatch(written)
    if match is None:
        return None
    top, bottom = (piece for piece in match.groups() if piece is not None)
    return int(top), int(bottom)


def fraction(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same numerator over the same denominator, in any style: reduced is part of the question."""
    wanted = _fraction(gold)
    return word(answer, gold, {}) if wanted is None else _fraction(answer) == wanted


def hexadecimal(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same hexadecimal number."""
    found = [
        re.fullmatch(r"(-?)\s*0x([0-9a-f]{1,64})", written.strip().lower()) for written in (answer, gold)
    ]
    values = [match and (match.group(1), int(match.group(2), 16)) for match in found]
    return values[0] is not None and values[0] == values[1]


_COMPLEX = re.compile(
    r"\(?\s*(?:([+-]?\s*\d{1,30}(?:\.\d{0,30})?)(?![\d.]*\s*\*?\s*[ij]))?\s*(?:([+-]?\s*(?:\d{1,30}(?:\.\d{0,30})?)?)\s*\*?\s*[ij])?\s*\)?"
)


def complex_number(answer: str, gold: str, metadata: Mapping[str, Any]) -> bool:
    """Real and imaginary part are those of the result, to six places."""
    result = metadata.get("result")
    if not (isinstance(result, list | tuple) and len(result) == 2):
        return text(answer, gold, metadata)
    match = _COMPLEX.fullmatch(plain_characters(answer).strip())
    if match is None or match.groups() == (None, None):
        return False
    parts = []
    for place, piece in enumerate(match.groups()):
        bare = "".join((piece or "0").split()) if piece is None or piece.strip() else "1"
        parts.append(float(bare + "1" if place and bare in {"+", "-"} else bare))
    return all(abs(part - float(wanted)) <= 1e-6 for part, wanted in zip(parts, result, strict=True))


_NOTHING = {"none", "no real solutions", "no real solution", "no solutions", "no solution", "[]"}


def roots(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """As many numbers as there are solutions, each within 0.0001 of one; or none where there is none."""
    if not gold.strip():
        return canonical(answer).casefold() in _NOTHING
    bare = answer.strip().removeprefix("[").removesuffix("]")
    found = [_decimal(re.sub(r"^[a-zA-Z]\s*=\s*", "", piece.strip())) for piece in bare.split(",")]
    wanted = [_decimal(piece) for piece in gold.split(",")]
    if None in found or None in wanted or len(found) != len(wanted):
        return False
    pairs = zip(sorted(map(Decimal, found)), sorted(map(Decimal, wanted)), strict=True)  # type: ignore[arg-type]
    return all(abs(mine - theirs) <= Decimal("0.0001") for mine, theirs in pairs)


def factors(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same prime factors, in any order."""
    found, wanted = (
        sorted(re.split(r"\s*(?:×|\\times|\\cdot|\*|·|x)\s*", written.strip())) for written in (answer, gold)
    )
    return all(re.fullmatch(r"\d{1,40}", piece) for piece in found) and found == wanted


def _duration(written: str) -> Fraction | None:
    match = re.fullmatch(
        r"(?:(\d{1,9}) days)?(?:,\s*)?(?:(\d{1,4}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?", written.strip()
    )
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds, rest = match.groups()
    whole = 86_400 * int(days or 0) + 3_600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds or 0)
    return whole + Fraction(int(rest), 10 ** len(rest)) if rest else Fraction(whole)


def duration(answer: str, gold: str, metadata: Mapping[str, Any]) -> bool:
    """The same span of time; a bare number where days are asked for."""
    if metadata.get("task_type") == "date" and answer.strip().isdecimal():
        answer = f"{answer.strip()[:9]} days"
    found = _duration(re.sub(r"\b1 day\b", "1 days", answer))
    return found is not None and found == _duration(gold)


def truth(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """True or False, by name. The published check takes any text for True."""
    return canonical(answer).casefold() == gold.strip().casefold()


def _entries(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_entries(entry) for entry in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return Fraction(str(value))
    return rational(value) if isinstance(value, str) and rational(value) is not None else value


def values(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same list, numbers by value whether they are in quotes or not."""
    try:
        found = parse_literal(answer)
        return isinstance(found, list) and _entries(found) == _entries(parse_literal(gold))
    except (LiteralError, ValueError):
        return False


def sorted_numbers(answer: str, gold: str, metadata: Mapping[str, Any]) -> bool:
    """The sorted list as stored, or the given numbers in that order as they were written."""
    if values(answer, gold, metadata):
        return True
    given = metadata.get("original_numbers")
    try:
        in_order = sorted(given, key=float, reverse=metadata.get("direction") == "descending")  # type: ignore[arg-type]
        return values(answer, repr(in_order), metadata)
    except (TypeError, ValueError):
        return False


def json_value(answer: str, gold: str, metadata: Mapping[str, Any]) -> bool:
    """The same JSON value; other text as text."""
    try:
        wanted = parse_json(gold)
    except LiteralError:
        return text(answer, gold, metadata)
    try:
        return _alike(parse_literal(answer), wanted)
    except LiteralError:
        return False


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, bool) or isinstance(theirs, bool) or mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, int | float) and isinstance(theirs, int | float):
        return mine == theirs
    if isinstance(mine, list | tuple) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(_alike, mine, theirs))
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(_alike(mine[key], theirs[key]) for key in theirs)
    return type(mine) is type(theirs) and bool(mine == theirs)


def _groups(written: Any, ordered: bool) -> list[list[str]]:
    if not isinstance(written, list) or not all(
        isinstance(group, list) and all(isinstance(entry, str) for entry in group) for group in written
    ):
        raise LiteralError("not a list of lists of words")
    return sorted(group if ordered else sorted(group) for group in written)


def anagrams(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same groups, in any order."""
    try:
        return _groups(parse_literal(answer), False) == _groups(parse_literal(gold), False)
    except LiteralError:
        return False


def partitions(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same partitions, in any order, each in its order."""
    try:
        return _groups(parse_literal(answer), True) == _groups(parse_literal(gold), True)
    except LiteralError:
        return False


def countdown(answer: str, _: str, metadata: Mapping[str, Any]) -> bool:
    """A calculation with each of the numbers once that makes the target."""
    return _makes(answer, metadata.get("numbers"), metadata.get("target"))


def twenty_four(answer: str, _: str, metadata: Mapping[str, Any]) -> bool:
    """A calculation with each of the four numbers once that makes 24. The published check takes any numbers."""
    return _makes(answer, metadata.get("numbers"), 24)


def _makes(answer: str, numbers: Any, target: Any) -> bool:
    left, equals, right = answer.partition("=")
    if equals and right.strip() != str(target):
        return False
    try:
        found = arithmetic(left)
    except CalculationError:
        return False
    return isinstance(numbers, list) and sorted(found.numbers) == sorted(numbers) and found.value == target


def antiderivative(answer: str, gold: str, metadata: Mapping[str, Any]) -> bool:
    """Differs from the ground truth by a constant."""
    variable = metadata.get("variable")
    return isinstance(variable, str) and same_antiderivative(answer, gold, variable)


def product(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same polynomial, multiplied out."""
    return same_polynomial(answer, gold)


def queens(answer: str, _: str, metadata: Mapping[str, Any]) -> bool:
    """One of the boards that the puzzle allows."""
    boards = metadata.get("valid_answers")
    return isinstance(boards, list) and canonical(answer) in {canonical(str(board)) for board in boards}


def futoshiki(answer: str, _: str, metadata: Mapping[str, Any]) -> bool:
    """The solution's digits, row by row; lines that hold only signs between rows are passed over."""
    solution = metadata.get("solution")
    if not isinstance(solution, list) or re.search(r"[^\s\d<>∧∨^v|_-]", answer):
        return False
    rows = [[int(digit) for digit in re.findall(r"\d", line)] for line in answer.split("\n")]
    return [row for row in rows if row] == solution


def sentence(answer: str, gold: str, _: Mapping[str, Any]) -> bool:
    """The same words in the same order."""
    return plain_characters(answer).split() in (plain_characters(gold).split(), undress(gold).split())
