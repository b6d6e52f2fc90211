r"""Units: a grammar for compounds of them, and what each is in base units by pint's definitions.

What is decided here: which spellings are units. A name is looked up in the tables below, alone or behind an SI prefix;
pint is only asked for the definitions behind the tables, once, and never sees what a model wrote (its parser reads
`a` as a year and `cfm` as centifermi). Dimensions are pint's, with these cares:
- angles: a radian stays a dimension, so 5 Hz is not 5 rad/s; `s^-1` beside `rad/s` is read as it is meant;
- Celsius and Fahrenheit alone are scales with a zero of their own, in compounds and differences they are steps;
- `J/mol K` and `J/mol·K` may mean either grouping, `ms^{-1}` metres per second, and a pound be
  a force: such texts have several readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

MAX_CHARS = 80
MAX_EXPONENT = 12


class Unit(NamedTuple):
    """factor: what one of it is in base units. dims: its dimensions, sorted. zero: offset of a temperature scale, in kelvin."""

    factor: Fraction
    dims: tuple[tuple[str, Fraction], ...]
    zero: Fraction = Fraction(0)
    cycles: bool = False


NONE = Unit(Fraction(1), ())

_SYMBOLS = {
    "m": "meter", "g": "gram", "s": "second", "A": "ampere", "K": "kelvin", "mol": "mole", "cd": "candela", "Hz": "hertz",
    "N": "newton", "Pa": "pascal", "J": "joule", "W": "watt", "C": "coulomb", "V": "volt", "F": "farad", "Ω": "ohm", "S": "siemens",
    "Wb": "weber", "T": "tesla", "H": "henry", "lm": "lumen", "lx": "lux", "Bq": "becquerel", "Gy": "gray", "Sv": "sievert",
    "L": "liter", "l": "liter", "ℓ": "liter", "eV": "electron_volt", "bar": "bar", "cal": "calorie", "Da": "dalton", "M": "molar",
    "pc": "parsec", "rad": "radian", "Ci": "curie", "B": "byte", "bit": "bit", "P": "poise", "St": "stokes", "Wh": "watt_hour",
    "kat": "katal", "torr": "torr", "Torr": "torr", "Ah": "ampere_hour", "b": "barn",
}  # fmt: skip
"""Symbols that take an SI prefix."""

_PREFIXES = {
    "f": -15, "p": -12, "n": -9, "μ": -6, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15,
    "a": -18, "E": 18, "da": 1,
}  # fmt: skip
_LONG_PREFIXES = {
    "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3, "centi": -2, "deci": -1, "hecto": 2, "kilo": 3, "mega": 6,
    "giga": 9, "tera": 12, "peta": 15, "atto": -18, "exa": 18,
}  # fmt: skip
_WORDS = {
    "meter": "meter", "metre": "meter", "gram": "gram", "gramme": "gram", "second": "second", "ampere": "ampere", "amp": "ampere",
    "kelvin": "kelvin", "mole": "mole", "candela": "candela", "hertz": "hertz", "newton": "newton", "pascal": "pascal", "joule": "joule",
    "watt": "watt", "coulomb": "coulomb", "volt": "volt", "farad": "farad", "ohm": "ohm", "siemens": "siemens", "weber": "weber",
    "tesla": "tesla", "henry": "henry", "lumen": "lumen", "lux": "lux", "becquerel": "becquerel", "gray": "gray", "sievert": "sievert",
    "liter": "liter", "litre": "liter", "electronvolt": "electron_volt", "bar": "bar", "calorie": "calorie", "molar": "molar",
    "parsec": "parsec", "radian": "radian", "byte": "byte", "bit": "bit", "dalton": "dalton", "curie": "curie", "poise": "poise",
    "barn": "barn",
}  # fmt: skip
"""Names that take a prefix written out, and an s."""

_OTHERS = {
    "minute": "min mins minute minutes", "hour": "h hr hrs hour hours", "day": "d day days", "week": "week weeks wk", "year": "yr yrs y year years",
    "month": "month months", "second": "sec secs", "foot": "ft foot feet", "inch": "in inch inches", "yard": "yd yds yard yards",
    "mile": "mi mile miles", "nautical_mile": "nmi", "pound": "lb lbs lbm pound pounds", "force_pound": "lbf",
    "ounce": "oz ounce ounces", "gallon": "gal gallon gallons", "quart": "qt quart quarts", "pint": "pint pints",
    "pound_force_per_square_inch": "psi psia", "standard_atmosphere": "atm atmosphere atmospheres", "millimeter_Hg": "mmHg", "angstrom": "Å angstrom angstroms Angstrom",
    "unified_atomic_mass_unit": "u amu", "horsepower": "hp horsepower", "mile_per_hour": "mph", "kilometer_per_hour": "kph kmh", "knot": "knot knots kn",
    "speed_of_light": "lightspeed", "light_year": "ly light-year light-years lightyear lightyears", "astronomical_unit": "AU au", "acre": "acre acres", "hectare": "ha hectare hectares",
    "degree": "° deg degree degrees", "revolution": "rev revs revolution revolutions", "revolutions_per_minute": "rpm", "arcminute": "arcmin", "arcsecond": "arcsec",
    "british_thermal_unit": "BTU Btu btu", "erg": "erg ergs", "dyne": "dyn dyne dynes", "slug": "slug slugs", "metric_ton": "t tonne tonnes",
    "debye": "D debye debyes", "hartree": "hartree hartrees", "bohr": "bohr", "kip": "kip kips", "kip_per_square_inch": "ksi",
    "steradian": "sr steradian steradians", "cubic_centimeter": "cc", "newton * meter": "Nm", "kilonewton * meter": "kNm", "joule * second": "Js",
    "newton * second": "Ns", "pascal * second": "Pas", "electron_volt": "eV", "molar": "Molar",
}  # fmt: skip
_SPECIAL: dict[str, tuple[Fraction, str, Fraction]] = {
    "%": (Fraction(1, 100), "dimensionless", Fraction(0)),
    "percent": (Fraction(1, 100), "dimensionless", Fraction(0)),
    "‰": (Fraction(1, 1000), "dimensionless", Fraction(0)),
    "ppm": (Fraction(1, 10**6), "dimensionless", Fraction(0)),
    "ppb": (Fraction(1, 10**9), "dimensionless", Fraction(0)),
    "G": (Fraction(1, 10**4), "tesla", Fraction(0)),
    "gauss": (Fraction(1, 10**4), "tesla", Fraction(0)),
    "°C": (Fraction(1), "kelvin", Fraction("273.15")),
    "celsius": (Fraction(1), "kelvin", Fraction("273.15")),
    "Celsius": (Fraction(1), "kelvin", Fraction("273.15")),
    "°F": (Fraction(5, 9), "kelvin", Fraction("459.67") * Fraction(5, 9)),
    "fahrenheit": (Fraction(5, 9), "kelvin", Fraction("459.67") * Fraction(5, 9)),
    "Fahrenheit": (Fraction(5, 9), "kelvin", Fraction("459.67") * Fraction(5, 9)),
    "°K": (Fraction(1), "kelvin", Fraction(0)),
    "°R": (Fraction(5, 9), "kelvin", Fraction(0)),
}
"""What pint has otherwise than textbooks: the gauss as SI has it, scales by their zero."""

_EXACT = {name: defined for defined, names in _OTHERS.items() for name in names.split()}
_CYCLES = frozenset(("hertz", "revolutions_per_minute", "revolution"))
_COUNTED = frozenset(("count", "[]"))


@lru_cache(maxsize=1)
def _pint() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=512)
def _defined(name: str) -> Unit:
    """A definition of pint's: only ever called with names from the tables above."""
    magnitude, base = _pint().get_base_units(name)
    powers = {str(unit): Fraction(power).limit_denominator(12) for unit, power in base._units.items()}
    dims = tuple(sorted((unit, power) for unit, power in powers.items() if unit not in _COUNTED))
    return Unit(Fraction(repr(float(magnitude))), dims, cycles=name in _CYCLES)


