r"""KOR-Bench's operation answers: numbers, several solutions, sets, inequalities, matrices, formulas.

What is decided here: numbers by value (`7/2`, `\frac{7}{2}`, 3.5), several solutions joined by `or` as a set,
assignments in any order, matrices by their numbers with their signs (the official rule drops them), formulas
by value. A number that the question asks for has to be written out: `4*6` is no answer to "compute". What
can't be read equals nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

from reward_service.handlers._arithmetic import rational
from reward_service.handlers._formula import FormulaError, same_formula
from reward_service.handlers._logic import hedged, undress
from reward_service.handlers._text import collapse

_SPACES = re.compile(r"\s+")
_OR = re.compile(r"\s*(?:\bor\b|(?<=[\d})])or(?=[-\d\\{(xX\s])|,|;)\s*")
_APART = re.compile(r"\]\s*(or|,|;)\s*\[")
_LEAD = re.compile(r"[^\d=<>≤≥]{1,12}=(?!=)")
_RELATIONS = (
    (re.compile(r"\\leq?(?:slant)?(?![a-z])|<=|≦|⩽"), "≤"),
    (re.compile(r"\\geq?(?:slant)?(?![a-z])|>=|≧|⩾"), "≥"),
    (re.compile(r"\\mid(?![a-z])"), "|"),
    (re.compile(r"\\mathbb\{R\}"), "R"),
    (re.compile(r"\\in(?![a-z])"), "∈"),
)
_CONDITION = re.compile(r"([a-z])([<>≤≥])(-?\d+(?:[./]\d+)?)|(-?\d+(?:[./]\d+)?)([<>≤≥])([a-z])")
_FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
MATRIX = re.compile(r"\\(?:begin|end)\{[a-z]*matrix\}|\\(?:left|right)|\\\\|&")
_NUMBER = re.compile(r"(?<![\d.])-?\d+(?:\.\d+)?(?![\d.])")


def operation(gold: str, answer: str) -> bool:
    """The same value or values, in the form that the gold has."""
    gold, answer = _flat(gold), _flat(answer)
    if not answer or hedged(answer.replace("or", " ")):
        return False
    if squeezed(gold) == squeezed(answer):
        return True
    for read, applies in (
        (_conditions, any(mark in gold for mark in "≤≥<>")),
        (_elements, gold.startswith("{")),
        (assignments, "=" in gold),
        (_entries, gold.startswith("((")),
    ):
        if applies:  # what can't be read is equal to nothing
            wanted = read(gold)
            return bool(wanted) and read(answer) == wanted
    golds = _solutions(gold)
    if len(golds) == 1 and _same_value(golds[0], _bare(answer)):
        return True
    return _same_solutions(golds, _solutions(answer))


def _flat(text: str) -> str:
    text = _APART.sub(r" \1 ", collapse(undress(text).replace("\\{", "{").replace("\\}", "}")))
    for written, sign in _RELATIONS:
        text = written.sub(sign, text)
    return text


def squeezed(text: str) -> str:
    """The text without white space and double quotes, in lower case."""
    return _SPACES.sub("", text).replace('"', "").casefold()


def _solutions(text: str) -> list[str]:
    """The solutions of an equation: `4 or -12`, `X = 4, X = -12`."""
    return [_bare(part) for part in _OR.split(text)]


def _bare(solution: str) -> str:
    """A solution without the `X =` before it."""
    bare = _LEAD.sub("", solution, count=1) if solution.count("=") == 1 else solution
    return bare.strip().removeprefix("[").removesuffix("]").strip()


def _same_solutions(golds: list[str], answers: list[str]) -> bool:
    """One to one: values are equal or not, so the first partner will do."""
    left = list(golds)
    for answer in answers:
        partner = next((gold for gold in left if _same_value(gold, answer)), None)
        if partner is None:
            return False
        left.remove(partner)
    return not left


def _same_value(gold: str, answer: str) -> bool:
    if gold == answer:
        return True
    number: Fraction | None = rational(gold)
    if number is not None:
        return rational(answer) == number
    try:
        return same_formula(gold, answer)
    except FormulaError:
        return False


def _conditions(text: str) -> Counter[tuple[str, str]] | None:
    """Relations of one variable as (relation, bound), wherever the variable stands; None if anything else is there."""
    text = squeezed(text).replace("x∈r|", "").replace("x∈r∣", "")
    text = text.strip("{}").removeprefix("x|").removeprefix("x∣").removeprefix("x:")
    found: Counter[tuple[str, str]] = Counter()
    names = set()
    for part in re.split(r"or|,|∪", text):
        match = _CONDITION.fullmatch(part)
        if match is None:
            return None
        name, relation, bound, left_bound, left_relation, left_name = match.groups()
        names.add(name or left_name)
        found[(relation or _FLIPPED[left_relation], bound or left_bound)] += 1
    return found if len(names) == 1 else None


def _elements(text: str) -> Counter[str]:
    return Counter(part for part in squeezed(text).strip("{}").split(",") if part)


def assignments(text: str) -> Counter[str] | None:
    """`S=9, E=5` in any order; None if a part is no assignment."""
    parts = [part for part in re.split(r"[,;]|\band\b|\n", text.casefold()) if part.strip()]
    pairs = [part.split("=") for part in parts]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        return None
    values = [(name, rational(value), value) for name, value in pairs]
    return Counter(
        f"{squeezed(name)}={squeezed(text) if value is None else value}" for name, value, text in values
    )


def _entries(text: str) -> list[Fraction | None]:
    text = MATRIX.sub(" ", text)
    return [rational(number) for number in _NUMBER.findall(text)] if not re.search(r"[a-z]", text) else []
