r"""Mathematical answers: extracted, read, and compared as what the ground truth is.

What is decided here: the reward. The answer is found by `answer.py`'s rule, judged by the ladder
(`ladder.py`: text and exact numbers, our own trees with ball arithmetic, sympy), and paid only where a
comparator says *equal*. Nothing that a response says is ever evaluated. The `guru` profile is the published
Reasoning360 scorer's rule (`guru.py`).

What a row may say in `extra_info`:

- `question`: decides about factoring and expanding, the letter and the base that are asked for.
- `answer_format`: "boxed", "line" ("Answer: …"), "hash" (`####`) or "any", in place of the data source's rule.
- `extraction: "anywhere"`: for evaluation dumps of models that box nothing; takes any form, last resort the last number.
- `form`: "any" takes answers that restate the question, "evaluated" refuses them in the `anywhere` mode too.
- `backends: "both"`: asks math-verify as well, and flags `backends_disagree` where both are sure and differ. The verdict
  stays ours. `compare_backends(True)` does so for every item of a process.
- `reward_metric: "prime_math"` or `"math_dapo"`: the published rule of the `guru` profile.
"""

from __future__ import annotations

from typing import Any

from reward_service import narrate
from reward_service.handlers._text import final_part
from reward_service.handlers.math import answer as extraction
from reward_service.handlers.math import symbolic
from reward_service.handlers.math.answer import MARKERS, Found
from reward_service.handlers.math.exact import integer_value
from reward_service.handlers.math.gold import Gold, prepare
from reward_service.handlers.math.ladder import Judgement, judge
from reward_service.handlers.math.nodes import Verdict
from reward_service.handlers.math.scalars import Options
from reward_service.handlers.math.sources import SOURCES, markers_for
from reward_service.registry import handler
from reward_service.types import (
    NOTHING,
    Domain,
    Item,
    Limits,
    Outcome,
    Profile,
    Reason,
    accept,
    malformed,
    reject,
)

__all__ = ["Verdict", "equal", "plan", "warm_up"]

READS = ("question", "extraction", "answer_format", "form", "backends", "reward_metric")
MAX_GOLD = 20_000

_OPTIONS = Options()
_compare_backends = False


def compare_backends(on: bool) -> None:
    """Run both backends on every item of this process, not only where `extra_info.backends` is "both"."""
    global _compare_backends
    _compare_backends = on


def equal(gold: str, answer: str, *, question: str | None = None) -> Verdict:
    """Is an extracted answer the ground truth? For other handlers; `UNKNOWN` is never to be paid.

    Both are LaTeX or plain text, with or without `$`. The answer-form guard is on.
    """
    options = Options(question=question) if question else _OPTIONS
    return judge(prepare(gold), answer, options).verdict


@handler(
    "math",
    version="2",
    domain=Domain.MATH,
    sources=SOURCES,
    reads=READS,
    limits=Limits(cpu_seconds=1.2, wall_seconds=20.0, memory_bytes=256 << 20),
)
def plan(item: Item) -> Outcome:
    """The boxed (or marked) answer equals the ground truth, by text, exact numbers, ball arithmetic or sympy."""
    gold_text = _gold_text(item.ground_truth)
    if gold_text is None:
        return malformed("the ground truth is a non-empty string, a number, or a list of them")
    if item.profile is Profile.GURU:
        from reward_service.handlers.math.guru import published

        return published(item, gold_text)
    extra = item.extra_info
    plain = not extra or (len(extra) == 1 and "question" in extra)
    if plain and not item.explain and not _compare_backends:
        number = extraction.boxed_number(item.response)
        if number is not None and (written := prepare(gold_text).written) is not None:
            integer = integer_value(number)
            if written.value == integer:
                return accept(number, comparator="number", extraction="box")
            if type(written.value) is int and not written.grouped:
                return reject(Reason.NOT_EQUAL, number, comparator="number", extraction="box")
    if extra.get("extraction") == "anywhere":
        return _anywhere(gold_text, item)
    markers = _FORMATS.get(str(extra.get("answer_format", "")), markers_for(item.source))
    return _outcome(gold_text, extraction.find(item.response, markers), _options(item, lenient=False), item)


_FORMATS = {
    "boxed": frozenset(("box",)),
    "hash": frozenset(("hash",)),
    "line": frozenset(("line",)),
    "any": MARKERS,
}


def _options(item: Item, *, lenient: bool) -> Options:
    form = item.extra_info.get("form")
    guard = form != "any" and (not lenient or form == "evaluated")
    question = item.extra_info.get("question")
    return Options(guard, lenient, question if isinstance(question, str) else "")


def _gold_text(value: Any) -> str | None:
    if isinstance(value, str):
        text = value.strip(" \n")  # a form feed or tab may be half of a macro
        return text if text.strip() and len(text) <= MAX_GOLD else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(str(v) for v in value)
    return None