def warm_up() -> None:
    """Build the registry and read every definition, before children are forked."""
    for name in {*_SYMBOLS.values(), *_WORDS.values(), *_OTHERS}:
        _defined(name)


@lru_cache(maxsize=4_096)
def named(name: str) -> Unit | None:
    """The unit with this name, or None."""
    special = _SPECIAL.get(name)
    if special is not None:
        factor, of, zero = special
        base = NONE if of == "dimensionless" else _defined(of)
        return base._replace(factor=base.factor * factor, zero=zero)
    known = _SYMBOLS.get(name) or _EXACT.get(name) or _word(name)
    if known is not None:
        return _defined(known)
    for length in (1, 2):
        power, symbol = _PREFIXES.get(name[:length]), _SYMBOLS.get(name[length:])
        if power is not None and symbol is not None:
            return _scaled(_defined(symbol), power)
    lower = name.lower()
    for prefix, power in _LONG_PREFIXES.items():
        if lower.startswith(prefix) and (word := _word(lower[len(prefix) :])) is not None:
            return _scaled(_defined(word), power)
    lone = _EXACT.get(lower) if len(name) > 3 else None
    return _defined(lone) if lone is not None else None


def _word(name: str) -> str | None:
    lower = name.lower()
    if len(lower) < 3:
        return None
    return (
        _WORDS.get(lower) or _WORDS.get(lower.removesuffix("s")) or ("henry" if lower == "henries" else None)
    )


