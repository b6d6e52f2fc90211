r"""Science: open answers with numbers, units, formulas, reactions, SMILES, expressions and short text.

What is decided here: the reward, by rules before any judge. A rule says *equal*, *not equal* or nothing; where it says
nothing (each rule module says when), the item goes to a judge model through `ask`, the one place where that question is made.
Numbers, options, yes and no, SMILES and the two benchmarks are never put to a judge: a rule that can read them can decide.

The answer is the last box, `<answer>` or "the answer is" line after the thinking. The guru profile of `stem_web` keeps the
deterministic part of the published scorer: the last box of the whole text, and none is 0; its verdict came from a
model, and comes from the same rules (and judge) here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reward_service import narrate
from reward_service.handlers import _judging
from reward_service.handlers._either import one_answer
from reward_service.handlers._optional import Missing, missing
from reward_service.handlers._qa import find_answer
from reward_service.handlers._text import boxes
from reward_service.handlers.math import Verdict
from reward_service.handlers.science import benchmarks, smiles, units
from reward_service.handlers.science.compare import decide
from reward_service.handlers.science.gold import Decision, prepare
from reward_service.handlers.science.reading import MAX_CHARS
from reward_service.handlers.science.sources import SOURCES, kind_of
from reward_service.questions import Ask, Opinion
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

MAX_GOLD = 4_000
READS = ("question", "answer_type", "unit")
NO_RDKIT = (
    "SMILES are compared with RDKit, which this installation lacks: pip install 'reward-service[science]'"
)


def ask(item: Item, gold: str, answer: str, why: str, flags: tuple[str, ...]) -> Outcome | Ask:
    """What the rules can't decide becomes a question to a judge model, here and nowhere else. why: a word for what the rule that abstained lacked."""
    notes = {"answer": answer, "why": why, "flags": list(flags)}
    question = _judging.ask(_word(item, "question"), gold, answer, notes)
    if isinstance(question, Ask):
        return question
    return replace(question, flags=tuple(dict.fromkeys((*flags, *question.flags))))


def judge(item: Item, notes: Any, results: Sequence[Opinion]) -> Outcome:
    """The opinion on what the rules could not decide."""
    outcome = _judging.decide(results[0], notes["answer"], abstained=notes["why"])
    narrate.compared("judge", outcome.correct, f"the judge model said {results[0].verdict}")
    if item.explain and outcome.score is not None:
        outcome = replace(outcome, trace={"kind": "open", "comparator": "judge", "why": notes["why"]})
    return replace(outcome, flags=tuple(notes["flags"]))


@handler(
    "science",
    version="4",
    domain=Domain.SCIENCE,
    sources=SOURCES,
    reads=READS,
    judge=judge,
    limits=Limits(cpu_seconds=1.5, wall_seconds=20.0, memory_bytes=256 << 20),
)
@one_answer
def plan(item: Item) -> Outcome | Ask:
    """The last answer is the ground truth: as quantity, formula, reaction, molecule, expression or short text."""
    kind = kind_of(item)
    gold = item.ground_truth if kind in ("scibench", "theoremqa") else gold_text(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a non-empty string, a number, or a list of them")
    problem = unusable(kind, gold, item)
    if problem is not None:
        return problem
    trace = {"gold": str(gold)[:500], "kind": kind} if item.explain else NOTHING
    text, flags = extracted(item)
    if text is None:
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace)
    if len(text) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*flags, "oversized_answer"), trace=trace)
    decision = decided(kind, gold, text, item)
    return told(decision, gold, text, flags, trace, item)


def gold_text(value: Any) -> str | None:
    """The ground truth as one text; None if it can't be one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value) if abs(value) < 1e300 else None
    if isinstance(value, list | tuple) and 0 < len(value) <= 24:
        parts = [gold_text(part) if not isinstance(part, list | tuple) else None for part in value]
        return None if None in parts else "; ".join(part for part in parts if part is not None)
    if isinstance(value, str) and any(character.isalnum() or character in "∞√π%°" for character in value):
        return value.strip() if len(value) <= MAX_GOLD else None
    return None


def unusable(kind: str, gold: Any, item: Item) -> Outcome | None:
    """An error where the row can't be judged whatever the answer is."""
    try:
        if kind == "smiles" and smiles.canonical(smiles.undressed(gold)) is None:
            return malformed("the ground truth is not a SMILES string that RDKit can read")
        if kind in ("scibench", "theoremqa"):
            _benchmark(kind, gold, "0", item)
    except Missing as error:
        return missing(error)
    except benchmarks.GoldError as error:
        return malformed(str(error))
    return None


def extracted(item: Item) -> tuple[str | None, tuple[str, ...]]:
    """The answer's text, or None; and flags. Guru: the last box of the whole text."""
    if item.profile is Profile.GURU and kind_of(item) == "open":
        found = boxes(item.response) if "box" in item.response else []
        return (found[-1].content if found and found[-1].content.strip() else None), ()
    answer = find_answer(item.response, lines=True)
    if answer is None:
        return None, ()
    inner = boxes(answer.text) if "box" in answer.text else []
    text = inner[-1].content if len(inner) == 1 else answer.text
    return (text if text.strip() else None), answer.flags


def decided(kind: str, gold: Any, text: str, item: Item) -> Decision:
    """The verdict of the rule for this kind of row."""
    if kind in ("scibench", "theoremqa"):
        return _benchmark(kind, gold, text, item)
    if kind == "smiles":
        found = smiles.canonical(smiles.undressed(text))
        if found is None:
            return Decision(Verdict.NOT_EQUAL, "smiles", "unreadable")
        return Decision(Verdict.of(found == smiles.canonical(smiles.undressed(gold))), "smiles")
    prepared = prepare(gold, _word(item, "answer_type"))
    return decide(prepared, text, _word(item, "question"))


def _benchmark(kind: str, gold: Any, text: str, item: Item) -> Decision:
    question = _word(item, "question")
    if kind == "scibench":
        return benchmarks.scibench(gold, text, item.extra_info.get("unit"), question)
    return benchmarks.theoremqa(gold, text, _word(item, "answer_type"), question)


def _word(item: Item, name: str) -> str:
    value = item.extra_info.get(name)
    return value if isinstance(value, str) else ""


def told(
    decision: Decision, gold: Any, text: str, flags: tuple[str, ...], trace: Any, item: Item
) -> Outcome | Ask:
    """The outcome of a decision."""
    if item.explain:
        said = None if decision.verdict is Verdict.UNKNOWN else decision.verdict is Verdict.EQUAL
        note = " ".join(filter(None, (decision.why.replace("_", " "), "a hedge" if decision.hedged else "")))
        narrate.compared(decision.comparator, said, note)
        trace = {**trace, "comparator": decision.comparator, "why": decision.why}
    if decision.verdict is Verdict.EQUAL:
        return accept(text, flags=flags, trace=trace, comparator=decision.comparator)
    if decision.verdict is Verdict.UNKNOWN:
        return ask(item, str(gold), text, decision.why, flags)
    if decision.comparator == "empty":
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace)
    if decision.hedged:
        flags = tuple(dict.fromkeys((*flags, "multiple_answers")))
        return reject(Reason.AMBIGUOUS_ANSWER, text, flags=flags, trace=trace, comparator=decision.comparator)
    reason = Reason.MALFORMED_ANSWER if decision.why == "unreadable" else Reason.NOT_EQUAL
    return reject(reason, text, flags=flags, trace=trace, comparator=decision.comparator)


def warm_up() -> None:
    """Build pint's registry, and load RDKit where it is installed, before children are forked."""
    units.warm_up()
    smiles.warm_up()