def _outcome(gold_text: str, found: Found, options: Options, item: Item) -> Outcome:
    trace = {"gold": gold_text, "found": found.how} if item.explain else NOTHING
    if not found.parts:
        return reject(Reason.NO_ANSWER, trace=trace)
    gold = prepare(gold_text)
    flags = ("multiple_answers",) if found.guesses > 1 else ()
    text = found.parts[-1]
    if len(found.parts) > 1:
        if gold.several:
            text = (" \\text{ or } " if found.either else ", ").join(found.parts)
        elif not _all_the_same(found.parts):
            shown = ", ".join(found.parts)
            return reject(Reason.AMBIGUOUS_ANSWER, shown, flags=flags, trace=trace, extraction=found.how)
    elif found.how != "box" and found.guesses > extraction.MAX_LINES:
        return reject(Reason.AMBIGUOUS_ANSWER, text, flags=flags, trace=trace, extraction=found.how)
    verdict = judge(gold, text, options)
    if verdict.comparator == "empty":
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace, extraction=found.how)
    if (
        verdict.verdict is Verdict.EQUAL
        and found.behind is not None
        and _contradicts(gold, found.behind, options)
    ):
        return reject(
            Reason.AMBIGUOUS_ANSWER, text, flags=("multiple_answers",), trace=trace, extraction=found.how
        )
    return _told(verdict, text, found.how, flags, trace, gold, options, item)


_NO_VALUE = frozenset(("empty", "length", "text", "words", "budget"))


def _all_the_same(parts: tuple[str, ...]) -> bool:
    first = prepare(parts[0])
    with narrate.about("whether the boxes hold one answer"):
        return all(judge(first, part, _OPTIONS).verdict is Verdict.EQUAL for part in parts[1:])


def _contradicts(gold: Gold, statement: str, options: Options) -> bool:
    """Does a readable value behind the box differ from the ground truth? Words ("is correct") and choices say nothing."""
    if len(statement) == 1 and statement.isalpha():
        return False
    if len(statement) > 20 and not any(character.isdigit() for character in statement):
        return False
    with narrate.about("the statement behind the box"):
        other = judge(gold, statement, options)
    return other.verdict is Verdict.NOT_EQUAL and other.comparator not in _NO_VALUE


def _told(
    judged: Judgement,
    text: str,
    how: str,
    flags: tuple[str, ...],
    trace: Any,
    gold: Gold,
    options: Options,
    item: Item,
) -> Outcome:
    if _compare_backends or item.extra_info.get("backends") == "both":
        flags = (*flags, *_disagreement(judged, gold, text))
    if item.explain:
        trace = {**trace, "comparator": judged.comparator, "read_as": text}
    if judged.verdict is Verdict.EQUAL:
        return accept(text, flags=flags, trace=trace, comparator=judged.comparator, extraction=how)
    if judged.over_budget:
        flags = (*flags, "oversized_answer")
        return reject(
            Reason.BUDGET_EXCEEDED,
            text,
            flags=flags,
            trace=trace,
            comparator=judged.comparator,
            extraction=how,
        )
    undecided = {"undecided": True} if judged.verdict is Verdict.UNKNOWN else {}
    return reject(
        Reason.NOT_EQUAL,
        text,
        flags=flags,
        trace=trace,
        comparator=judged.comparator,
        extraction=how,
        **undecided,
    )


def _disagreement(judged: Judgement, gold: Gold, text: str) -> tuple[str, ...]:
    """Ask math-verify too. Flags `backends_disagree` where both are sure and differ."""
    from reward_service.handlers.math.normal import undress

    second = symbolic.compare(gold.text, undress(text))
    if Verdict.UNKNOWN in (second, judged.verdict):
        return ()
    return ("backends_disagree",) if second is not judged.verdict else ()


def _anywhere(gold_text: str, item: Item) -> Outcome:
    """Evaluation dumps: the first candidate that can be read is the answer."""
    options = _options(item, lenient=True)
    gold = prepare(gold_text)
    if gold.node is None or len(gold_text) > 200:
        gold = _gold_anywhere(gold_text, gold)
    trace = {"gold": gold_text, "found": "anywhere"} if item.explain else NOTHING
    last: tuple[Judgement, str] | None = None
    for text in extraction.candidates(item.response):
        with narrate.about(f"the candidate {text[:80]}"):
            judged = judge(gold, text, options)
        if judged.comparator == "empty":
            continue
        if judged.verdict is Verdict.UNKNOWN and judged.comparator in ("words", "text", "budget"):
            last = last or (judged, text)
            continue
        last = judged, text
        break
    if last is None:
        narrate.missing("nothing in the response can be read as an answer")
        return reject(Reason.NO_ANSWER, trace=trace)
    narrate.found_text("the first candidate that can be read (mode `anywhere`)", last[1])
    return _told(last[0], last[1], "anywhere", (), trace, gold, options, item)


def _gold_anywhere(text: str, whole: Gold) -> Gold:
    if "boxed" in text or len(text.split()) < 3:
        return whole
    for candidate in extraction.candidates(text):
        gold = prepare(candidate)
        if gold.node is not None and gold.node.op != "text":
            return gold
    return whole


def warm_up() -> None:
    """Import what tier 3 needs and warm its parser; called in the zygote before children are forked."""
    symbolic.warm_up()
    final_part("")
    for gold, answer in (
        ("\\frac{1}{2}", "0.5"),
        ("x^2-1", "-1+x^2"),
        ("(-\\infty,2)", "x<2"),
        ("\\{1,2\\}", "2,1"),
    ):
        equal(gold, answer)
