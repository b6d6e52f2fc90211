r"""Rules for yes and no, options, and quantities: what a rule that can read them decides, and no judge ever sees.

What is decided here: a quantity is never left undecided for want of reading: an answer that holds no number equal to it, or
another one beside it, is another answer. What says the value twice (`12.5 % = 0.125`, `5 m (500 cm)`) must be right both
times, and `41 = 42` never is. Bounds, uncertainties and alternatives are no value.
"""

from __future__ import annotations

import re

from reward_service.handlers._qa import same_text
from reward_service.handlers.math import Verdict
from reward_service.handlers.science.gold import Decision, Gold, is_prose, same_math, tight
from reward_service.handlers.science.number import Number, read_number
from reward_service.handlers.science.quantity import Quantity, compare, read_quantity
from reward_service.handlers.science.reading import Answer, turned
from reward_service.handlers.science.units import readings
from reward_service.handlers.science.words import option_letter, truth


def by_truth(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """Yes or no: the one word that the whole answer comes to."""
    said = truth(answer.text)
    if said is None:
        return Decision(Verdict.NOT_EQUAL, "truth", hedged=turned(answer.text))
    return Decision(Verdict.of(said is gold.truth), "truth")


def by_option(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """An option's letter; the option's text alone is undecided."""
    letter = option_letter(answer.text, marked=False)
    if letter:
        return Decision(Verdict.of(letter == gold.letter), "option")
    if same_text(answer.text, gold.answer.text):
        return Decision(Verdict.EQUAL, "text")
    several = len(set(_LETTERS.findall(answer.text.upper()))) > 1 or _LETTERS_ALONE.fullmatch(answer.text)
    if several or turned(answer.text):
        return Decision(Verdict.NOT_EQUAL, "option", hedged=True)
    return Decision(Verdict.UNKNOWN, "option", "option_by_its_text")


_LETTERS = re.compile(r"\(([A-Z])\)")
_LETTERS_ALONE = re.compile(r"(?:[A-Ja-j][\s,/&]*){2,10}")
_BOUNDS = re.compile(
    r"\b(?:at (?:least|most)|(?:more|less|greater|fewer) than|over|under|above|below|up to|from|until|whatever|whichever|any|right|correct|appropriate)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[A-Za-z0-9 .,:;'’%$°/-]+")
_GLUED = re.compile(r"\d[A-Za-z]$")
"""`5g`: five grams, or five times g."""
_SAID_TWICE = re.compile(
    r"\s*(?<![<>≤≥!])(?:=|≈|≃)\s*|\s+\((?:≈|or|i\.e\.,?|approximately|about)?\s*(?=[-+$€£\d.\\])|\)\s*$"
)
SEVERAL = re.compile(r"±|\\mp|\bplus or minus\b")


def by_quantity(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """A number with or without a unit, by the rules above."""
    wanted = gold.quantity
    if wanted is None:
        return Decision(Verdict.UNKNOWN, "quantity", "no_quantity")
    found = read_quantity(answer.text)
    if found is not None and not found.number.reduced and wanted.bare and found.bare:
        return Decision(Verdict.of(same_math(gold.answer.text, answer.text) is Verdict.EQUAL), "math")
    if found is not None:
        judged = compare(wanted, found, question)
        if judged.verdict is Verdict.EQUAL and found.bare and _GLUED.search(gold.answer.text):
            return Decision(Verdict.UNKNOWN, "quantity", "unit_or_variable")
        return Decision(judged.verdict, "quantity", judged.why)
    parts = [part for part in _SAID_TWICE.split(answer.text) if part.strip()]
    if 1 < len(parts) <= 4:
        read = [read_quantity(part.strip()) for part in parts]
        if len({tight(part) for part in parts}) < len(parts):
            return Decision(Verdict.NOT_EQUAL, "said_twice")
        if all(part is not None for part in read):
            verdicts = [compare(wanted, part, question).verdict for part in read if part is not None]
            return Decision(Verdict.of(all(verdict is Verdict.EQUAL for verdict in verdicts)), "said_twice")
    if turned(answer.text) or SEVERAL.search(answer.text) or _BOUNDS.search(answer.text):
        return Decision(Verdict.NOT_EQUAL, "quantity", hedged=True)
    if _closed_form(answer.text) and "=" not in answer.text:
        verdict = same_math(_digits(wanted.number, gold), answer.text)
        if verdict is Verdict.NOT_EQUAL and _in_degrees(wanted):
            verdict = same_math(rf"\frac{{{wanted.number.value}\pi}}{{180}}", answer.text)
        if verdict is Verdict.EQUAL:
            return Decision(verdict, "math")
    elif _SENTENCE.fullmatch(answer.text) and is_prose(answer.text) and _holds(wanted, answer.text):
        return Decision(Verdict.UNKNOWN, "quantity", "number_in_prose")
    return Decision(Verdict.NOT_EQUAL, "quantity")


def _closed_form(text: str) -> bool:
    return any(mark in text for mark in ("\\", "√", "π", "^", "/"))


def _in_degrees(quantity: Quantity) -> bool:
    degree = readings("°")[0]
    return any(unit == degree for unit in quantity.units) and quantity.number.value.denominator == 1


def _digits(number: Number, gold: Gold) -> str:
    """The ground truth's number alone, as written where it has no unit."""
    if gold.quantity is not None and gold.quantity.bare:
        return gold.answer.text
    value = number.value
    return str(value) if value.denominator == 1 else f"{float(value):.15g}"


_NUMBERS = re.compile(r"(?<![\w.])[-+]?[\d.]")


def _holds(wanted: Quantity, text: str) -> bool:
    """Are there numbers in the prose, and all of them the ground truth's?"""
    same = _same_numbers(wanted, text)
    return bool(same) and all(same)


def mentions(wanted: Quantity, text: str) -> bool:
    """Does a number that equals the ground truth's stand somewhere in the text?"""
    return any(_same_numbers(wanted, text))


def _same_numbers(wanted: Quantity, text: str) -> list[bool]:
    bare = wanted._replace(units=(), label="", currency="")
    starts = [match.start() for match in _NUMBERS.finditer(text)][:24]
    found = [read_number(text[start : start + 120]) for start in starts]
    return [one is not None and compare(bare, Quantity(one[0])).verdict is Verdict.EQUAL for one in found]
