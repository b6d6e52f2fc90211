r"""Tier 3: math-verify's grammar and sympy, for what our own tree can't hold. The last resort.

What is decided here: what sympy may see. Only LaTeX whose every token is on a short list, with small numbers,
no towers and no words; numbers are made by us, because sympy's own way from text to number is an evaluation.
It runs under a CPU timer of its own where the process has one (the main thread), below the pool's, so that a
hard integral ends as "can't say". A tiny difference isn't equality: math-verify's absolute tolerance is
checked again, relatively.
"""

from __future__ import annotations

import importlib
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reward_service.handlers.math.nodes import Verdict

MAX_CHARS = 300
MAX_NUMBER = 12
CPU_SECONDS = 0.4

_TOKEN = re.compile(
    r"\\(?:frac|sqrt|cdot|times|div|pi|infty|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|ln|log|exp|int|sum|prod|lim|to|"
    r"pm|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|nu|rho|sigma|tau|phi|omega|binom|le|ge|ne|cup|cap|in|emptyset|"
    r"begin\{[pb]?matrix\}|end\{[pb]?matrix\}|mathbb\{[RZNQC]\}|lfloor|rfloor|lceil|rceil|partial|\\|\{|\}|,|;|!)"
    r"|[A-Za-z]|\d+(?:\.\d+)?|[-+*/=<>^_(){}\[\]|,;:!'&. ]"
)
_TOWER = re.compile(r"\^\s*\S\s*\^|\^\s*(?:\{[^{}]*\^|\{\s*-?\s*\d{3,}|\d{3,})")
_E_NOTATION = re.compile(r"\d\s*[eE]\s*[-+\d]")
_FACTORIAL = re.compile(r"\d{3,}\s*!|!\s*!|\)\s*!|\}\s*!")


class _BudgetError(BaseException):
    """CPU time is up. A BaseException, because sympy catches Exception in many places."""


def admissible(text: str) -> bool:
    """May sympy see this text?"""
    if not text or len(text) > MAX_CHARS:
        return False
    if _TOWER.search(text) or _FACTORIAL.search(text) or _E_NOTATION.search(text):
        return False
    if "\\infty" in text and ("\\sum" in text or "\\prod" in text):
        return False  # sympy makes a program of those, and runs it
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return False
        if match.group()[0].isdigit() and len(match.group()) > MAX_NUMBER:
            return False
        at = match.end()
    depth = deepest = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return deepest <= 12


@contextmanager
def cpu_limit(seconds: float) -> Iterator[bool]:
    """Raise `_BudgetError` after so much CPU time of this process. Yields False where no timer can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield False
        return

    def stop(_signum: int, _frame: Any) -> None:
        raise _BudgetError

    before = signal.signal(signal.SIGVTALRM, stop)
    # Again and again: raised inside a callback of the garbage collector, the first one is only printed.
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.05)
    try:
        yield True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class _Library:
    """math-verify, imported once and late, with numbers that aren't evaluated."""

    def __init__(self) -> None:
        import logging

        import sympy
        from latex2sympy2_extended import latex2sympy2
        from math_verify import grader

        for name in _LATE:
            importlib.import_module(f"sympy.{name}")
        logging.getLogger("math_verify").setLevel(logging.CRITICAL)
        grader.TIMEOUT_WARNING_SHOWN = True  # we do what the warning asks for

        class Converter(latex2sympy2._Latex2Sympy):  # type: ignore[misc]
            def parse_number(self, text: str) -> Any:
                whole, _, decimals = text.replace(",", "").partition(".")
                if not (whole + decimals).isdigit() or len(whole + decimals) > 2 * MAX_NUMBER:
                    raise ValueError("number")
                if not decimals:
                    return sympy.Integer(int(whole))
                return sympy.Rational(int(whole + decimals), 10 ** len(decimals))

        self.sympy = sympy
        self.verify = grader.verify
        self.converter = Converter

    def parse(self, text: str) -> Any:
        return self.converter(is_real=None).parse(text)


_LATE = (
    "integrals.prde",
    "integrals.rde",
    "polys.domains.old_fractionfield",
    "polys.domains.old_polynomialring",
    "polys.polymatrix",
    "sets.setexpr",
    "physics.units",
)
"""What sympy imports on first use. Here before the children are forked, and never while the timer runs."""

_library: _Library | None = None


def library() -> _Library:
    """The imported library; the first call costs half a second of CPU."""
    global _library
    if _library is None:
        _library = _Library()
    return _library


def compare(gold: str, answer: str) -> Verdict:
    """Two undressed LaTeX texts by math-verify. UNKNOWN: not admissible, not readable, or out of time."""
    if not admissible(gold) or not admissible(answer):
        return Verdict.UNKNOWN
    tools = library()
    try:
        with cpu_limit(CPU_SECONDS) as limited:
            if not limited:
                return Verdict.UNKNOWN
            one, other = tools.parse(gold), tools.parse(answer)
            equal = bool(tools.verify(one, other, timeout_seconds=None))
            if equal and not _relatively_equal(one, other):
                return Verdict.NOT_EQUAL
            return Verdict.EQUAL if equal else Verdict.NOT_EQUAL
    except _BudgetError:
        return Verdict.UNKNOWN
    except Exception:
        return Verdict.UNKNOWN


def _relatively_equal(one: Any, other: Any) -> bool:
    """Constants must agree to 12 significant digits, whatever their size."""
    try:
        if one.free_symbols or other.free_symbols:
            return True
        left, right = one.evalf(30), other.evalf(30)
        if not (left.is_number and right.is_number):
            return True
        scale = max(abs(left), abs(right))
        return bool(scale == 0 or abs(left - right) <= scale * 10**-12)
    except (AttributeError, TypeError):
        return True


WARM_UP = (
    (r"\frac{1}{2}", "0.5"),
    (r"\int_0^1 x^2 dx", r"\frac{1}{3}"),
    (r"\sqrt{x^2+1}", r"(x^2+1)^{1/2}"),
    (r"\sum_{k=1}^{3} k", "6"),
)


def warm_up() -> None:
    """Import the library and teach its parser a few sentences, before the children are forked."""
    for gold, answer in WARM_UP:
        compare(gold, answer)
