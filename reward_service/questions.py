"""What a handler may ask of a judge model, and what comes back.

What is decided here: the words between handlers, engine and judge models. A handler whose rules abstain returns `Ask`: one
question, and notes to itself; the engine puts it to a judge and hands the handler's `judge` an `Opinion`. The judge
sees the extracted answer, never the whole response; a judge that can't be reached or says nothing clear raises or
abstains, and never means "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a judge said."""

    YES = "yes"
    NO = "no"
    ABSTAIN = "abstain"
    """Nothing in the closed form that it was asked for, or two passes that disagree."""


@dataclass(frozen=True, slots=True)
class Question:
    """Does `answer` say what `ground_truth` says, as an answer to `question`? All three are plain text.

    fresh: the judge is asked, whatever it said to the same question before.
    """

    question: str
    ground_truth: str
    answer: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict, whose it is, and how many passes it took. cached: an earlier verdict on the same question."""

    verdict: Verdict
    model: str = ""
    passes: int = 1
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """What a handler needs a judge for. notes: plain data, handed back to `judge` with the one opinion."""

    question: Question
    notes: Any = None
