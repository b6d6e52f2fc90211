r"""Answers to questions about tables: a number, a date, a text, yes or no, or a list of them.

What is decided here: which type an answer has to be (by the gold, never by the answer), and what a percent sign, a
scale word or a missing scale word means for each data set. Numbers are read by a grammar, `_quantity`, and by nothing
else: no evaluation, no arithmetic, no blanket tolerance.

Where the rules come from
- whole numbers are exact (a year that is off by one is wrong); decimals agree when the finer rounds to the coarser,
  and a coarser answer has at least three significant digits (`reference/domains.md` §2). TAT-QA rounds its golds to
  two places (its evaluator), FinQA and MultiHiertt theirs to five and often fewer.
- percent: HiTab's evaluator deletes `%`, TAT-QA's has a `percent` scale: their golds are percent points, and `52.1`,
  `52.1%` and `52.1 percent` are equal. FinQA's golds are ratios: `10.5%` is 0.105, and a bare 10.5 is accepted only
  when the question asks for a percentage. A MultiHiertt gold is a ratio when it looks like a quotient. `%` where
  nothing about percent was asked is wrong.
- scale: with TAT-QA's `scale` known, `1,234 thousand`, `1,234,000` and (our choice) the bare table unit `1,234` are
  right and another scale word is wrong. A gold that is written with its scale word (`$14.8 billion`) needs one.
- lists are multisets, matched one to one (WTQ, TAT-QA and the published scorer are unordered; HiTab's own
  evaluator orders, but its question never says how).
- extraction: the last closed box after `</think>`; without any box only a last line that says "the answer is …".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._quantity import Date, Quantity, parse_date, parse_quantity, same_amount
from reward_service.handlers._table_answer import Found, find_answer, normal_text, readings, undress
from reward_service.handlers._table_gold import (
    Asked,
    Gold,
    Rules,
    comma_list,
    gold_texts,
    parsed_golds,
    truth_of,
    what_is_asked,
)
from reward_service.handlers._table_guru import published_verdict
from reward_service.handlers._text import answer_lines, collapse
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MAX_ANSWER = 4_000


RULES: Mapping[str, Rules] = {
    "table__hitab": Rules(),
    "table__multihier": Rules(percent="either", gold_digits=2),
    "table__finqa": Rules(percent="ratio", gold_digits=2),
    "table__tatqa": Rules(gold_exponent=-2, articles=True),
    "table__wtq": Rules(),
    "table__tablebench": Rules(commas=True),
    "table__tabfact": Rules(truth=True),
}
_OTHERWISE = Rules()


def _sources() -> list[Source]:
    def boxed(answer: str) -> str:
        return f"From the table we read the value.\n\nThe final answer is \\boxed{{{answer}}}."

    one_of = "a string, number or list; `|` joins several values"
    return [
        Source("table__hitab", one_of, Example(boxed("1{,}204"), "1204.0"), ("hitab",)),
        Source(
            "table__multihier", one_of, Example(boxed("12.41\\%"), "0.12409"), ("multihiertt", "multi_hiertt")
        ),
        Source(
            "table__finqa",
            "a ratio or amount (number or string), or yes/no",
            Example(boxed("14.3\\%"), 0.14336, {"question": "what percentage of the total was paid?"}),
        ),
        Source(
            "table__tatqa",
            "a string, number or list; the scale (thousand, million, billion, percent) comes in `scale`",
            Example(boxed("1.758 billion"), "1,758", {"scale": "million"}),
            ("tat_qa",),
        ),
        Source(
            "table__wtq",
            one_of,
            Example(boxed("17 December 2007"), "Dec. 17, 2007"),
            ("wikitablequestions", "wiki_table_questions"),
        ),
        Source(
            "table__tablebench",
            "a string; `, ` joins several values",
            Example(boxed("runs, innings"), "innings, runs"),
        ),
        Source("table__tabfact", "0/1, or entailed/refuted", Example(boxed("entailed"), 1), ("tab_fact",)),
        Source("table__*", one_of, Example(boxed("Rome | Paris"), "Paris|Rome")),
    ]


@handler(
    "table",
    version="2",
    domain=Domain.TABLE,
    sources=_sources(),
    reads=("question", "scale", "percent_question"),
)
@one_answer
def plan(item: Item) -> Outcome:
    """The boxed value equals the gold: as number, date, text, yes/no or as a list without order."""
    rules = RULES.get(item.data_source, _OTHERWISE)
    texts = gold_texts(item.ground_truth)
    if texts is None:
        return malformed(
            "the ground truth must be a string, a number, a boolean or a list of these, not empty"
        )
    if item.profile is Profile.GURU:
        return published_verdict(item.response, comma_list(texts) if rules.commas else texts)
    golds = parsed_golds(texts, rules)
    asked = what_is_asked(item.extra_info, rules)
    found = find_answer(item.response)
    if isinstance(found, Reason):
        return reject(found, flags=("multiple_answers",) if found is Reason.AMBIGUOUS_ANSWER else ())
    shown = found.shown
    if len(shown) > MAX_ANSWER + 2 * sum(map(len, texts)):
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",), message="the answer is too long")
    if narrate.listening():
        _tell(found, golds, asked, rules)
    equal = any(
        _match_all(golds, items, asked, rules) for items in readings(found, [gold.text for gold in golds])
    )
    if equal and len(golds) == 1 and _contradicted(found.after, golds[0], asked, rules):
        return reject(Reason.AMBIGUOUS_ANSWER, shown, flags=("multiple_answers",))
    trace = {"golds": [repr(gold) for gold in golds], "asked": repr(asked)} if item.explain else {}
    if equal:
        return accept(shown, trace=trace)
    reason, flags = _why_not(found, golds)
    return reject(reason, shown, flags=flags, trace=trace)


def _tell(found: Found, golds: Sequence[Gold], asked: Asked, rules: Rules) -> None:
    """Each reading of the answer beside the expected values, for whoever asks why."""
    read = list(readings(found, [gold.text for gold in golds]))
    if not read:
        narrate.compared("items", False, f"the answer can't be read as {len(golds)} item(s)")
    for number, items in enumerate(read[:4], 1):
        with narrate.about(f"reading {number}" if len(read) > 1 else ""):
            for gold, text in zip(golds, items, strict=True):
                answer = _Answer(text)
                kind, mine, theirs = _forms(gold, answer, asked, rules)
                narrate.forms(mine, theirs, kind)
                narrate.compared(kind, _equal(gold, answer, asked, rules))


def _forms(gold: Gold, answer: _Answer, asked: Asked, rules: Rules) -> tuple[str, object, object]:
    if gold.quantity is not None:
        return "number", answer.quantity(asked.words) or f"no number: {answer.text}", gold.quantity
    normal = answer.normal(rules.articles)
    if gold.truth is not None:
        return "yes or no", truth_of(normal, rules), gold.truth
    if gold.date is not None:
        return "date", answer.date() or normal, gold.date
    return "text", normal, gold.text


# ---------------------------------------------------------------- comparison


class _Answer:
    """One item of the answer; each of its readings is made when a gold first needs it."""

    __slots__ = ("_date", "_normal", "_quantity", "lower", "text")

    def __init__(self, text: str) -> None:
        self.text, self.lower = text, collapse(text.lower())
        self._normal: str | None = None
        self._quantity: tuple[Quantity | None] | None = None
        self._date: tuple[Date | None] | None = None

    def normal(self, articles: bool) -> str:
        if self._normal is None:
            self._normal = normal_text(self.text, articles)
        return self._normal

    def quantity(self, units: frozenset[str]) -> Quantity | None:
        if self._quantity is None:
            self._quantity = (
                parse_quantity(self.lower) or (parse_quantity(self.lower, units) if units else None),
            )
        return self._quantity[0]

    def date(self) -> Date | None:
        if self._date is None:
            self._date = (parse_date(self.lower),)
        return self._date[0]


def _match_all(golds: Sequence[Gold], items: Sequence[str], asked: Asked, rules: Rules) -> bool:
    """One to one, as multisets: augmenting paths, because rounding makes equality non-transitive."""
    answers = [_Answer(item) for item in items]
    if len(golds) == 1:
        return _equal(golds[0], answers[0], asked, rules)
    fits = [[at for at, gold in enumerate(golds) if _equal(gold, answer, asked, rules)] for answer in answers]
    taken: dict[int, int] = {}

    def place(item: int, seen: set[int]) -> bool:
        for at in fits[item]:
            if at not in seen:
                seen.add(at)
                if at not in taken or place(taken[at], seen):
                    taken[at] = item
                    return True
        return False

    return all(fits) and all(place(item, set()) for item in range(len(items)))


def _equal(gold: Gold, answer: _Answer, asked: Asked, rules: Rules) -> bool:
    if gold.quantity is not None:
        quantity = answer.quantity(asked.words)
        return quantity is not None and _same_number(gold.quantity, quantity, asked, rules)
    normal = answer.normal(rules.articles)
    if gold.truth is not None:
        return truth_of(normal, rules) is gold.truth
    return normal == gold.text or (gold.date is not None and answer.date() == gold.date)


def _same_number(gold: Quantity, answer: Quantity, asked: Asked, rules: Rules) -> bool:
    if gold.currency and answer.currency and gold.currency != answer.currency:
        return False
    scaled = bool(gold.scale or answer.scale)
    if gold.percent or answer.percent or (asked.percent and rules.percent == "ratio" and not scaled):
        if scaled:
            return False
        shifts = _percent_readings(gold, answer.percent, asked, rules)
        return any(_same(gold, answer.times_ten_to(shift), rules, 0) for shift in shifts)
    if gold.scale:
        return _same(gold, answer, rules, gold.scale)
    scale = asked.table_scale or asked.named_scale
    if scale and answer.scale:
        return _same(gold, answer, rules, scale)
    # The bare unit of the table or question; written out in full only where the question didn't name the unit.
    return _same(gold, answer, rules, 0) or _same(gold, answer, rules, asked.table_scale)


def _same(gold: Quantity, answer: Quantity, rules: Rules, scale: int) -> bool:
    shifted = gold.times_ten_to(scale - gold.scale) if scale != gold.scale else gold
    place = rules.gold_exponent + scale if rules.gold_exponent is not None else None
    return same_amount(shifted, answer, rules.gold_digits, place)


def _percent_readings(gold: Quantity, sign: bool, asked: Asked, rules: Rules) -> tuple[int, ...]:
    """By how many places the answer may be shifted to be compared with the gold: () if `%` has no business here."""
    if gold.percent:
        return (0,) if sign or rules.percent != "ratio" else (0, 2)
    if rules.percent == "ratio":
        if not sign:
            return (0, -2) if gold.below(5) else (0,)  # the question asks for a percentage
        return (-2,) if gold.below(10) else (0,)
    if not sign:
        return (0,)
    if asked.percent is False:
        return ()
    quotient = gold.below(5) and (gold.decimals >= 4 or (gold.decimals == 3 and gold.below(1)))
    if quotient and rules.percent == "either":
        return (-2,)
    # HiTab's evaluator deletes the sign; where its gold is a quotient (six decimals), what the answer says counts too.
    return (0, -2) if quotient and gold.below(1) else (0,)


def _contradicted(after: str, gold: Gold, asked: Asked, rules: Rules) -> bool:
    """Does the text after the box say "the answer is" another number? Then that one is the last answer."""
    if gold.quantity is None or "nswer" not in after:
        return False
    for line in answer_lines(after):
        said = _Answer(undress(line.strip("*_ ")))
        if said.quantity(frozenset()) is not None and not _equal(gold, said, asked, rules):
            return True
    return False


_HEDGE = re.compile(r"\b(?:or|not|either|neither|maybe|perhaps|possibly)\b|[|;?]", re.IGNORECASE)
_INJECTION = re.compile(r"__\w+__|ground_truth|\b(?:eval|exec|lambda|import|globals|locals)\b", re.IGNORECASE)


def _why_not(found: Found, golds: Sequence[Gold]) -> tuple[Reason, tuple[str, ...]]:
    shown = found.shown[:2_000]
    flags: list[str] = []
    if _INJECTION.search(shown):
        flags.append("answer_injection")
    single = len(golds) == 1
    if single and (_HEDGE.search(shown) or (golds[0].quantity is not None and ", " in shown)):
        return Reason.AMBIGUOUS_ANSWER, (*flags, "multiple_answers")
    readable = parse_quantity(collapse(undress(found.contents[-1]).lower()), ("*",)) is not None
    if single and golds[0].quantity is not None and not readable:
        return Reason.MALFORMED_ANSWER, tuple(flags)
    return Reason.NOT_EQUAL, tuple(flags)
