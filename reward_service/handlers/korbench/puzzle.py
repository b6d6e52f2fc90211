r"""KOR-Bench's puzzle answers: words, numbers and symbols, or a calculation, by the puzzle's rule.

What is decided here: by default the same words, numbers and symbols in the same order, letter case aside. By
rule: 1 words, 2 and 4 one of the alternatives, 3 the words in any order, 5 letters for digits in any order, 9
an equation with the given operators and result, 10 a calculation of 24 from the given numbers. Rules 5, 9 and
10 can be told from the gold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

from reward_service.handlers._arithmetic import CalculationError, arithmetic, rational
from reward_service.handlers._logic import undress
from reward_service.handlers._text import plain_characters, unwrap_macros
from reward_service.handlers.korbench.operation import MATRIX, assignments, squeezed


def puzzle(gold: str, answer: str, rule: str) -> bool:
    """The same by the puzzle's rule ("" if it isn't known)."""
    compare = _PUZZLES.get(rule) or _puzzle_by_shape(gold) or same_words
    return compare(gold, answer)


_WORD = re.compile(r"(?<![\w.)])-\d+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+|_|[^\w\s,;:.()\[\]{}'\"`$\\&|]")


def _tokens(text: str) -> list[str]:
    text = MATRIX.sub(" ", plain_characters(text))
    return _WORD.findall(unwrap_macros(text).casefold())


def same_words(gold: str, answer: str) -> bool:
    """The same words, numbers and symbols in the same order."""
    wanted, given = _tokens(gold), _tokens(answer)
    if not given or not wanted:
        return bool(squeezed(answer)) and squeezed(gold) == squeezed(answer)
    if wanted == given:
        return True
    if all(map(str.isalnum, wanted)):  # what else stands between them only separates
        given = [word for word in given if word.isalnum()]
        if wanted == given:
            return True
    # A grid may be written without spaces, and some golds miss one; where more numbers have two digits, borders count.
    grid = 20 * sum(len(word) > 1 for word in wanted) <= len(wanted)
    return grid and "".join(wanted) == "".join(given)


def _same_spelling(gold: str, answer: str) -> bool:
    """The same words in their order, whatever stands between them."""
    wanted, given = ([word for word in _tokens(text) if word.isalnum()] for text in (gold, answer))
    return bool(wanted) and wanted == given


def _any_order(gold: str, answer: str) -> bool:
    return Counter(_tokens(gold)) == Counter(_tokens(answer))


def _one_of(gold: str, answer: str) -> bool:
    """One of the alternatives; affixes may be written with a hyphen."""
    given = [word for word in _tokens(answer) if word != "-"]
    return len(given) == 1 and given[0] in _tokens(gold)


def _all_assigned(gold: str, answer: str) -> bool:
    return assignments(undress(gold)) == assignments(undress(answer)) is not None


def _equation(gold: str, answer: str) -> bool:
    """The gold's operators in their order, its result, digits of one place, and it has to be true."""
    try:
        left, _, result = gold.partition("=")
        wanted, value = arithmetic(left), rational(result)
        written, _, claimed = undress(answer).partition("=")
        given = arithmetic(written)
    except CalculationError:
        return False
    return (
        given.operators == wanted.operators
        and len(given.numbers) == len(wanted.numbers)
        and all(number < 10 for number in given.numbers)
        and given.value == value
        and (rational(claimed) == value)
    )


def _twenty_four(gold: str, answer: str) -> bool:
    """The gold's numbers, each as often as it has them, and 24 as the exact result."""
    try:
        wanted = arithmetic(gold.strip().partition("\n")[0].partition("=")[0])
        written, equals, claimed = undress(answer).partition("=")
        given = arithmetic(written)
    except CalculationError:
        return False
    return (
        sorted(given.numbers) == sorted(wanted.numbers)
        and given.value == 24
        and (not equals or rational(claimed) == 24)
    )


_PUZZLES: Mapping[str, Callable[[str, str], bool]] = {
    "1": _same_spelling,
    "2": _one_of,
    "3": _any_order,
    "4": _one_of,
    "5": _all_assigned,
    "9": _equation,
    "10": _twenty_four,
}
_CALCULATION = re.compile(r"[\d\s()+*/×÷·−-]+(=\s*-?\d+)?")
_ASSIGNMENT = re.compile(r"\s*[A-Z]\s*=\s*\d\s*(?:,\s*[A-Z]\s*=\s*\d\s*)*")


def _puzzle_by_shape(gold: str) -> Callable[[str, str], bool] | None:
    """The rule that can be told from the gold alone: an equation, a calculation, or letters for digits."""
    if _ASSIGNMENT.fullmatch(gold):
        return _all_assigned
    first = gold.partition("\n")[0]
    match = _CALCULATION.fullmatch(first)
    if match is None or not any(operator in first for operator in "+*/×÷"):
        return None
    return _equation if match.group(1) else _twenty_four
