"""What a written number or date says, exactly. Shared by the handlers that compare table answers.

What is decided here: the grammar. A text is a number only if *all* of it is sign, accounting parentheses, currency,
digits (grouped `1,234` or `1 234`, never `1,23`), decimals, a power of ten, `%`, a scale word and a unit; whatever
else is left over ("or", "not", "+ 1", a second number) makes it no number. Nothing is evaluated. A number is
kept as `mantissa * 10**exponent`, because percent signs and scale words are powers of ten too: all comparisons
are exact and in integers.

Sources of the rules: `reference/domains.md` §2 (grammar, rounding, dates with missing parts kept missing).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_NUMBER_CHARS = 120

_SCALES = {
    **dict.fromkeys(("k", "thousand", "thousands"), 3),
    **dict.fromkeys(("mn", "mln", "mil", "million", "millions"), 6),
    **dict.fromkeys(("bn", "bln", "billion", "billions"), 9),
    **dict.fromkeys(("tn", "trn", "trillion", "trillions"), 12),
}
_SCALES_OF_MONEY = {"m": 6, "mm": 6, "b": 9, "t": 12}
"""Letters that are a scale beside a currency, and a unit (metres, bytes, tons) without one."""

_CURRENCIES = {
    **dict.fromkeys(("$", "us$", "usd", "dollar", "dollars"), "$"),
    **dict.fromkeys(("€", "eur", "euro", "euros"), "€"),
    **dict.fromkeys(("£", "gbp"), "£"),
    **dict.fromkeys(("¥", "jpy", "yen", "cny", "rmb", "yuan"), "¥"),
    **dict.fromkeys(("₹", "inr", "rupees", "rs", "rs."), "₹"),
    **{code: code for code in ("a$", "c$", "s$", "hk$", "aud", "cad", "chf", "krw", "₩")},
}
_PERCENT = frozenset({"%", "percent", "percents", "pct", "pp"})
_PERCENT_PHRASE = re.compile(r"\bper cent\b|\bpercentage points?\b|\bpercent points?\b|% points?\b")

_FUNCTION_WORDS = """
or and not nor but to than then vs versus of if either neither both except without no none never other others
more less fewer least most minus plus times divided over under above below about around between
increase increased decrease decreased decline declined drop dropped lower higher loss gain negative positive up
down hundred dozen half quarter double squared cubed is was are were be did do does a an the in on at for by
maybe perhaps possibly approximately roughly nearly almost
"""
_NOT_UNITS = frozenset(_FUNCTION_WORDS.split())
"""Words that change what a number says, or say that there is more than one: never a unit."""

_SMALL_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty
"""
_WORDS = {word: value for value, word in enumerate(_SMALL_NUMBERS.split())}