def _scaled(unit: Unit, power: int) -> Unit:
    return unit._replace(
        factor=unit.factor * (Fraction(10**power) if power >= 0 else Fraction(1, 10**-power))
    )


def raised(unit: Unit, power: Fraction) -> Unit | None:
    """The unit to a power; a temperature scale becomes its step."""
    if abs(power) > MAX_EXPONENT:
        return None
    if power == 1:
        return unit
    factor = (
        unit.factor ** int(power) if power.denominator == 1 else Fraction(float(unit.factor) ** float(power))
    )
    dims = tuple((name, at * power) for name, at in unit.dims if at * power)
    return Unit(factor, dims, cycles=unit.cycles)


def times(left: Unit, right: Unit) -> Unit:
    """The product of two units."""
    powers = dict(left.dims)
    for name, power in right.dims:
        powers[name] = powers.get(name, Fraction(0)) + power
    dims = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Unit(left.factor * right.factor, dims, cycles=left.cycles or right.cycles)


_TOKEN = re.compile(
    r"\s*(?:(?P<power>(?:\^|\*\*)\s*[{(]?\s*[-+]?\s*\d{1,2}(?:/\d|\.5)?\s*[)}]?)|(?P<sign>[*/·⋅×()])"
    r"|(?P<name>°[CFKR]?(?![A-Za-z])|[A-Za-zμΩÅℓ]+|[%‰])(?P<short>-?[1-4](?![\d.]))?|(?P<dash>-)(?=\s*[A-Za-z]))"
)
_PHRASES = (
    (re.compile(r"\bper\b"), "/"),
    (re.compile(r"\belectron[ -]volts?\b"), "eV"),
    (re.compile(r"\bdegrees? (?:celsius|centigrade)\b|\bdeg ?C\b|\bcelsius degrees?\b", re.IGNORECASE), "°C"),
    (re.compile(r"\bdegrees? fahrenheit\b|\bdeg ?F\b", re.IGNORECASE), "°F"),
    (re.compile(r"\bmm ?(?:of )?Hg\b"), "mmHg"),
    (re.compile(r"(?<=eV) ?/ ?c(?![A-Za-z])"), "/lightspeed"),
    (re.compile(r"\b(?:square|sq\.?) (\w+)"), r"\1^2"),
    (re.compile(r"\bcubic (\w+)"), r"\1^3"),
    (re.compile(r"\b(\w+) squared\b"), r"\1^2"),
    (re.compile(r"\b(\w+) cubed\b"), r"\1^3"),
    (re.compile(r"\blight years?\b"), "ly"),
    (re.compile(r"\b(?:ft|foot)[ ·-]?(?:lb|lbs|pounds?)\b"), "ft lbf"),
)
_POUND = re.compile(r"\b(?:lbs?|pounds?)\b")


