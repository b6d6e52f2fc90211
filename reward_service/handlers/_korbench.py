r"""When two KOR-Bench answers are the same, by category and, for puzzles, by rule.

What is decided here: for each of the official comparisons what it was meant to accept.
- operation: numbers by value (`7/2`, `\frac{7}{2}`), several solutions joined by `or` as a set, assignments in any
  order, sets, inequalities, matrices by their numbers with their signs (the official rule drops them), formulas by
  value. A number that the question asks for has to be written out: `4*6` is no answer to "compute".
- logic: the bracketed parts in their order, without spaces and full stops; look-alike operators are one operator; rows
  of a circuit's table, and the values behind `T:` and `F:`, in any order.
- cipher: the same characters; spaces only separate. Dress is taken off only where the ground truth has letters and
  digits only, because a symbol may be part of a cipher text.
- puzzle: the same words, numbers and symbols in the same order, letter case aside. By rule: 1 words, 2 and 4 one of the
  alternatives, 3 the words in any order, 9 an equation with the given operators and result, 10 a calculation of 24 from
  the given numbers.
- counterfactual: one letter, alone or before its text.
Source: KOR-Bench's own comparisons (2024), as OpenCompass carries them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import accumulate

from reward_service.handlers._formula import FormulaError, arithmetic, rational, same_formula
from reward_service.handlers._logic import hedged, undress
from reward_service.handlers._text import collapse, plain_characters, unwrap_macros

CATEGORIES = ("operation", "logic", "cipher", "puzzle", "counterfactual")


def equal(gold: str, answer: str, category: str, rule: str) -> bool:
    """Is the answer (the content of its brackets) the gold (the same), in a category ("" if unknown)?"""
    if category == "puzzle":
        special = _PUZZLES.get(rule) or _puzzle_by_shape(gold)
        return special(gold, answer) if special is not None else _same_words(gold, answer)
    comparisons = (
        (_BY_CATEGORY[category],) if category else (_operation, _logic, _cipher, _letter, _same_words)
    )
    return any(compare(gold, answer) for compare in comparisons)


# ---------------------------------------------------------------- operation


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
_MATRIX = re.compile(r"\\(?:begin|end)\{[a-z]*matrix\}|\\(?:left|right)|\\\\|&")
_NUMBER = re.compile(r"(?<![\d.])-?\d+(?:\.\d+)?(?![\d.])")


def _operation(gold: str, answer: str) -> bool:
    gold, answer = _flat(gold), _flat(answer)
    if not answer or hedged(answer.replace("or", " ")):
        return False
    if _squeezed(gold) == _squeezed(answer):
        return True
    for read, applies in (
        (_conditions, any(mark in gold for mark in "≤≥<>")),
        (_elements, gold.startswith("{")),
        (_assignments, "=" in gold),
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


def _squeezed(text: str) -> str:
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
    text = _squeezed(text).replace("x∈r|", "").replace("x∈r∣", "")
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
    return Counter(part for part in _squeezed(text).strip("{}").split(",") if part)


def _assignments(text: str) -> Counter[str] | None:
    """`S=9, E=5` in any order; None if a part is no assignment."""
    parts = [part for part in re.split(r"[,;]|\band\b|\n", text.casefold()) if part.strip()]
    pairs = [part.split("=") for part in parts]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        return None
    values = [(name, rational(value), value) for name, value in pairs]
    return Counter(
        f"{_squeezed(name)}={_squeezed(text) if value is None else value}" for name, value, text in values
    )


def _entries(text: str) -> list[Fraction | None]:
    text = _MATRIX.sub(" ", text)
    return [rational(number) for number in _NUMBER.findall(text)] if not re.search(r"[a-z]", text) else []


# ---------------------------------------------------------------- logic


_PARTS = re.compile(r"[\[\]]*;[\[\]]*|\]\s*,?\s*\[|\n")
_OPERATORS: Mapping[str, str] = {
    "\\land": "∧", "\\wedge": "∧", "\\lor": "∨", "\\vee": "∨", "\\lnot": "¬", "\\neg": "¬", "\\Rightarrow": "⇒",
    "\\implies": "⇒", "\\rightarrow": "→", "\\to": "→", "\\Leftrightarrow": "⇔", "\\iff": "⇔",
    "\\leftrightarrow": "↔", "\\forall": "∀", "\\exists": "∃", "\\emptyset": "∅", "\\varnothing": "∅",
    "\\sim": "~", "∼": "~", "\\mid": "|", "\\checkmark": "✓", "✔": "✓", "\\times": "x", "×": "x", "✗": "x", "✘": "x",
    "\\cup": "∪", "\\cap": "∩", "\\in": "∈", "=>": "⇒", "\\&": "&", "\\": "",
}  # fmt: skip
_NAMES = tuple(sorted(_OPERATORS, key=len, reverse=True))
_ROW = re.compile(r"[+-](?:,[+-])*")


def _logic(gold: str, answer: str) -> bool:
    wanted, given = _parts(gold), _parts(answer)
    if not given or len(wanted) != len(given):
        return False
    if not _mixed_case(gold):
        wanted, given = [part.casefold() for part in wanted], [part.casefold() for part in given]
    if wanted == given:
        return True
    rows = [at for at, part in enumerate(wanted) if _ROW.fullmatch(part)]
    if len(rows) > 1 and len(rows) >= len(wanted) - 1:  # a circuit's table: a header, and rows in any order
        head = len(wanted) - len(rows)
        return wanted[:head] == given[:head] and Counter(wanted[head:]) == Counter(given[head:])
    return all(
        left == right or _unordered(left) == _unordered(right) is not None
        for left, right in zip(wanted, given, strict=True)
    )


def _parts(text: str) -> list[str]:
    text = plain_characters(text)
    if "$" in text or "\\" in text or "`" in text:
        text = unwrap_macros(text.replace("$", "").replace("`", "").replace("\\{", "{").replace("\\}", "}"))
    for name in _NAMES:
        if name in text:
            text = text.replace(name, _OPERATORS[name])
    pieces = [
        _SPACES.sub("", piece).strip("[]").replace('"', "").replace(".", "") for piece in _PARTS.split(text)
    ]
    return [_without_outer(piece) for piece in pieces if piece]


def _without_outer(part: str) -> str:
    """A formula without parentheses around all of it."""
    for _ in range(3):
        if part[:1] != "(" or part[-1:] != ")":
            break
        depths = list(accumulate((c == "(") - (c == ")") for c in part))
        if 0 in depths[:-1] or depths[-1]:
            break
        part = part[1:-1]
    return part


def _unordered(part: str) -> Counter[str] | None:
    """The values behind `T:` or `F:`, or the members of a flat set; None for any other part."""
    if part[:2].upper() in ("T:", "F:"):
        return Counter([part[:2], *part[2:].split(",")])
    if part.startswith("{") and part.endswith("}") and not any(mark in part[1:-1] for mark in "{}("):
        return Counter(["{}", *part[1:-1].split(",")])
    return None


def _mixed_case(text: str) -> bool:
    """Does a word, or a letter of a short symbol, stand there in both letter cases, so that case means something?"""
    words = set(re.findall(r"[A-Za-z]+", text))
    letters = {letter for word in words if len(word) < 3 for letter in word}
    return len({word.casefold() for word in words}) < len(words) or any(
        c.swapcase() in letters for c in letters
    )


# ---------------------------------------------------------------- cipher


def _cipher(gold: str, answer: str) -> bool:
    readings = [answer.strip()]
    if gold.replace(" ", "").isalnum():
        readings.append(undress(answer))
    return any(_same_code(gold, reading) for reading in readings)


def _same_code(gold: str, answer: str) -> bool:
    gold, answer = plain_characters(gold).replace('"', ""), plain_characters(answer).replace('"', "")
    left, right = gold.casefold().split(), answer.casefold().split()
    if left == right:
        return bool(left)
    # Where both are in pieces, the pieces count: 1 11 is not 11 1.
    return (len(left) == 1 or len(right) == 1 or "," in gold) and "".join(left) == "".join(right)


# ---------------------------------------------------------------- puzzle


_WORD = re.compile(r"(?<![\w.)])-\d+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+|_|[^\w\s,;:.()\[\]{}'\"`$\\&|]")


def _tokens(text: str) -> list[str]:
    text = _MATRIX.sub(" ", plain_characters(text))
    return _WORD.findall(unwrap_macros(text).casefold())


def _same_words(gold: str, answer: str) -> bool:
    wanted, given = _tokens(gold), _tokens(answer)
    if not given or not wanted:
        return bool(_squeezed(answer)) and _squeezed(gold) == _squeezed(answer)
    if wanted == given:
        return True
    if all(map(str.isalnum, wanted)):  # what else stands between them only separates
        given = [word for word in given if word.isalnum()]
        if wanted == given:
            return True
    singles = all(len(token) == 1 for token in wanted)  # a grid may be written without spaces
    return singles and "".join(wanted) == "".join(given)


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
    return _assignments(undress(gold)) == _assignments(undress(answer)) is not None


def _equation(gold: str, answer: str) -> bool:
    """The gold's operators in their order, its result, digits of one place, and it has to be true."""
    try:
        left, _, result = gold.partition("=")
        wanted, value = arithmetic(left), rational(result)
        written, _, claimed = undress(answer).partition("=")
        given = arithmetic(written)
    except FormulaError:
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
    except FormulaError:
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


# ---------------------------------------------------------------- counterfactual


_OPTION = re.compile(r"\(?([A-Z])\)?(?:[.:)]?|[.:)]\s*\S.*|\s+[-–]\s+\S.*)", re.IGNORECASE | re.DOTALL)


def _letter(gold: str, answer: str) -> bool:
    match = _OPTION.fullmatch(undress(answer))
    wanted = gold.strip().upper()
    return match is not None and len(wanted) == 1 and match.group(1).upper() == wanted and not hedged(answer)


_BY_CATEGORY: Mapping[str, Callable[[str, str], bool]] = {
    "operation": _operation,
    "logic": _logic,
    "cipher": _cipher,
    "counterfactual": _letter,
}
