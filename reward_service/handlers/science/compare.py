r"""Is a scientific answer the ground truth? Equal, not equal, or undecided; the ground truth says what kind of thing it is.

What is decided here: which rule speaks, and when none does. The kinds, in the order in which they are tried: yes or no,
an option's letter, a quantity, a nuclide, a reaction, a formula, a list, an expression, text.
- A quantity is never left undecided for want of reading: an answer that holds no number equal to it is another answer.
  What says the value twice (`12.5 % = 0.125`, `5 m (500 cm)`) must be right both times, and `41 = 42` never is.
- Expressions go to the math package. Its *not equal* is believed where both sides speak of the same symbols; with other
  symbols (`k` and `k_B`) or another side of an equation solved, it is undecided. A decimal with three digits says what
  a closed form is (8.66 for `5\sqrt{3}`).
- Lists are compared in their order, item by item; names (`x = 2, y = 3`) pair them. Words in another order are the same
  list, numbers in another order undecided.
- Text is the same text or undecided, but for numbers and opposites (`increases`, `decreases`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from reward_service.handlers import math
from reward_service.handlers._qa import same_text
from reward_service.handlers._text import boxes, collapse
from reward_service.handlers.math import Verdict
from reward_service.handlers.science import chemistry
from reward_service.handlers.science.number import Number, read_number
from reward_service.handlers.science.quantity import Quantity, compare, read_quantity
from reward_service.handlers.science.reading import Answer, answer_of, turned
from reward_service.handlers.science.units import readings
from reward_service.handlers.science.words import opposite, option_letter, same_word, truth

MAX_ITEMS = 24


class Decision(NamedTuple):
    """The verdict, the rule that gave it, and why it is undecided. hedged: several or conditional answers in one."""

    verdict: Verdict
    comparator: str
    why: str = ""
    hedged: bool = False


class Gold(NamedTuple):
    """A ground truth and what it is: exactly one of the fields after `kind` matters."""

    source: str
    answer: Answer
    kind: str
    truth: bool | None = None
    letter: str = ""
    quantity: Quantity | None = None
    items: tuple[str, ...] = ()


_CHOICE_TYPES = ("multiple choice", "multiple-choice", "option", "mcq", "choice")
_BOOLEAN_TYPES = ("boolean", "bool", "yes/no", "true/false")


@lru_cache(maxsize=4_096)
def prepare(source: str, answer_type: str = "") -> Gold:
    """What kind of thing the ground truth is. answer_type: the data set's word for it, a hint."""
    boxed = boxes(source) if "box" in source else []
    text = boxed[-1].content if boxed else source
    answer = answer_of(text)
    kind_hint = answer_type.strip().lower()
    said = truth(answer.text)
    if said is not None and (kind_hint in _BOOLEAN_TYPES or answer.text.isalpha()):
        return Gold(text, answer, "truth", truth=said)
    letter = option_letter(answer.text, marked=kind_hint not in _CHOICE_TYPES)
    if letter:
        return Gold(text, answer, "option", letter=letter)
    quantity = read_quantity(answer.text)
    if quantity is not None and quantity.bare and "percent" in kind_hint:
        quantity = quantity._replace(units=readings("%"), suffix="%")
    if quantity is not None:
        return Gold(text, answer, "quantity", quantity=quantity)
    nuclide = chemistry.nuclide(text)
    if nuclide is not None and nuclide[0]:
        return Gold(text, answer, "nuclide")
    if chemistry.equation(text) is not None:
        return Gold(text, answer, "reaction")
    if _is_formula(text, kind_hint):
        return Gold(text, answer, "formula")
    items = items_of(text)
    if len(items) > 1:
        return Gold(text, answer, "list", items=items)
    prose = is_prose(answer.text) and not answer.name
    return Gold(text, answer, "text" if prose else "expression")


_CHEMICAL = re.compile(r"[\d+\-\[(·^]")


def _is_formula(text: str, hint: str) -> bool:
    """Elements with counts, charges or at least two of them: `NaCl`, `H2O`, `CO`; a lone `F` may be anything."""
    found = chemistry.species(text)
    if not found:
        return False
    if "chem" in hint or "formula" in hint:
        return True
    lower = any(character.islower() for character in text.replace("\\", " ").split("(")[0])
    counted = any(count > 1 for _, count in found[0].atoms) or found[0].charge != 0 or bool(found[0].state)
    return bool(_CHEMICAL.search(text) and counted) or (len(found[0].atoms) > 1 and (lower or len(text) == 2))