@lru_cache(maxsize=4_096)
def readings(text: str) -> tuple[Unit, ...]:
    """Every unit that the text may mean, the plainest first; () if it is none. Plain notation (`reading.notation`)."""
    if not text or len(text) > MAX_CHARS:
        return ()
    for pattern, instead in _PHRASES:
        text = pattern.sub(instead, text)
    text = text.strip().rstrip(".").strip("[]")
    found: list[Unit] = []
    for spelling in dict.fromkeys((text, _POUND.sub("lbf", text))):  # a pound is a force, too
        tokens = list(_tokens(spelling))
        if not tokens or None in tokens:
            return ()
        for glued, sticky in ((False, False), (False, True), (True, False)):
            unit = _product([token for token in tokens if token is not None], glued, sticky)
            if unit is not None and unit not in found:
                found.append(unit)
    return tuple(found)


def _tokens(text: str) -> Iterator[tuple[str, str] | None]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            yield None
            return
        for kind in ("power", "sign", "name", "dash"):
            if match.group(kind):
                yield kind, match.group(kind)
        if match.group("short"):
            yield "power", match.group("short")
        at = match.end()


def _product(tokens: list[tuple[str, str]], glued: bool, sticky: bool) -> Unit | None:
    """glued: `ms^{-1}` is m s⁻¹. sticky: what follows a slash without another one stays below it."""
    total, below, group, depth = NONE, False, False, 0
    known = 0
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind == "name":
            power = Fraction(1)
            if at < len(tokens) and tokens[at][0] == "power":
                power = _exponent(tokens[at][1])
                at += 1
            unit = named(text)
            if glued and text == "ms" and power < 0:
                unit, known = None, known + 1
                total = times(total, _inverse(named("m"), below or group))
                last = raised(named("s") or NONE, power)
                total = times(total, _inverse(last, below or group))
            else:
                one = None if unit is None else raised(unit, power)
                if one is None:
                    return None
                known += 1
                if len(tokens) == 1:
                    return one
                total = times(total, _inverse(one, below or group))
            if not sticky:
                below = False
        elif text == "/":
            if at == len(tokens) or (tokens[at][1] not in "(" and tokens[at][0] != "name"):
                return None
            below = True
        elif text == "(":
            if depth:
                return None
            depth, group, below = 1, below, False
        elif text == ")":
            if not depth:
                return None
            depth, group, below = 0, False, False
        elif kind == "power":
            return None
    return total if known and not depth else None


def _inverse(unit: Unit | None, below: bool) -> Unit:
    unit = unit or NONE
    return (raised(unit, Fraction(-1)) or NONE) if below else unit


_EXPONENT = re.compile(r"[-+]?\s*\d{1,2}(?:/\d|\.5)?")


def _exponent(text: str) -> Fraction:
    match = _EXPONENT.search(text)
    return (
        Fraction(match.group().replace(" ", ""))
        if match is not None and not match.group().endswith("/0")
        else Fraction(99)
    )


def convertible(one: Unit, other: Unit) -> bool:
    """The same dimensions; a radian may be left out unless the other side counts cycles."""
    if one.dims == other.dims:
        return True
    left, right = (tuple(pair for pair in unit.dims if pair[0] != "radian") for unit in (one, other))
    return left == right and not (one.cycles or other.cycles)
