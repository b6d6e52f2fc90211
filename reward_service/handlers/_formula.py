r"""Formulas that a model wrote: equality of expressions, never an evaluation of text.

What is decided here: the grammar, and what it costs at most. LaTeX or plain notation with variables, powers,
roots, fractions, sin, cos, tan, ln, log, exp, e, pi and i. Two formulas are the same if they agree at fixed
points to 9 digits. Points are fixed, so the verdict is too; anything that isn't in the grammar (integrals,
sums, factorials, functions that the question defines) is refused, so restating the question is no answer.
Caps: characters, nesting, numbers of 30 digits. Every step is linear, and no power is computed exactly.
"""

from __future__ import annotations

import cmath
import re
from collections.abc import Callable, Mapping

MAX_CHARS = 400
MAX_DEPTH = 40
MAX_DIGITS = 30


class FormulaError(ValueError):
    """The text is not in the grammar, or too large."""


Value = Callable[[Mapping[str, complex]], complex]
"""A formula as a function of its variables."""

_FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "ln": cmath.log,
    "log": cmath.log,
    "exp": cmath.exp,
    "sqrt": cmath.sqrt,
}
_CONSTANTS: Mapping[str, complex] = {"e": cmath.e + 0j, "i": 1j, "pi": cmath.pi + 0j, "π": cmath.pi + 0j}
_MACROS = re.compile(r"\\(?:left|right|displaystyle|quad|,|;|!|:| )(?![a-zA-Z])|\\(?=[{}])|[$]")
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d+)?)|\\?(d?frac|tfrac|sqrt|sin|cos|tan|ln|log|exp|pi|cdot|times|div)(?![a-zA-Z]*\{[a-z]*matrix)"
    r"|([a-zA-Zπ])|([-+*/^_(){}\[\]×·⋅÷√]))"
)
_TIMES = ("*", "×", "·", "⋅", "cdot", "times")
_OVER = ("/", "÷", "div")
_CLOSING = {"(": ")", "{": "}", "[": "]"}


