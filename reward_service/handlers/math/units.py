"""Units and counted nouns behind a number.

What is decided here: `5 cm` answers 5, and 5 cm is not 5 m. A known unit has a dimension and a factor, so
that two known units are comparable; an unknown word is a counted noun ("5 apples") and says nothing about the
value. A phrase that says something about the answer itself ("is incorrect", "or", "not") is no unit, and
neither is anything with a scale in it that isn't applied.
"""

from __future__ import annotations

import re
from fractions import Fraction

from reward_service.handlers.math.nodes import Unit, word_set

F = Fraction

Dimensions = tuple[tuple[str, int], ...]

_TABLE: tuple[tuple[Dimensions, Fraction, str], ...] = (
    ((("length", 1),), F(1), "m meter meters metre metres"),
    ((("length", 1),), F(1, 100), "cm centimeter centimeters centimetre centimetres"),
    ((("length", 1),), F(1, 1000), "mm millimeter millimeters millimetre millimetres"),
    ((("length", 1),), F(1, 10), "dm decimeter decimeters decimetre decimetres"),
    ((("length", 1),), F(1000), "km kilometer kilometers kilometre kilometres kms"),
    ((("length", 1),), F(1, 10**6), "um μm micrometer micrometers micron microns"),
    ((("length", 1),), F(1, 10**9), "nm nanometer nanometers nanometre nanometres"),
    ((("length", 1),), F(254, 10000), "in inch inches"),
    ((("length", 1),), F(3048, 10000), "ft foot feet"),
    ((("length", 1),), F(9144, 10000), "yd yard yards"),
    ((("length", 1),), F(1609344, 1000), "mi mile miles"),
    ((("mass", 1),), F(1), "kg kilogram kilograms kilogramme kilogrammes kgs"),
    ((("mass", 1),), F(1, 1000), "g gram grams gramme grammes"),
    ((("mass", 1),), F(1, 10**6), "mg milligram milligrams"),
    ((("mass", 1),), F(1000), "tonne tonnes"),
    ((("mass", 1),), F(45359237, 10**8), "lb lbs pound pounds"),
    ((("mass", 1),), F(45359237, 16 * 10**8), "oz ounce ounces"),
    ((("time", 1),), F(1), "s sec secs second seconds"),
    ((("time", 1),), F(60), "min mins minute minutes"),
    ((("time", 1),), F(3600), "h hr hrs hour hours"),
    ((("time", 1),), F(86400), "day days"),
    ((("time", 1),), F(604800), "week weeks"),
    ((("time", 1),), F(1, 1000), "ms millisecond milliseconds"),
    ((("month", 1),), F(1), "month months"),
    ((("month", 1),), F(12), "yr yrs year years"),
    ((("length", 3),), F(1, 1000), "l liter liters litre litres"),
    ((("length", 3),), F(1, 10**6), "ml milliliter milliliters millilitre millilitres"),
    ((("money", 1),), F(1), "dollar dollars usd"),
    ((("money", 1),), F(1, 100), "cent cents"),
    ((("rupee", 1),), F(1), "rupee rupees rs"),
    ((("yuan", 1),), F(1), "yuan rmb"),
    ((("euro", 1),), F(1), "euro euros"),
    ((("energy", 1), ("length", -1)), F(1), "n newton newtons"),
    ((("energy", 1),), F(1), "j joule joules"),
    ((("energy", 1),), F(1000), "kj kilojoule kilojoules"),
    ((("energy", 1), ("time", -1)), F(1), "w watt watts"),
    ((("energy", 1), ("time", -1)), F(1000), "kw kilowatt kilowatts"),
    ((("energy", 1), ("length", -3)), F(1), "pa pascal pascals"),
    ((("energy", 1), ("length", -3)), F(1000), "kpa"),
    ((("charge", -1), ("energy", 1)), F(1), "v volt volts"),
    ((("charge", 1), ("time", -1)), F(1), "a amp amps ampere amperes"),
    ((("time", -1),), F(1), "hz hertz"),
    ((("time", -1),), F(1000), "khz"),
    ((("temperature", 1),), F(1), "k kelvin kelvins"),
    ((("amount", 1),), F(1), "mol mole moles"),
    ((("length", 1), ("time", -1)), F(1609344, 3600 * 1000), "mph"),
    ((("angle", 1),), F(1), "rad rads radian radians"),
    ((("charge", 1),), F(1), "coulomb coulombs"),
    ((("energy", 1),), F(1602176634, 10**28), "ev"),
    ((("field", 1),), F(1), "tesla teslas"),
    ((("energy", 1),), F(1602176634, 10**28), "eV"),
    ((("energy", 1),), F(1602176634, 10**25), "keV"),
    ((("energy", 1),), F(1602176634, 10**22), "MeV"),
    ((("energy", 1),), F(1602176634, 10**19), "GeV"),
    ((("energy", 1),), F(4184, 1000), "cal calorie calories"),
    ((("energy", 1),), F(4184), "kcal"),
    ((("energy", 1),), F(10**6), "MJ"),
    ((("energy", 1), ("time", -1)), F(10**6), "MW megawatt megawatts"),
    ((("energy", 1), ("time", -1)), F(1, 1000), "mW milliwatt milliwatts"),
    ((("charge", -1), ("energy", 1)), F(1000), "kV kilovolt kilovolts"),
    ((("charge", -1), ("energy", 1)), F(1, 1000), "mV millivolt millivolts"),
    ((("charge", 1), ("time", -1)), F(1, 1000), "mA milliamp milliamps"),
    ((("charge", -2), ("energy", 1), ("time", 1)), F(1), "ohm ohms"),
    ((("energy", 1), ("length", -3)), F(10**6), "MPa megapascal megapascals"),
    ((("energy", 1), ("length", -3)), F(10**9), "GPa gigapascal gigapascals"),
    ((("energy", 1), ("length", -3)), F(101325), "atm atmosphere atmospheres"),
    ((("time", -1),), F(10**6), "MHz megahertz"),
    ((("time", -1),), F(10**9), "GHz gigahertz"),
    ((("time", 1),), F(1, 10**6), "us microsecond microseconds"),
    ((("time", 1),), F(1, 10**9), "ns nanosecond nanoseconds"),
    ((("length", 1),), F(1, 10**10), "angstrom angstroms"),
    ((("length", 1),), F(1, 10**12), "pm picometer picometers"),
    ((("amount", 1),), F(1, 1000), "mmol millimole millimoles"),
    ((("mass", 1),), F(1, 10**9), "ug microgram micrograms"),
)
KNOWN: dict[str, Unit] = {
    name: Unit(name, dimensions, factor) for dimensions, factor, names in _TABLE for name in names.split()
}
SYMBOLS = word_set("m cm mm dm km in ft yd mi kg g mg lb lbs oz s sec min h hr hrs l ml n j kj kw w pa kpa hz khz mol mph") | {"N", "J", "W", "Pa", "Hz", "L", "mL", "kJ", "kW", "kPa", "kHz", "eV", "keV", "MeV", "GeV", "MJ", "MW", "mW", "kV", "mV", "mA", "MPa", "GPa", "MHz", "GHz", "ns", "cal"}  # fmt: skip
"""Abbreviations that are read as units when they stand right behind a number in plain letters."""

SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "millions": 10**6, "billion": 10**9, "billions": 10**9,
    "trillion": 10**12, "dozen": 12,
}  # fmt: skip
PERCENT = word_set("percent pct percentage percents") | {"per cent"}
DEGREES = word_set("degree degrees deg")
ORDINALS = word_set("st nd rd th")
QUALIFIERS = word_set("for where with")
TRUSTED_QUALIFIERS = word_set("when if as such given whenever in while since because here assuming")
"""Words that begin a condition: what follows says where the answer holds, not what it is."""
SEPARATORS = frozenset(("and", "or", "as well as", "and also", "or else", "and then"))
_REFUSED = word_set(
    "not no none never neither nor is are was were isn't aren't wrong incorrect false right true either maybe perhaps "
    "possibly probably unless except but than less more over under below above minus negative plus times half quarter "
    "about approximately around roughly nearly almost any every all some another other others can't cannot can could should would "
    "might unknown undefined nan only don't doesn't it this that these actually instead between to from at least most up exactly hence so wait oops"
)
_NUMBER_WORDS = word_set(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety rather alternatively otherwise else if sorry hmm oh correct correction answer"
)
_REFUSED |= _NUMBER_WORDS
_NEVER = word_set(
    "not no none never neither nor incorrect wrong false unless except but than or cannot impossible isn't"
)
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*\.?")
_PHRASE = re.compile(r"\(?[A-Za-z]+(?:['-][A-Za-z]+)*\.?\)?(?:[ /]+\(?[A-Za-z]+(?:['-][A-Za-z]+)*\.?\)?)*")
_REMARKS = word_set(
    "not no wrong incorrect false or either else otherwise instead actually but unless isn't maybe perhaps if"
)
MAX_WORDS = 6