_SYMBOL = r"(?:us\$|hk\$|[acs]\$|[$€£¥₹₩]|(?:usd|eur|gbp|jpy|aud|cad|chf|inr)(?= ?[-+(0-9.]))"
_NUMBER = re.compile(
    rf"(?P<outer>\()? ?(?P<sign>[-+])? ?(?P<currency>{_SYMBOL})? ?(?P<inner>\()? ?(?P<late_sign>[-+])? ?"
    rf"(?P<late_currency>{_SYMBOL})? ?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+)?(?:\.(?P<fraction>[0-9]*))?"
    r"(?:e(?P<e>[-+]?[0-9]{1,2})| ?[x×*] ?10 ?\^ ?\{?(?P<power>-?[0-9]{1,2})\}?)?"
    r"(?P<tail>[^0-9]*)"
)
_TAIL = re.compile(r"[a-z][a-z$'.-]*|[%$€£¥₹₩]")
_IN_MILLIONS = re.compile(r"\bin (?=(?:thousands|millions|billions|trillions)\b)")
_APPROXIMATELY = re.compile(r"(?:≈|~|approximately |approx\.? |about |around |roughly )\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A written number: `mantissa * 10**exponent`, scale word included, percent sign not.

    digits: significant digits written. decimals: digits after the point that carry a value. scale: power of ten
    of the scale word, 0 without one. unit: the words after it, "" mostly.
    """

    mantissa: int
    exponent: int
    digits: int
    decimals: int
    percent: bool = False
    scale: int = 0
    currency: str = ""
    unit: str = ""

    def times_ten_to(self, power: int) -> Quantity:
        """The same digits, so many places to the left."""
        return replace(self, exponent=self.exponent + power)

    def below(self, bound: int) -> bool:
        """Is the magnitude less than `bound`?"""
        if self.exponent >= 0:
            return abs(self.mantissa) * int(10**self.exponent) < bound
        return abs(self.mantissa) < bound * int(10**-self.exponent)


def parse_quantity(text: str, units: Collection[str] = ()) -> Quantity | None:
    """The number that the whole text is (lower case, plain characters), or None.

    units: words that may follow as its unit; `("*",)` allows any word that isn't a function word.
    """
    if len(text) > MAX_NUMBER_CHARS:
        return None
    text = text.strip()
    if (prefix := _APPROXIMATELY.match(text)) is not None:
        text = text[prefix.end() :]
    if (word := _WORDS.get(text)) is not None:
        return Quantity(word, 0, 1, 0)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match["whole"] or "", match["fraction"] or ""
    digits = whole.replace(",", "").replace(" ", "")
    if not digits and not fraction:
        return None
    if len(digits) > 1 and digits[0] == "0":  # an identifier such as 007, or a slip
        return None
    negative = match["outer"] is not None or match["inner"] is not None
    if negative and match["outer"] is not None and match["inner"] is not None:
        return None
    signs = [sign for sign in (match["sign"], match["late_sign"]) if sign]
    symbols = [symbol for symbol in (match["currency"], match["late_currency"]) if symbol]
    if len(signs) > 1 or len(symbols) > 1:
        return None
    suffix = _suffix(match["tail"], negative, units, _CURRENCIES[symbols[0]] if symbols else "")
    if suffix is None:
        return None
    mantissa, exponent, significant = _digits(digits, fraction)
    exponent += int(match["e"] or match["power"] or 0)
    decimals = max(0, -exponent) if fraction.strip("0") or exponent < 0 else 0
    if mantissa == 0 or (exponent < 0 and mantissa % int(10**-exponent) == 0):
        decimals = 0
    if (negative and not signs) or "-" in signs:
        mantissa = -mantissa
    return Quantity(
        mantissa,
        exponent + suffix.scale,
        significant,
        decimals,
        suffix.percent,
        suffix.scale,
        suffix.currency,
        suffix.unit,
    )


def _digits(whole: str, fraction: str) -> tuple[int, int, int]:
    """Mantissa, exponent and significant digits; binary noise (`0.30000000000000004`) is rounded away."""
    written = (whole + fraction).lstrip("0")
    mantissa, exponent = int(written or "0"), -len(fraction)
    if fraction and len(written) > 15:
        drop = min(len(written) - 12, len(fraction))
        mantissa, exponent = _rounded(mantissa, drop), exponent + drop
        while exponent < 0 and mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        written = str(mantissa)
    return mantissa, exponent, len(written)


class _Suffix(NamedTuple):
    percent: bool
    scale: int
    currency: str
    unit: str


def _suffix(tail: str, opened: bool, units: Collection[str], currency: str) -> _Suffix | None:
    """What follows the digits: the closing parenthesis, `%`, scale word, currency, unit. None: something else."""
    if not tail:
        return None if opened else _Suffix(False, 0, currency, "")
    if opened:
        if tail.count(")") != 1:
            return None
        tail = tail.replace(")", " ")
    tail = _IN_MILLIONS.sub("", _PERCENT_PHRASE.sub(" percent ", tail)).strip()
    if tail.startswith("(") and tail.endswith(")"):  # 72 (million)
        tail = tail[1:-1]
    words = _TAIL.findall(tail)
    if len("".join(words)) != len(tail.replace(" ", "")):
        return None
    percent, scale, unit = False, 0, list[str]()
    for word in words:
        found = _SCALES.get(word) or (_SCALES_OF_MONEY.get(word) if currency else None)
        if word in _PERCENT:
            if percent or scale or unit or currency:
                return None
            percent = True
        elif found is not None:
            if scale or percent or unit:
                return None
            scale = found
        elif (named := _CURRENCIES.get(word)) is not None:
            if percent or (currency and currency != named):
                return None
            currency = named
        elif word not in _NOT_UNITS and ("*" in units or word in units):
            unit.append(word)
        else:
            return None
    return _Suffix(percent, scale, currency, " ".join(unit)) if len(unit) <= 4 else None


def same_amount(
    gold: Quantity, answer: Quantity, gold_digits: int = 3, gold_exponent: int | None = None
) -> bool:
    """Do they say the same? Whole numbers exactly (years!), decimals by rounding the finer to the coarser.

    A coarser answer needs three significant digits (0.42 doesn't say 0.41837), a coarser gold `gold_digits` of them.
    gold_exponent: the place to which the data set rounds its golds (2.7 that means 2.70), if known.
    """
    low = min(gold.exponent, answer.exponent)
    if max(gold.exponent, answer.exponent) - low > 200:
        return gold.mantissa == answer.mantissa == 0
    a = gold.mantissa * int(10 ** (gold.exponent - low))
    b = answer.mantissa * int(10 ** (answer.exponent - low))
    if a == b:
        return True
    if not gold.decimals or (a < 0) != (b < 0):
        return False
    place, digits = gold.exponent, gold.digits
    if gold_exponent is not None and gold_exponent < place:
        digits += place - gold_exponent
        place = gold_exponent
    if answer.exponent > place:
        # A gold of many decimals was rounded itself: whether its final 5 goes up or down can't be known.
        either_way = gold.decimals >= 4
        return answer.digits >= 3 and _rounds_to(
            abs(a), low, abs(answer.mantissa), answer.exponent, either_way
        )
    if answer.exponent < place and digits >= gold_digits:
        return _rounds_to(abs(b), low, abs(gold.mantissa) * int(10 ** (gold.exponent - place)), place)
    return False


def _rounds_to(value: int, exponent: int, target: int, place: int, either_way: bool = False) -> bool:
    """Half up or half to even: both are what a careful person (or Python) writes."""
    step = int(10 ** (place - exponent))
    quotient, rest = divmod(value, step)
    if 2 * rest == step:
        return target == quotient + 1 or (target == quotient and (either_way or quotient % 2 == 0))
    return target == quotient + (2 * rest > step)


def _rounded(value: int, drop: int) -> int:
    step = int(10**drop)
    return (value + step // 2) // step


class Date(NamedTuple):
    """A date as written: what isn't given stays None, and is never filled in from today."""

    year: int | None
    month: int | None
    day: int | None


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sep sept", "october oct", "november nov", "december dec",
        ), 1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[0-9]{4})"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<year>[0-9]{4}|x{4})(?P<dash>[-/])(?P<month_number>[0-9]{2})(?P=dash)(?P<day>[0-9]{2}|xx)",
        rf"{_MONTH} {_DAY}(?:,? {_YEAR})?",
        rf"(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? {_YEAR})?",
        rf"{_MONTH}(?:,? (?:of )?{_YEAR})?",
    )
)


def parse_date(text: str) -> Date | None:
    """The date that the whole text is (lower case, plain characters, single spaces), or None. Day/month/year in
    digits alone is not read: which comes first can't be known."""
    if len(text) > 40:
        return None
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            month = int(parts["month_number"]) if "month_number" in parts else _MONTHS[parts["month"]]
            day = _given(parts.get("day"))
            if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
                return None
            return Date(_given(parts.get("year")), month, day)
    return None


def _given(part: str | None) -> int | None:
    return int(part) if part and part.isdigit() else None  # `xxxx` and `xx` are WTQ's "not given"
