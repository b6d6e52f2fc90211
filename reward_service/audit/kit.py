r"""What a kit is: how one handler's answers are worn, and which answers are right and wrong for a ground truth.

What is decided here: how responses are put together from that, alike for every handler: each format with the plain
answer, the first format with each dress, wrong attempts before the right one and after it, two answers side by side,
hedges, the answer in the thinking part alone. A kit says only what its data source documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reward_service.audit.model import Demand, Subject, Transformation, Variants

Wrap = Callable[[str], str]


class Form(NamedTuple):
    """One documented way to give an answer."""

    name: str
    wrap: Wrap


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one row. forms: the first is the usual one. same: right answers, the plain one first; other: wrong ones.

    hedges: may "a or b" be put inside the form? A program or a table can't be hedged so. beside: may two forms be joined
    by "or"? Two sets or conditions are their union then, which may be the right one.
    """

    forms: Sequence[Form]
    same: Sequence[tuple[str, str]]
    other: Sequence[tuple[str, str]]
    hedges: bool = True
    beside: bool = True

    @property
    def joint(self) -> Wrap | None:
        """The first bare form: a box or a tag."""
        if not self.beside:
            return None
        marks = {"boxed": BARE_BOX.wrap, "bare_box": BARE_BOX.wrap, "answer_tag": _tagged}
        return next((marks[form.name] for form in self.forms if form.name in marks), None)

    @property
    def right(self) -> str:
        """The usual right response."""
        return self.forms[0].wrap(self.same[0][1])

    @property
    def wrong(self) -> str | None:
        """The usual wrong response."""
        return self.forms[0].wrap(self.other[0][1]) if self.other else None


@dataclass(frozen=True, slots=True)
class Kit:
    """What is right and wrong for some handlers. answers: None where the ground truth says nothing that we can write."""

    handlers: frozenset[str]
    answers: Callable[[Subject], Answers | None]

    def of(self, subject: Subject) -> Answers | None:
        """The answers to a row; made once for all the transformations of it."""
        return _made(self.answers, subject)


@lru_cache(maxsize=8)
def _made(answers: Callable[[Subject], Answers | None], subject: Subject) -> Answers | None:
    return answers(subject)


def boxed(answer: str) -> str:
    """In LaTeX's box, as most prompts ask."""
    return f"So it follows.\n\nThe final answer is \\boxed{{{answer}}}."


def _tagged(answer: str) -> str:
    return f"<answer>{answer}</answer>"


BOX = Form("boxed", boxed)
MATH_BOX = Form("boxed_math", lambda answer: f"So $\\boxed{{{answer}}}$.")
BARE_BOX = Form("bare_box", lambda answer: f"\\boxed{{{answer}}}")
TAG = Form("answer_tag", lambda answer: f"So it follows.\n<answer>{answer}</answer>")
TAG_LINES = Form("answer_tag_lines", lambda answer: f"So it follows.\n<answer>\n{answer}\n</answer>\n")


def distinct(answers: Iterable[tuple[str, str]], besides: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Each text once, and none of those given."""
    seen = set(besides)
    found = []
    for name, text in answers:
        if text not in seen:
            seen.add(text)
            found.append((name, text))
    return found


def transformations(kit: Kit) -> Iterator[Transformation]:
    """What follows from a kit."""

    def given(make: Callable[[Answers], Variants]) -> Callable[[Subject], Variants]:
        def variants(subject: Subject) -> Variants:
            answers = kit.of(subject)
            if answers is not None:
                yield from make(answers)

        return variants

    for family, demand, make in (
        ("format", Demand.ACCEPT, _formats),
        ("dress", Demand.ACCEPT, _dresses),
        ("order", Demand.ACCEPT, _corrected),
        ("miss", Demand.REJECT, _misses),
        ("order", Demand.REJECT, _spoilt),
        ("hedge", Demand.REJECT, _hedged),
    ):
        yield Transformation(family, demand, given(make), kit.handlers)


def _formats(answers: Answers) -> Variants:
    for form in answers.forms:
        yield form.name, form.wrap(answers.same[0][1])


def _dresses(answers: Answers) -> Variants:
    for name, answer in answers.same[1:]:
        yield name, answers.forms[0].wrap(answer)


def _corrected(answers: Answers) -> Variants:
    if answers.wrong is not None:
        yield "thought_wrong", f"<think>{answers.wrong}\nNo, that is wrong.</think>\n{answers.right}"
        yield (
            "wrong_then_right",
            f"{answers.wrong}\n\nNo, that is wrong: one step was missing. Once more.\n\n{answers.right}",
        )


def _misses(answers: Answers) -> Variants:
    for name, answer in answers.other:
        yield name, answers.forms[0].wrap(answer)


def _spoilt(answers: Answers) -> Variants:
    if answers.wrong is not None:
        yield (
            "right_then_wrong",
            f"{answers.right}\n\nNo, that is wrong: one step was missing. Once more.\n\n{answers.wrong}",
        )
        yield "thought_right", f"<think>{answers.right}</think>\n{answers.wrong}"


def _hedged(answers: Answers) -> Variants:
    if not answers.other:
        return
    right, wrong = answers.same[0][1], answers.other[0][1]
    joint = answers.joint
    if joint is not None:
        yield "right_beside_wrong", f"So it follows.\n{joint(right)} or {joint(wrong)}"
        yield "wrong_beside_right", f"So it follows.\n{joint(wrong)} or {joint(right)}"
    if answers.hedges:
        wrap = answers.forms[0].wrap
        yield "right_or_wrong", wrap(f"{right} or {wrong}")
        yield "wrong_or_right", wrap(f"{wrong} or {right}")
        yield "not_right", wrap(f"not {right}")