def speaks_of_answer(phrase: str, *, strict: bool = False) -> bool:
    """Does a condition say something about the answer itself, or offer another one? strict: or about its size."""
    words = {word.strip(".,").lower() for word in phrase.split()}
    return bool(words & _REMARKS) or (strict and bool(words & (_REFUSED - {"is", "are", "the"})))


def of_phrase(phrase: str, power: int = 1, *, trusted: bool = False) -> Unit | None:
    """The unit that a phrase names; None if the phrase is no unit. trusted: the ground truth's words."""
    phrase = phrase.strip().rstrip(".")
    if not phrase or not _PHRASE.fullmatch(phrase):
        return None
    known = KNOWN.get(phrase) or KNOWN.get(phrase.lower())
    if known is not None:
        return raised(known, power)
    words = [word.rstrip(".").lower() for word in _WORD.findall(phrase)]
    refused = _NEVER if trusted else _REFUSED
    if (len(words) > MAX_WORDS and not trusted) or any(word in refused or word in SCALES for word in words):
        return None
    if words[0] in ("square", "sq", "cubic", "cu") and len(words) == 2 and words[1] in KNOWN:
        return raised(KNOWN[words[1]], 2 if words[0].startswith("s") else 3)
    if len(words) == 2 and words[0] in KNOWN and words[1] in ("squared", "cubed"):
        return raised(KNOWN[words[0]], 2 if words[1] == "squared" else 3)
    if words[0] in ("square", "cubic") and words[1:] in (["unit"], ["units"]):
        return Unit("units")
    if len(words) == 3 and words[1] in ("per", "an", "a") and words[0] in KNOWN and words[2] in KNOWN:
        return per(KNOWN[words[0]], KNOWN[words[2]])
    return Unit(" ".join(words))


def raised(unit: Unit, power: int) -> Unit:
    """The unit to a power: areas, volumes, inverse seconds."""
    if power == 1 or not unit.dimensions:
        return unit
    dimensions = tuple((name, count * power) for name, count in unit.dimensions)
    return Unit(f"{unit.name}^{power}", dimensions, unit.factor**power)


def per(above: Unit, below: Unit) -> Unit:
    """One unit per another."""
    if not above.dimensions or not below.dimensions:
        return Unit(f"{above.name}/{below.name}")
    return times(above, raised(below, -1))


def times(one: Unit, other: Unit) -> Unit:
    """The product of two known units."""
    counts = dict(one.dimensions)
    for name, count in other.dimensions:
        counts[name] = counts.get(name, 0) + count
    dimensions = tuple(sorted((name, count) for name, count in counts.items() if count))
    return Unit(f"{one.name} {other.name}", dimensions, one.factor * other.factor)


_LETTERS = {
    "m": "m", "s": "s", "g": "g", "h": "h", "L": "l", "N": "n", "J": "j", "W": "w", "K": "k", "V": "v", "A": "amp", "C": "coulomb",
    "T": "tesla", "Omega": "ohm",
}  # fmt: skip
_MICRO = Unit("micro", (), F(1, 10**6))


def of_letter(letter: str) -> Unit | None:
    """The unit that a single letter in mathematics may stand for, case and all."""
    if letter == "mu":
        return _MICRO
    name = _LETTERS.get(letter)
    return KNOWN[name] if name is not None else None