class _Parser:
    """Recursive descent over at most MAX_CHARS characters; builds closures, and notes the variables."""

    def __init__(self, text: str) -> None:
        text = _MACROS.sub(" ", text).strip()
        if not text or len(text) > MAX_CHARS:
            raise FormulaError("empty or too long")
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise FormulaError(f"not in the grammar at {at}")
            self.tokens.append(next(group for group in match.groups() if group is not None))
            at = match.end()
        self.at = 0
        self.variables: set[str] = set()
        self.value = self._sum(0)
        if self.at != len(self.tokens):
            raise FormulaError("something behind the formula")

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise FormulaError(f"{wanted} was to come")
        self.at += 1

    def _sum(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise FormulaError("nested too deep")
        value = self._product(depth)
        while (operator := self._peek()) in ("+", "-"):
            self.at += 1
            value = _plus(value, self._product(depth), -1 if operator == "-" else 1)
        return value

    def _product(self, depth: int) -> Value:
        if self._peek() in ("+", "-"):
            sign = -1 if self._peek() == "-" else 1
            self.at += 1
            return _times(_constant(sign), self._product(depth + 1) if depth < MAX_DEPTH else _refuse())
        value = self._power(depth)
        while True:
            token = self._peek()
            if token in _TIMES:
                self.at += 1
                value = _times(value, self._signed(depth))
            elif token in _OVER:
                self.at += 1
                value = _divided(value, self._signed(depth))
            elif token and token not in ("+", "-", ")", "}", "]", "^", "_"):
                if token[0].isdigit():  # 3 4 is no product
                    raise FormulaError("two numbers side by side")
                value = _times(value, self._power(depth))
            else:
                return value

    def _signed(self, depth: int) -> Value:
        if self._peek() == "-" and depth < MAX_DEPTH:
            self.at += 1
            return _times(_constant(-1), self._signed(depth + 1))
        return self._power(depth)

    def _power(self, depth: int) -> Value:
        base = self._atom(depth)
        if self._peek() != "^":
            return base
        self.at += 1
        return _raised(base, self._exponent(depth))

    def _exponent(self, depth: int) -> Value:
        if self._peek() == "{":
            return self._group(depth)
        if self._peek() == "-" and depth < MAX_DEPTH:
            self.at += 1
            return _times(_constant(-1), self._exponent(depth + 1))
        return self._power(depth + 1) if depth < MAX_DEPTH else _refuse()

    def _group(self, depth: int) -> Value:
        opening = self._peek()
        if opening not in _CLOSING:
            raise FormulaError("a bracket was to come")
        self.at += 1
        value = self._sum(depth + 1)
        self._take(_CLOSING[opening])
        return value

    def _atom(self, depth: int) -> Value:
        token = self._peek()
        if token in _CLOSING:
            return self._group(depth)
        self.at += 1
        if token.endswith("frac"):
            return _divided(self._argument(depth), self._argument(depth))
        if token in ("sqrt", "√"):
            if self._peek() == "[":
                root = self._group(depth)
                return _raised(self._argument(depth), _divided(_constant(1), root))
            return _applied(cmath.sqrt, self._argument(depth))
        if token in _FUNCTIONS:
            return self._function(token, depth)
        if token and token[0].isdigit():
            if len(token) > MAX_DIGITS:
                raise FormulaError("too many digits")
            return _constant(float(token))
        if token in _CONSTANTS:
            return _constant(_CONSTANTS[token])
        if len(token) == 1 and token.isalpha():
            self.variables.add(token)
            return _variable(token)
        raise FormulaError("a number, a name or a bracket was to come")

    def _function(self, name: str, depth: int) -> Value:
        base = power = None
        for _ in range(2):
            if self._peek() == "_" and name == "log" and base is None:
                self.at += 1
                base = self._argument(depth)
            elif self._peek() == "^" and power is None:
                self.at += 1
                power = self._argument(depth)
        value = _applied(_FUNCTIONS[name], self._argument(depth))
        if base is not None:
            value = _divided(value, _applied(cmath.log, base))
        return value if power is None else _raised(value, power)

    def _argument(self, depth: int) -> Value:
        if self._peek() in _CLOSING:
            return self._group(depth)
        return self._power(depth + 1) if depth < MAX_DEPTH else _refuse()


def _refuse() -> Value:
    raise FormulaError("nested too deep")


def _constant(value: complex) -> Value:
    return lambda _: value


def _variable(name: str) -> Value:
    return lambda point: point[name]


def _plus(left: Value, right: Value, sign: int) -> Value:
    return lambda point: left(point) + sign * right(point)


def _times(left: Value, right: Value) -> Value:
    return lambda point: left(point) * right(point)


def _divided(left: Value, right: Value) -> Value:
    return lambda point: left(point) / right(point)


def _raised(base: Value, exponent: Value) -> Value:
    return lambda point: base(point) ** exponent(point)


def _applied(function: Callable[[complex], complex], value: Value) -> Value:
    return lambda point: function(value(point))


_POINTS = tuple(0.2 + 1.1 * ((k * 0.6180339887498949) % 1.0) for k in range(1, 8))
_DIGITS = 1e-9
_MIN_POINTS = 4
_LONG_DECIMAL = re.compile(r"\d\.\d{4}")


def same_formula(gold: str, answer: str) -> bool:
    """Do both formulas take the same values? False where the answer can't be read. FormulaError for the gold.

    An answer in decimals to a gold in roots or functions is an approximation, and no answer.
    """
    wanted = _Parser(gold)
    if _LONG_DECIMAL.search(answer) and "." not in gold:
        return False
    try:
        given = _Parser(answer)
    except FormulaError:
        return False
    if not given.variables <= wanted.variables:
        return False
    names = sorted(wanted.variables)
    agreed = 0
    for start in range(len(_POINTS)):
        point = {name: complex(_POINTS[(start + 3 * at) % len(_POINTS)]) for at, name in enumerate(names)}
        try:
            left, right = wanted.value(point), given.value(point)
            size = max(1.0, abs(left), abs(right))
            if not abs(left - right) <= _DIGITS * size:
                return False
        except (ArithmeticError, ValueError):
            continue
        agreed += 1
        if not names:
            return True
    return agreed >= _MIN_POINTS