_PROSE = re.compile(r"[^\\^_=<>{}|√π∞∫Σ]*")
_LONG_WORD = re.compile(r"[A-Za-z]{3}")


def is_prose(text: str) -> bool:
    """Words, and nothing of mathematics."""
    return _PROSE.fullmatch(text) is not None and _LONG_WORD.search(text) is not None


# ---------------------------------------------------------------- the ladder


def decide(gold: Gold, text: str, question: str = "") -> Decision:
    """The answer (as it was extracted) against the prepared ground truth."""
    answer = answer_of(text)
    if not any(character.isalnum() or character in "∞√π" for character in answer.text):
        return Decision(Verdict.NOT_EQUAL, "empty")
    if tight(answer.text) == tight(gold.answer.text) and answer.name == gold.answer.name:
        return Decision(Verdict.EQUAL, "text")
    return _RULES[gold.kind](gold, text, answer, question)


def tight(text: str) -> str:
    """The characters alone, without spaces and braces; letter case is kept."""
    return text.replace(" ", "").replace("{", "").replace("}", "")


def _truth(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    said = truth(answer.text)
    if said is None:
        return Decision(Verdict.NOT_EQUAL, "truth", hedged=turned(answer.text))
    return Decision(Verdict.of(said is gold.truth), "truth")


def _option(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    letter = option_letter(answer.text, marked=False)
    if letter:
        return Decision(Verdict.of(letter == gold.letter), "option")
    if same_text(answer.text, gold.answer.text):
        return Decision(Verdict.EQUAL, "text")
    if turned(answer.text) or len(set(_LETTERS.findall(answer.text.upper()))) > 1:
        return Decision(Verdict.NOT_EQUAL, "option", hedged=True)
    return Decision(Verdict.UNKNOWN, "option", "option_by_its_text")


_LETTERS = re.compile(r"\(([A-Z])\)")
_BOUNDS = re.compile(
    r"\b(?:at (?:least|most)|(?:more|less|greater|fewer) than|over|under|above|below|up to|from|until)\b",
    re.IGNORECASE,
)
_GLUED = re.compile(r"\d[A-Za-z]$")
"""`5g`: five grams, or five times g."""
_SAID_TWICE = re.compile(
    r"\s*(?<![<>≤≥!])(?:=|≈|≃)\s*|\s+\((?:≈|or|i\.e\.,?|approximately|about)?\s*(?=[-+$€£\d.\\])|\)\s*$"
)
_SEVERAL = re.compile(r"±|\\mp|\bplus or minus\b")


def _quantity(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    wanted = gold.quantity
    if wanted is None:
        return Decision(Verdict.UNKNOWN, "quantity", "no_quantity")
    found = read_quantity(answer.text)
    if found is not None:
        judged = compare(wanted, found, question)
        if judged.verdict is Verdict.EQUAL and found.bare and _GLUED.search(gold.answer.text):
            return Decision(Verdict.UNKNOWN, "quantity", "unit_or_variable")
        return Decision(judged.verdict, "quantity", judged.why)
    parts = [part for part in _SAID_TWICE.split(answer.text) if part.strip()]
    if 1 < len(parts) <= 4:
        read = [read_quantity(part.strip()) for part in parts]
        if all(part is not None for part in read):
            verdicts = [compare(wanted, part, question).verdict for part in read if part is not None]
            return Decision(Verdict.of(all(verdict is Verdict.EQUAL for verdict in verdicts)), "said_twice")
    if turned(answer.text) or _SEVERAL.search(answer.text) or _BOUNDS.search(answer.text):
        return Decision(Verdict.NOT_EQUAL, "quantity", hedged=True)
    if _closed_form(answer.text):
        verdict = _math(_digits(wanted.number, gold), answer.text)
        if verdict is Verdict.EQUAL:
            return Decision(verdict, "math")
    elif is_prose(answer.text) and _holds(wanted, answer.text):
        return Decision(Verdict.UNKNOWN, "quantity", "number_in_prose")
    return Decision(Verdict.NOT_EQUAL, "quantity")


def _closed_form(text: str) -> bool:
    return any(mark in text for mark in ("\\", "√", "π", "^", "/"))


def _digits(number: Number, gold: Gold) -> str:
    """The ground truth's number alone, as written where it has no unit."""
    if gold.quantity is not None and gold.quantity.bare:
        return gold.answer.text
    value = number.value
    return str(value) if value.denominator == 1 else f"{float(value):.15g}"


_NUMBERS = re.compile(r"(?<![\w.])[-+]?[\d.]")


def _holds(wanted: Quantity, text: str) -> bool:
    """Does a number that equals the ground truth's stand somewhere in the prose?"""
    for match in list(_NUMBERS.finditer(text))[:40]:
        found = read_number(text[match.start() : match.start() + 120])
        if (
            found is not None
            and compare(wanted._replace(units=(), label=""), Quantity(found[0])).verdict is Verdict.EQUAL
        ):
            return True
    return False


def _nuclide(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    found = chemistry.nuclide(text) or chemistry.nuclide(answer.text)
    if found is not None:
        return Decision(Verdict.of(found == chemistry.nuclide(gold.source)), "nuclide")
    return _undecided_text(gold, answer, "nuclide")


def _reaction(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    wanted, found = chemistry.equation(gold.source), chemistry.equation(text)
    if wanted is not None and found is not None:
        verdict = chemistry.same_equation(wanted, found, question)
        return Decision(verdict, "reaction", "isomers" if verdict is Verdict.UNKNOWN else "")
    return _undecided_text(gold, answer, "reaction")


def _formula(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    wanted = chemistry.species(gold.source)
    found = chemistry.species(text) or chemistry.species(answer.text)
    if found:
        verdict = chemistry.same_species(wanted, found, states=chemistry.asks_for_states(question))
        return Decision(verdict, "formula", "isomers" if verdict is Verdict.UNKNOWN else "")
    return _undecided_text(gold, answer, "formula")


def _undecided_text(gold: Gold, answer: Answer, comparator: str) -> Decision:
    """Something that isn't in the notation of its kind: a name for a formula, say."""
    if read_quantity(answer.text) is not None:
        return Decision(Verdict.NOT_EQUAL, comparator)
    if turned(answer.text):
        return Decision(Verdict.NOT_EQUAL, comparator, hedged=True)
    return Decision(Verdict.UNKNOWN, comparator, "other_notation")


def _letter(gold: Gold, answer: Answer) -> Decision | None:
    """A ground truth of one capital letter may be an option or a symbol: another letter is wrong either way."""
    wanted = gold.answer.text
    if len(wanted) != 1 or not "A" <= wanted <= "Z":
        return None
    if len(answer.text) == 1 and answer.text.isalpha():
        same = answer.text.upper() == wanted
        return (
            Decision(Verdict.UNKNOWN, "letter", "letter_case")
            if same
            else Decision(Verdict.NOT_EQUAL, "letter")
        )
    letter = option_letter(answer.text, marked=False)
    return Decision(Verdict.of(letter == wanted), "letter") if letter else None


def _expression(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    lettered = _letter(gold, answer)
    if lettered is not None:
        return lettered
    verdict = _math(gold.source, text)
    if verdict is Verdict.EQUAL:
        if _other_case(gold.answer.text, answer.text):
            return Decision(Verdict.UNKNOWN, "math", "letter_case")
        return Decision(verdict, "math")
    found = read_quantity(answer.text)
    decimal = (
        found is not None and found.bare and (found.number.digits or 0) >= 3 and not found.number.counted
    )
    if decimal and _math(answer.text, gold.answer.text) is Verdict.EQUAL:
        return Decision(Verdict.EQUAL, "decimal")
    if _SEVERAL.search(gold.answer.text) or "\\pm" in gold.source:
        return Decision(Verdict.UNKNOWN, "math", "uncertainty")
    element = chemistry.element(gold.source.strip())
    if element is not None and element == chemistry.element(answer.text):
        return Decision(Verdict.EQUAL, "element")
    if turned(answer.text) and not turned(gold.answer.text):
        return Decision(Verdict.NOT_EQUAL, "math", hedged=True)
    wanted, given = symbols(gold.answer.text), symbols(answer.text)
    if not wanted and not (is_prose(answer.text) and any(character.isdigit() for character in answer.text)):
        return Decision(Verdict.NOT_EQUAL, "math")
    same_side = ("=" in gold.source) == ("=" in text) and gold.answer.name == answer.name
    if verdict is Verdict.NOT_EQUAL and wanted == given and same_side:
        return Decision(verdict, "math")
    if wanted and not given and found is not None:
        return Decision(Verdict.NOT_EQUAL, "math")
    return Decision(
        Verdict.UNKNOWN, "math", "prose_for_an_expression" if is_prose(answer.text) else "other_symbols"
    )


def _other_case(gold: str, answer: str) -> bool:
    """Are the symbols the same but for their letter case? `V` and `v` are two quantities."""
    left, right = symbols(gold), symbols(answer)
    return left != right and {symbol.casefold() for symbol in left} == {symbol.casefold() for symbol in right}


def _math(gold: str, answer: str) -> Verdict:
    if len(gold) > 1_000 or len(answer) > 1_000:
        return Verdict.UNKNOWN
    return math.equal(gold, answer)


_SYMBOL = re.compile(r"(?:\\[A-Za-z]+|[A-Za-zα-ωΑ-Ω])(?:_(?:\{[^{}]{1,20}\}|\w))?")
_NOT_SYMBOLS = frozenset(
    [
        r"\frac",
        r"\sqrt",
        r"\left",
        r"\right",
        r"\cdot",
        r"\times",
        r"\sin",
        r"\cos",
        r"\tan",
        r"\ln",
        r"\log",
        r"\exp",
        r"\pi",
        r"\int",
        r"\sum",
        r"\infty",
        r"\quad",
        r"\text",
        r"\mathrm",
        r"\le",
        r"\ge",
        r"\leq",
        r"\geq",
        r"\to",
        r"\pm",
        r"\in",
        r"\cup",
        r"\cap",
        r"\arcsin",
        r"\arccos",
        r"\arctan",
        r"\sinh",
        r"\cosh",
        r"\tanh",
        r"\lim",
        r"\circ",
        r"\ldots",
        r"\dots",
        r"\approx",
        r"\begin",
        r"\end",
    ]
)
_FUNCTIONS = re.compile(r"(?<!\\)\b(?:sin|cos|tan|ln|log|exp|sqrt|arctan|arcsin|arccos|sinh|cosh|tanh|pi)\b")


def symbols(text: str) -> frozenset[str]:
    """The variables of an expression with their indices, functions and constants aside."""
    text = _FUNCTIONS.sub(" ", text.replace("{}", ""))
    found = (
        match.group().replace("{", "").replace("}", "").replace(" ", "") for match in _SYMBOL.finditer(text)
    )
    return frozenset(symbol for symbol in found if symbol not in _NOT_SYMBOLS and symbol not in ("e", "i"))


def _text(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    wanted = gold.answer.text
    if same_text(answer.text, wanted) or same_text(text, gold.source) or same_word(wanted, answer.text):
        return Decision(Verdict.EQUAL, "text")
    element = chemistry.element(wanted)
    if element is not None and chemistry.element(answer.text) == element:
        return Decision(Verdict.EQUAL, "element")
    if read_quantity(answer.text) is not None and not any(character.isdigit() for character in wanted):
        return Decision(Verdict.NOT_EQUAL, "text")
    if opposite(wanted, answer.text):
        return Decision(Verdict.NOT_EQUAL, "opposite")
    items = items_of(answer.text)
    if len(items) > 1 and any(same_text(item, wanted) for item in items):
        return Decision(Verdict.NOT_EQUAL, "text", hedged=True)
    if _OFFERS.search(answer.text) and not _OFFERS.search(wanted):
        return Decision(Verdict.NOT_EQUAL, "text", hedged=True)
    return Decision(Verdict.UNKNOWN, "text", "prose")


_OFFERS = re.compile(r"\b(?:or|either|alternatively|otherwise|versus)\b", re.IGNORECASE)


# ---------------------------------------------------------------- lists

_SEPARATOR = re.compile(
    r"\s*(?:;|,(?!\d{3}(?!\d))(?=\s)|,(?=\s*[^\d\s])|\n|(?:,\s*)?(?<=\s)(?:and|&)(?=\s)|\\\\|\\quad|\\text\s*\{\s*(?:,\s*)?and\s*\})\s*"
)
_OPENING, _CLOSING = "([{", ")]}"


def items_of(text: str) -> tuple[str, ...]:
    """The items of a list at the top level of brackets; brackets around all of them are taken off. One item: no list."""
    text = text.strip().strip("$").strip()
    if "\\begin" in text:
        return (text,)
    for opening, closing in ((r"\{", r"\}"), ("(", ")"), ("[", "]"), ("{", "}"), (r"\left(", r"\right)")):
        if text.startswith(opening) and text.endswith(closing) and _spans(text[len(opening) : -len(closing)]):
            text = text[len(opening) : -len(closing)].strip()
            break
    depth = 0
    depths = []
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        depths.append(depth)
    items: list[str] = []
    start = 0
    for match in _SEPARATOR.finditer(text):
        if match.end() > match.start() and depths[match.start()] == 0:
            items.append(text[start : match.start()].strip())
            start = match.end()
    items.append(text[start:].strip())
    found = tuple(item for item in items if item)
    if len(found) > MAX_ITEMS or any(len(item.split()) > 8 for item in found):
        return (text,)
    return found


def _spans(inner: str) -> bool:
    depth = 0
    for character in inner:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def _list(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    if same_text(text, gold.source) and is_prose(answer.text):
        return Decision(Verdict.EQUAL, "text")
    given = items_of(answer.text if answer.name == "" else text)
    worded = all(prepare(item).kind in ("text", "formula") for item in gold.items)
    if turned(answer.text) and not turned(gold.source):
        return Decision(Verdict.NOT_EQUAL, "list", hedged=True)
    if len(given) != len(gold.items):
        if worded and len(given) > len(gold.items) and all(_among(item, given) for item in gold.items):
            return Decision(Verdict.NOT_EQUAL, "list", hedged=True)
        if worded or len(given) == 1:
            return _alone(gold, text)
        return Decision(Verdict.NOT_EQUAL, "list")
    golds = [prepare(item) for item in gold.items]
    table = [[_item(one, other, question) for other in given] for one in golds]
    diagonal = [table[at][at] for at in range(len(golds))]
    if all(verdict is Verdict.EQUAL for verdict in diagonal):
        return Decision(Verdict.EQUAL, "list")
    names = [one.answer.name for one in golds]
    if all(names) and len(set(names)) == len(names):
        return _by_name(golds, given, question)
    if _matches(table, (Verdict.EQUAL,)):
        return Decision(Verdict.EQUAL, "list") if worded else Decision(Verdict.UNKNOWN, "list", "order")
    if _matches(table, (Verdict.EQUAL, Verdict.UNKNOWN)):
        return Decision(Verdict.UNKNOWN, "list", "items")
    return Decision(Verdict.NOT_EQUAL, "list")


def _among(item: str, given: tuple[str, ...]) -> bool:
    return any(decide(prepare(item), other).verdict is Verdict.EQUAL for other in given)


def _alone(gold: Gold, text: str) -> Decision:
    """Another number of items: one expression may still be the same tuple or set."""
    if _math(gold.source, text) is Verdict.EQUAL:
        return Decision(Verdict.EQUAL, "math")
    quantities = [prepare(item).quantity for item in gold.items]
    if all(quantities) and not all(_holds(quantity, text) for quantity in quantities if quantity is not None):
        return Decision(Verdict.NOT_EQUAL, "list")
    return Decision(Verdict.UNKNOWN, "list", "items")


def _item(gold: Gold, text: str, question: str) -> Verdict:
    name = answer_of(text).name
    if gold.kind == "list" or (name and gold.answer.name and collapse(name) != collapse(gold.answer.name)):
        return Verdict.NOT_EQUAL
    return decide(gold, text, question).verdict


def _by_name(golds: list[Gold], given: tuple[str, ...], question: str) -> Decision:
    named = {collapse(answer_of(text).name): text for text in given}
    verdicts = []
    for gold in golds:
        text = named.get(collapse(gold.answer.name))
        verdicts.append(Verdict.UNKNOWN if text is None else decide(gold, text, question).verdict)
    if all(verdict is Verdict.EQUAL for verdict in verdicts):
        return Decision(Verdict.EQUAL, "list")
    if Verdict.NOT_EQUAL in verdicts:
        return Decision(Verdict.NOT_EQUAL, "list")
    return Decision(Verdict.UNKNOWN, "list", "items")


def _matches(table: list[list[Verdict]], allowed: tuple[Verdict, ...]) -> bool:
    """Can every item be paired with one of the other side under these verdicts? Augmenting paths."""
    taken: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, verdict in enumerate(table[row]):
            if verdict in allowed and column not in seen:
                seen.add(column)
                if column not in taken or place(taken[column], seen):
                    taken[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(table)))


_RULES = {
    "truth": _truth,
    "option": _option,
    "quantity": _quantity,
    "nuclide": _nuclide,
    "reaction": _reaction,
    "formula": _formula,
    "list": _list,
    "expression": _expression,
    "text": _text,
}
