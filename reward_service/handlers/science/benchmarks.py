r"""SciBench and TheoremQA: their own tolerances, without their holes.

What is decided here
- SciBench (MIT; `isclose(rel_tol=0.05)`): within 5 % of the number in the row's unit. A power of ten in the unit belongs to
  the number, as in the official code. The official rule reads the first token (`50.7 or 101` was right) and no unit; here
  the whole answer is one quantity, its unit may be another of the same kind (it is converted), and a unit of another
  kind is wrong. The number without the unit's power of ten is right only where the question itself states the power.
- TheoremQA (MIT; `within_eps` 4 %): decimals within 4 %, whole numbers exactly (officially: rounded), lists item by item in
  their order (officially: sorted), yes and no and options as whole answers (officially: substrings, so that "unknown" was
  no). A unit that the question states ("(Unit: 10^11 m)") may stand behind the number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers._text import collapse
from reward_service.handlers.math import Verdict
from reward_service.handlers.science import units
from reward_service.handlers.science.gold import Decision, items_of
from reward_service.handlers.science.number import SCALES, Number, read_number
from reward_service.handlers.science.quantity import Quantity, compare, read_quantity
from reward_service.handlers.science.reading import answer_of, notation, turned
from reward_service.handlers.science.units import Unit
from reward_service.handlers.science.words import option_letter, truth

SCIBENCH_TOLERANCE = Fraction(1, 20)
THEOREMQA_TOLERANCE = Fraction(1, 25)


class GoldError(ValueError):
    """The ground truth is not what the benchmark has."""


class Scaled(NamedTuple):
    """A row's unit: its readings, its text, and the power of ten in front of it."""

    units: tuple[Unit, ...]
    text: str
    multiplier: Fraction


@lru_cache(maxsize=2_048)
def unit_of(text: str) -> Scaled:
    """`$10^{14} \\mathrm{~Hz}$` is Hz and 10^14; what is no unit stays text."""
    plain = collapse(notation(text)).lstrip("}× ").strip()
    multiplier = Fraction(1)
    if plain.startswith("10") and (found := read_number(plain)) is not None and not found[0].counted:
        multiplier, plain = found[0].value, found[1].lstrip("}×*· ").strip()
    return Scaled(units.readings(plain), plain, multiplier)


def scibench(gold: Any, answer: str, unit: Any, question: str) -> Decision:
    """One answer against SciBench's number in the row's unit. GoldError if the row can't be used."""
    number = _number(gold)
    scaled = unit_of(unit) if isinstance(unit, str) and len(unit) <= 200 else unit_of("")
    wanted = Quantity(_times(number, scaled.multiplier), scaled.units, suffix=scaled.text)
    if scaled.text and not scaled.units and scaled.text not in "$€£":
        wanted = wanted._replace(label=scaled.text.lower())
    found = _quantity(answer, scaled.text)
    if found is None:
        return Decision(Verdict.NOT_EQUAL, "scibench", hedged=turned(answer))
    verdict = compare(wanted, found, question, SCIBENCH_TOLERANCE).verdict
    if (
        verdict is Verdict.NOT_EQUAL
        and scaled.multiplier != 1
        and found.bare
        and _states_power(question, scaled)
    ):
        verdict = compare(Quantity(number), found, question, SCIBENCH_TOLERANCE).verdict
    if verdict is Verdict.NOT_EQUAL and scaled.text.lower() in SCALES:
        whole = _times(number, Fraction(10) ** SCALES[scaled.text.lower()])
        verdict = compare(Quantity(whole), found, question, SCIBENCH_TOLERANCE).verdict
    # A label that can't be compared is no equality: there is no judge for numbers.
    return Decision(verdict if verdict is Verdict.EQUAL else Verdict.NOT_EQUAL, "scibench")


def _states_power(question: str, scaled: Scaled) -> bool:
    power = f"10^{len(str(scaled.multiplier.numerator)) - len(str(scaled.multiplier.denominator))}"
    return power in notation(question[-2_000:]).replace("{", "").replace(" ", "")


def _times(number: Number, factor: Fraction) -> Number:
    return number._replace(value=number.value * factor)


def _quantity(answer: str, unit: str = "") -> Quantity | None:
    """The answer as a quantity; `unit`, written as the row has it, may stand behind the number whatever it is."""
    text = answer_of(answer).text
    found = read_quantity(text)
    if found is None and unit:
        bare = text.rstrip("} ").removesuffix(unit.rstrip("} ")).rstrip()
        found = read_quantity(bare) if len(bare) < len(text.rstrip("} ")) else None
    return found


def _number(gold: Any) -> Number:
    text = str(gold).strip() if isinstance(gold, str | int | float) and not isinstance(gold, bool) else ""
    found = read_number(notation(text)) if 0 < len(text) <= 100 else None
    if found is None or found[1].strip():
        raise GoldError("the ground truth is one number")
    return found[0]


# ---------------------------------------------------------------- TheoremQA


def theoremqa(gold: Any, answer: str, answer_type: str, question: str) -> Decision:
    """One answer against TheoremQA's value: true or false, a number, a list of numbers, or an option. GoldError otherwise."""
    gold = _typed(gold, answer_type)
    if isinstance(gold, bool):
        said = truth(answer_of(answer).text)
        verdict = Verdict.of(said is gold)
        return Decision(verdict, "truth", hedged=said is None and turned(answer))
    if isinstance(gold, str):
        wanted = option_letter(gold, marked=False)
        letter = option_letter(answer_of(answer).text, marked=False)
        return Decision(Verdict.of(letter == wanted), "option", hedged=not letter and turned(answer))
    if isinstance(gold, list):
        given = items_of(answer_of(answer).text)
        fits = len(given) == len(gold) and all(
            _same(one, other, question) for one, other in zip(gold, given, strict=True)
        )
        return Decision(Verdict.of(fits), "list", hedged=not fits and turned(answer))
    fits = _same(gold, answer, question)
    return Decision(Verdict.of(fits), "number", hedged=not fits and turned(answer))


def _typed(gold: Any, answer_type: str) -> bool | str | int | float | list[int | float]:
    if isinstance(gold, str):
        if option_letter(gold, marked=False):
            return gold
        said = truth(gold) if gold.strip().isalpha() else None
        if said is not None:
            return said
        try:
            gold = parse_literal(gold)
        except LiteralError:
            raise GoldError("a string is an option, true or false, or a literal") from None
    if isinstance(gold, bool):
        return gold
    if isinstance(gold, int | float):
        return float(gold) if answer_type == "float" else gold
    if isinstance(gold, list | tuple) and 0 < len(gold) <= 100 and all(map(_is_number, gold)):
        return list(gold)
    raise GoldError("the ground truth is a number, a list of numbers, true, false or an option")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_UNIT = re.compile(r"\([Uu]nits?:\s*([^()]{1,60}(?:\([^()]{0,40}\)[^()]{0,20})?)\)")


def _same(gold: int | float, answer: str, question: str) -> bool:
    found = _quantity(answer)
    if found is None:
        return False
    wanted = Number(Fraction(repr(gold)), None, 0, isinstance(gold, int))
    tolerance = Fraction(0) if isinstance(gold, int) else THEOREMQA_TOLERANCE
    stated = _UNIT.search(question[-4_000:])
    if stated is not None and not found.bare:
        scaled = unit_of(stated.group(1))
        full = Quantity(_times(wanted, scaled.multiplier), scaled.units)
        if scaled.units and found.units:
            return compare(full, found, question, tolerance).verdict is Verdict.EQUAL
    return compare(Quantity(wanted), found, question, tolerance).verdict is Verdict.EQUAL
