"""Is a prompt worth training on? The difficulty filter's rules, as functions of counts.

What is decided here. A prompt is too easy if the weak model's pass rate is at least `weak_max`, and impossible if the strong one's is
below `strong_min` (Guru: 0.9, and any pass among 16); rates are compared as exact fractions. An error is no sample: it is neither
a pass nor a failure. A prompt with fewer judged samples than needed is undecided, which is neither kept nor dropped by a rule.

A verifier that rejects right answers makes prompts impossible, and the filter would remove exactly what it gets wrong. So for each
impossible prompt it is asked what the drop rests on: would it still be impossible if this kind of failure had not been judged?
And it is a suspect if the samples look right all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple


class Verdict(StrEnum):
    """What becomes of a prompt."""

    KEPT = "kept"
    TOO_EASY = "too_easy"
    IMPOSSIBLE = "impossible"
    UNDECIDED = "undecided"


class Cause(StrEnum):
    """Kinds of failure that may say more about format, limits or the verifier than about the prompt."""

    NO_ANSWER = "no_answer"
    UNCLEAR = "ambiguous_or_malformed"
    LIMITS = "over_a_limit"


CAUSE_OF = {
    "no_answer": Cause.NO_ANSWER,
    "ambiguous_answer": Cause.UNCLEAR,
    "malformed_answer": Cause.UNCLEAR,
    "time_limit": Cause.LIMITS,
    "memory_limit": Cause.LIMITS,
    "output_limit": Cause.LIMITS,
    "budget_exceeded": Cause.LIMITS,
}


class Suspicion(StrEnum):
    """Why an impossible prompt may be one whose right answers are rejected."""

    AGREEMENT = "samples_agree"
    """At least three in four of at least four judged samples gave one and the same answer."""
    WEAK_PASSES = "weak_model_passes"
    """The weak model passes, the strong one never does."""
    LOOKS_EQUAL = "looks_equal"
    """A rejected answer is the ground truth but for its dress (case, space, LaTeX)."""


AGREE_SAMPLES, AGREE_SHARE = 4, Fraction(3, 4)


class Tally(NamedTuple):
    """One model's samples of one prompt: judged, passed, errors (not judged), and failures by cause."""

    n: int = 0
    c: int = 0
    errors: int = 0
    no_answer: int = 0
    unclear: int = 0
    limits: int = 0

    @property
    def rate(self) -> Fraction | None:
        """The pass rate; None without a judged sample."""
        return Fraction(self.c, self.n) if self.n else None

    def without(self, cause: Cause) -> Tally:
        """As if failures of this kind had not been judged."""
        fewer = {Cause.NO_ANSWER: self.no_answer, Cause.UNCLEAR: self.unclear, Cause.LIMITS: self.limits}[
            cause
        ]
        return self._replace(n=self.n - fewer)

    @property
    def errors_failed(self) -> Tally:
        """As if the errors were failures."""
        return self._replace(n=self.n + self.errors)

    @property
    def errors_passed(self) -> Tally:
        """As if the errors were passes."""
        return self._replace(n=self.n + self.errors, c=self.c + self.errors)


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds; None leaves a rule out. samples: judged samples that a rule needs. pass_score: what counts as a pass."""

    weak_max: Fraction | None = None
    strong_min: Fraction | None = None
    samples: int = 1
    pass_score: float = 1.0

    def too_easy(self, weak: Tally) -> bool | None:
        """By the weak model; None if that can't be said."""
        if self.weak_max is None:
            return False
        return None if weak.n < max(1, self.samples) else Fraction(weak.c, weak.n) >= self.weak_max

    def impossible(self, strong: Tally) -> bool | None:
        """By the strong model; None if that can't be said."""
        if self.strong_min is None:
            return False
        return None if strong.n < max(1, self.samples) else Fraction(strong.c, strong.n) < self.strong_min

    def verdict(self, weak: Tally, strong: Tally) -> Verdict:
        """What becomes of a prompt. A rule that says drop is enough; to keep, both must have been able to say."""
        easy, impossible = self.too_easy(weak), self.impossible(strong)
        if impossible:
            return Verdict.IMPOSSIBLE
        if easy:
            return Verdict.TOO_EASY
        return Verdict.UNDECIDED if easy is None or impossible is None else Verdict.KEPT

    def causes(self, weak: Tally, strong: Tally) -> Iterator[Cause]:
        """For an impossible prompt: the kinds of failure without which it would not be."""
        if self.verdict(weak, strong) is Verdict.IMPOSSIBLE:
            for cause in Cause:
                if not self.impossible(strong.without(cause)):
                    yield cause

    def errors_would_drop(self, weak: Tally, strong: Tally) -> bool:
        """Would this prompt be impossible if errors were counted as failures, and isn't?"""
        return self.verdict(weak, strong) is not Verdict.IMPOSSIBLE and bool(
            self.impossible(strong.errors_failed)
        )

    def errors_may_matter(self, weak: Tally, strong: Tally) -> bool:
        """Could a dropped prompt have been kept, had its errors been judged?"""
        match self.verdict(weak, strong):
            case Verdict.IMPOSSIBLE:
                return not self.impossible(strong.errors_passed)
            case Verdict.TOO_EASY:
                return not self.too_easy(weak.errors_failed)
            case _:
                return False


def suspicions(
    weak: Tally, strong: Tally, *, most_agree: int, looks_equal: int, two_models: bool
) -> Iterator[Suspicion]:
    """What speaks against an impossible prompt's verifier. most_agree: how many judged samples gave the same wrong answer."""
    if strong.c == 0 and strong.n >= AGREE_SAMPLES and most_agree >= AGREE_SHARE * strong.n:
        yield Suspicion.AGREEMENT
    if two_models and weak.c > 0 and strong.c == 0:
        yield Suspicion.WEAK_PASSES
    if looks_equal:
        yield Suspicion.LOOKS_EQUAL


_DRESS = re.compile(r"\\(?:text|mathrm|mathbf|boxed|left|right|displaystyle|,|;|!| )|[\s${}\"'`*]")


def undressed(text: str) -> str:
    """An answer without what changes no meaning: case, space, quotes, `$`, braces, LaTeX's fonts, a final full stop."""
    return _DRESS.sub("", text[:2_000]).rstrip(".").casefold()


def parse_rate(text: str) -> Fraction:
    """A rate such as `0.9` or `1/16`, exactly. ValueError if it is none."""
    try:
        rate = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no rate: write 0.9 or 1/16") from None
    if not 0 <= rate <= 1:
        raise ValueError(f"{text!r} is no rate between 0 and 1")
    return rate


def tallies(counts: Sequence[float]) -> tuple[Tally, Tally]:
    """The weak and the strong model's tally out of the columns that a filter sums."""
    width = len(Tally._fields)
    numbers = [int(count) for count in counts[: 2 * width]]
    return Tally(*numbers[:width]), Tally(*numbers[width:])
