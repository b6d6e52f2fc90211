r"""Quantities: a number with a unit, a label or nothing behind it, and when two of them are the same.

What is decided here: what a missing or different unit means.
- both have units: the answer is converted into the ground truth's unit; other dimensions are another quantity;
- the answer has none: it is in the ground truth's (or the question's) unit, as most data sets ask for bare numbers;
- only the answer has one: it is converted where the question names a unit of its kind; else the number counts, if the
  unit is a base unit or one that the question speaks of. `10 km` for a bare 10 of a question that never says km is
  undecided;
- `%` is a hundredth: 12.5 % is 0.125 (for ground truths below 2: nobody writes 50 as 5000 %), and 12.5 where the ground
  truth is in percent, the question asks for one, or there is no question;
- a division that is still to be done (`10/2`) is no answer;
- what is no unit is a label (`5 protons`): labels are compared as words, and one that the other side lacks is ignored;
- words behind the ground truth's unit (`5 N to the left`) are a direction: the opposite is wrong, another or none undecided;
- temperatures are points on their scales (25 °C is 298 K) unless the question is about a difference.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from reward_service.handlers.math import Verdict
from reward_service.handlers.science import units
from reward_service.handlers.science.number import Converted, Number, read_number, same_value, within
from reward_service.handlers.science.reading import neutral, notation
from reward_service.handlers.science.units import Unit
from reward_service.handlers.science.words import opposite

MAX_CHARS = 240


class Quantity(NamedTuple):
    """units: what the unit may mean, () without one. label: words behind the number that are no unit. suffix: as written.

    remark: the words behind a unit that may say a direction, without those that say nothing.
    """

    number: Number
    units: tuple[Unit, ...] = ()
    label: str = ""
    currency: str = ""
    suffix: str = ""
    remark: tuple[str, ...] = ()

    @property
    def bare(self) -> bool:
        """A number and nothing else."""
        return not (self.units or self.label or self.currency)


_CURRENCY = {
    "$": "$", "usd": "$", "us$": "$", "dollar": "$", "dollars": "$", "€": "€", "eur": "€", "euro": "€", "euros": "€", "£": "£", "gbp": "£",
    "¥": "¥", "yen": "¥", "yuan": "¥", "rmb": "¥", "₹": "₹", "rs": "₹", "rs.": "₹", "rupees": "₹", "inr": "₹", "cents": "c", "cent": "c", "¢": "c",
}  # fmt: skip
_BEFORE = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<currency>US\$|USD|EUR|GBP|INR|Rs\.?|[$€£¥₹])\s*(?=[-+]?[\d.])", re.IGNORECASE
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z ,.'()/-]*")
_PERCENT_POINT = re.compile(r"\b(?:per cent|percentage points?|percents?|pct)\b")


@lru_cache(maxsize=8_192)
def read_quantity(text: str) -> Quantity | None:
    """The quantity that the whole text is (plain notation), or None."""
    if not text or len(text) > MAX_CHARS:
        return None
    currency = ""
    before = _BEFORE.match(text)
    if before is not None:
        currency = _CURRENCY[before.group("currency").lower()]
        text = before.group("sign") + text[before.end() :]
    found = read_number(text)
    if found is None:
        return None
    if not currency and (compound := _compound(text)) is not None:
        return compound
    number, rest = found
    spaced = rest[:1] in (" ", "(")
    rest = _PERCENT_POINT.sub("%", rest.strip())
    if rest.startswith("(") and rest.endswith(")") and rest.count("(") == 1:
        rest = rest[1:-1].strip()
    rest = rest.strip(",;").strip().removesuffix("times").strip()
    if not rest:
        return Quantity(number, currency=currency)
    if not currency and (named := _CURRENCY.get(rest.lower())) is not None:
        return Quantity(number, currency=named)
    if found_units := units.readings(rest):
        return Quantity(number, found_units, currency=currency, suffix=rest)
    return _with_words(number, rest, currency, spaced)


_STEP = re.compile(r"\s*(?:and )?(\d{1,9}(?:\.\d{1,6})?)\s?([A-Za-z]{1,10}|°)\.?,?")


def _compound(text: str) -> Quantity | None:
    """`2 h 30 min`, `5 ft 3 in`: steps of one kind of unit, each smaller than one of the unit before."""
    steps: list[tuple[Fraction, Unit]] = []
    at = 0
    while at < len(text) and len(steps) < 4:
        match = _STEP.match(text, at)
        found = units.readings(match.group(2)) if match is not None else ()
        if match is None or not found:
            return None
        steps.append((Fraction(match.group(1)), found[0]))
        at = match.end()
    if len(steps) < 2 or at < len(text):
        return None
    first = steps[0][1]
    for (_, above), (amount, unit) in pairwise(steps):
        if unit.dims != first.dims or not unit.dims or unit.zero or amount * unit.factor >= above.factor:
            return None
    total = sum((amount * unit.factor for amount, unit in steps), Fraction(0))
    return Quantity(Number(total / first.factor, None, 0, False), (first,), suffix=text)


def _with_words(number: Number, rest: str, currency: str, spaced: bool) -> Quantity | None:
    """A unit and a remark behind it (`5 m to the right`), or a label."""
    pieces = rest.split(" ")
    for cut in range(min(len(pieces) - 1, 6), 0, -1):
        head, tail = " ".join(pieces[:cut]).rstrip(","), " ".join(pieces[cut:])
        fits = _WORDS.fullmatch(tail.lstrip("(")) and neutral(_WHERE.sub(" ", tail))
        if fits and (found := units.readings(head)):
            return Quantity(number, found, currency=currency, suffix=head, remark=_remark(tail))
    if spaced and _WORDS.fullmatch(rest) and neutral(rest) and len(rest) <= 60 and _are_words(rest):
        return Quantity(number, label=rest.lower().rstrip("."), currency=currency, suffix=rest)
    return None


_WHERE = re.compile(r"\b(?:to the|towards?|up|down|above|below|from the)\b", re.IGNORECASE)
_SAY_NOTHING = frozenset(
    ("to", "the", "toward", "towards", "in", "direction", "directed", "pointing", "a", "of")
)
_WORD = re.compile("[a-z]+")


def _remark(text: str) -> tuple[str, ...]:
    return tuple(word for word in _WORD.findall(text.lower()) if word not in _SAY_NOTHING)


_SHORT_WORDS = frozenset(["of", "a", "an", "in", "on", "at", "by", "per", "the"])


def _are_words(text: str) -> bool:
    """Words, not variables: `5 i` and `5 xy` are products."""
    return all(len(word.strip(",.'()/-")) >= 3 or word.lower() in _SHORT_WORDS for word in text.split())


class Judged(NamedTuple):
    """The verdict and, where it is UNKNOWN, why."""

    verdict: Verdict
    why: str = ""


EQUAL, NOT_EQUAL = Judged(Verdict.EQUAL), Judged(Verdict.NOT_EQUAL)


def compare(
    gold: Quantity, answer: Quantity, question: str = "", tolerance: Fraction | None = None
) -> Judged:
    """By the rules above. tolerance: relative, of a benchmark that has one."""
    judged = _amounts(gold, answer, question, tolerance)
    if judged.verdict is Verdict.EQUAL and gold.remark and gold.remark != answer.remark:
        if any(opposite(one, other) for one in gold.remark for other in answer.remark):
            return NOT_EQUAL
        return Judged(Verdict.UNKNOWN, "other_remark")
    return judged


def _amounts(gold: Quantity, answer: Quantity, question: str, tolerance: Fraction | None) -> Judged:
    if gold.currency and answer.currency and gold.currency != answer.currency:
        return NOT_EQUAL
    if not answer.number.reduced:
        return NOT_EQUAL
    if gold.units and answer.units:
        return _converted(gold, answer, question, tolerance)
    same = _same(gold, answer, tolerance)
    if gold.units:
        if answer.label:
            alike = _label(gold.suffix) == _label(answer.suffix)
            return EQUAL if same and alike else Judged(Verdict.UNKNOWN, "unknown_unit") if same else NOT_EQUAL
        ratio = any(
            not unit.dims and _same(gold, answer, tolerance, _into(unit, units.NONE)) for unit in gold.units
        )
        return EQUAL if same or ratio else NOT_EQUAL
    if answer.units and not gold.label:
        return _bare_gold(gold, answer, question, tolerance, same)
    if not same:
        return NOT_EQUAL
    if gold.label and (answer.label or answer.units) and not _same_label(gold.suffix, answer.suffix):
        return Judged(Verdict.UNKNOWN, "other_label")
    return EQUAL


def _same(
    gold: Quantity, answer: Quantity, tolerance: Fraction | None, converted: Converted | None = None
) -> bool:
    if converted is not None:
        factor = converted.factor
        converted = Converted(converted.value + answer.number.value * factor, factor)
    if tolerance is not None:
        return within(
            gold.number.value, answer.number.value if converted is None else converted.value, tolerance
        )
    return same_value(gold.number, answer.number, measured=bool(gold.units), converted=converted)


def _into(to: Unit, of: Unit, *, steps: bool = False) -> Converted | None:
    """What one of unit `of` is in `to`, and the shift between their zeros; None if they are one unit."""
    if to == of:
        return None
    shift = Fraction(0) if steps else (of.zero - to.zero) / to.factor
    return Converted(shift, of.factor / to.factor)


_DIFFERENCE = re.compile(
    r"\b(?:change|difference|rise|increase|decrease|drop|depression|elevation|fall)s?\b|\\Delta\s*T|ΔT",
    re.IGNORECASE,
)
_KELVIN = (("kelvin", Fraction(1)),)


def _converted(gold: Quantity, answer: Quantity, question: str, tolerance: Fraction | None) -> Judged:
    readings = answer.units
    if any(unit.dims == _KELVIN for unit in gold.units) and answer.suffix in ("C", "F"):
        readings = units.readings(f"°{answer.suffix}")
    steps = bool(_DIFFERENCE.search(question))
    for to in gold.units:
        for of in readings:
            if units.convertible(to, of) and _same(gold, answer, tolerance, _into(to, of, steps=steps)):
                return EQUAL
    return NOT_EQUAL


def _bare_gold(
    gold: Quantity, answer: Quantity, question: str, tolerance: Fraction | None, same: bool
) -> Judged:
    if not answer.units[0].dims and answer.units[0].factor != 1:  # percent and its like
        ratio = abs(gold.number.value) < 2 and _same(
            gold, answer, tolerance, _into(units.NONE, answer.units[0])
        )
        asked = not question or "%" in question or "percent" in question.lower()
        return EQUAL if ratio or (same and asked) else NOT_EQUAL
    for unit in asked_units(question):
        for of in answer.units:
            if units.convertible(unit, of):
                return (
                    EQUAL
                    if _same(gold._replace(units=(unit,)), answer, tolerance, _into(unit, of))
                    else NOT_EQUAL
                )
    if not same:
        return NOT_EQUAL
    coherent = answer.units[0].factor == 1 or not question
    if coherent or answer.suffix in notation(question[:8_000]):
        return EQUAL
    return Judged(Verdict.UNKNOWN, "unit_not_asked_for")


_ASKED = re.compile(
    r"\b(?:in|unit|units)\b[ :(]*(?:units? of |the unit of )?([^\s,?;]+(?: [^\s,?;]+){0,3})", re.IGNORECASE
)


@lru_cache(maxsize=2_048)
def asked_units(question: str) -> tuple[Unit, ...]:
    """The units in which a question asks for its answer ("in km/h", "(Unit: 10^11 m)" without its power)."""
    found: list[Unit] = []
    if " in" not in question and "nit" not in question:
        return ()
    for match in _ASKED.finditer(notation(question[-2_000:])):
        pieces = match.group(1).rstrip(".)").split(" ")
        for cut in range(len(pieces), 0, -1):
            if readings := units.readings(" ".join(pieces[:cut]).strip("().")):
                found.append(readings[0])
                break
    return tuple(found)


def _label(text: str) -> str:
    return " ".join(word.rstrip(".").removesuffix("s") for word in text.lower().replace("-", " ").split())


def _same_label(gold: str, answer: str) -> bool:
    left, right = set(_label(gold).split()), set(_label(answer).split())
    return left <= right or right <= left
