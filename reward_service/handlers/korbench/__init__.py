r"""KOR-Bench: answers in double square brackets, `[[24]]`, of five categories.

What is decided here: which brackets hold the answer, and which comparison a category asks for.
- Where: the last `[[…]]` or box after the thinking (`brackets`). The official rule takes the first, which may
  be an example.
- Category: `extra_info.category` (a cipher's own "Encryption"/"Decryption" too) or its like, else the name of
  the data source (`korbench__logic`); without either the ground truth's shape decides among the comparisons
  that need none. `rule_id` says which puzzle it is: without it, alternatives (rules 2 and 4) and unordered
  words (rule 3) can't be told from a list.
- The intent of the official rules, without `eval` and without a parser that evaluates: calculations are
  computed in fractions (`_arithmetic`), formulas compared at fixed points (`_formula`). Source: KOR-Bench's
  own comparisons (2024), as OpenCompass carries them.

There is no published Reasoning360 scorer: both profiles judge alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reward_service import narrate
from reward_service.handlers._logic import hedged
from reward_service.handlers._qa import collapsed
from reward_service.handlers._text import final_part
from reward_service.handlers.korbench.brackets import candidates
from reward_service.handlers.korbench.logic import logic
from reward_service.handlers.korbench.operation import operation
from reward_service.handlers.korbench.plain import cipher, letter
from reward_service.handlers.korbench.puzzle import puzzle, same_words
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_CHARS = 8_000
"""Characters of an answer; the longest puzzle answers (word searches, 10 x 10 grids) have fewer than 1,000."""

CATEGORIES = ("operation", "logic", "cipher", "puzzle", "counterfactual")
CATEGORY_FIELDS = ("category", "question_type", "split", "task")
"""Where a row may say its category; the first that names one counts."""

GOLD = "the answer in double square brackets, as the data set has it: `[[24]]`, `[[A];[C]]`, `[[1 2,2 1]]`"


@handler(
    "korbench",
    version="1",
    domain=Domain.LOGIC,
    reads=(*CATEGORY_FIELDS, "rule_id"),
    sources=[
        Source(
            "korbench*",
            GOLD,
            Example("Both make 12, so the answer is [[5or-3]].", "[[-3or5]]", {"category": "operation"}),
        ),
        Source(
            "kor_bench*",
            GOLD,
            Example("[[(8-2)×(3+1)]]", "[[(3+1)*(8-2)]]", {"category": "puzzle", "rule_id": "10"}),
        ),
        Source("kor-bench*", GOLD, Example("So [[p1&p2];[~p3]]", "[[p1&p2];[~p3]]", {"category": "logic"})),
    ],
)
def plan(item: Item) -> Outcome:
    """The last [[…]] holds the ground truth, by the rule of its category."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a non-empty string, in double square brackets or bare")
    category = _category(item)
    rule = str(item.extra_info.get("rule_id") or "").strip()
    found = candidates(final_part(item.response))
    trace = {"gold": gold, "category": category or "unknown", "rule": rule} if item.explain else {}
    if not found:
        return reject(Reason.NO_ANSWER, trace=trace, message="no closed [[…]]")
    answer = found[-1]
    flags = ("multiple_answers",) if any(collapsed(one) != collapsed(answer) for one in found[:-1]) else ()
    if len(answer) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*flags, "oversized_answer"), trace=trace)
    if not answer.strip():
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace)
    narrate.found_text("the last [[…]]", answer)
    equal = _equal(gold, answer, category, rule)
    narrate.compared(f"KOR-Bench, {category or 'unknown category'}", equal)
    if equal:
        return accept(answer, flags=flags, trace=trace)
    turned = category in ("counterfactual", "puzzle") and hedged(answer) and not hedged(gold)
    return reject(Reason.AMBIGUOUS_ANSWER if turned else Reason.NOT_EQUAL, answer, flags=flags, trace=trace)


def _gold(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or len(value) > MAX_CHARS:
        return None
    text = value.strip()
    found = candidates(text) if text.startswith("[[") else []
    # A cipher text may hold brackets of its own; then all between the outer ones is the answer.
    inner = (
        found[0] if len(found) == 1 else text[2:-2] if text.startswith("[[") and text.endswith("]]") else text
    )
    return inner.strip() or None


def _category(item: Item) -> str:
    for field in CATEGORY_FIELDS:
        said = str(item.extra_info.get(field) or "").strip().lower()
        if said in ("encryption", "decryption"):
            return "cipher"
        if said in CATEGORIES:
            return said
    return next((category for category in CATEGORIES if category in item.data_source), "")


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "operation": operation,
    "logic": logic,
    "cipher": cipher,
    "counterfactual": letter,
    "": same_words,
}


def _equal(gold: str, answer: str, category: str, rule: str) -> bool:
    """Is the answer the gold, by the rule of the category? Without one, by any comparison that needs none."""
    if category == "puzzle":
        return puzzle(gold, answer, rule)
    comparisons = [_COMPARISONS[category]] if category else list(_COMPARISONS.values())
    if category == "logic" and len(gold) == 1:  # an option, perhaps with its text
        comparisons.append(letter)
    return any(compare(gold, answer) for compare in comparisons)
