"""The ladder of comparators: text and numbers, our own trees, sympy; cheapest first.

What is decided here: who is asked, and when it ends. A tier that is sure ends it; "can't say" goes on;
nothing that no tier can say is paid. Sympy is only asked about expressions that our trees can't hold or
couldn't decide, and only where the ground truth has such a construct itself: an integral in the answer alone
is work left undone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_service import narrate
from reward_service.handlers.math import exact, symbolic
from reward_service.handlers.math.compare import match
from reward_service.handlers.math.expression import parse
from reward_service.handlers.math.form import bare, is_literal
from reward_service.handlers.math.gold import Gold, written_choice
from reward_service.handlers.math.nodes import (
    MAX_CHARS,
    BudgetError,
    Node,
    ParseError,
    Verdict,
    symbols,
    walk,
    word_set,
)
from reward_service.handlers.math.normal import key, undress
from reward_service.handlers.math.scalars import Options
from reward_service.handlers.math.texts import plain_text


class Judgement(NamedTuple):
    """The verdict, the comparator that gave it, and whether a budget ran out."""

    verdict: Verdict
    comparator: str
    over_budget: bool = False


LONG, MANY_WORDS = 200, 20
"""A text that is longer, with more words, isn't read where a number is asked for."""

_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_COMMA_DIGITS = re.compile(r"\d,\d")


def judge(gold: Gold, answer: str, options: Options) -> Judgement:
    """One extracted answer against the prepared ground truth."""
    if len(answer) > 2 * MAX_CHARS:
        return Judgement(Verdict.NOT_EQUAL, "length", True)
    plain = undress(answer)
    if not plain or plain.strip("{} ") == "" or plain in ("\\text{}", "?"):
        return Judgement(Verdict.NOT_EQUAL, "empty")
    narrate.forms(plain, gold.text, "without its dress")
    written = exact.written(plain)
    if gold.written is not None and written is not None:
        verdict = exact.compare(gold.written, written)
        _tell("number", verdict, "as written numbers")
        if verdict is not Verdict.UNKNOWN:
            return Judgement(verdict, "number")
    elif key(plain) == gold.key or answer.strip() == gold.source:
        narrate.compared("text", True)
        return Judgement(Verdict.EQUAL, "text")
    else:
        narrate.compared("text", None, "written differently")
    if gold.written is not None and len(plain) > LONG and len(_WORD.findall(plain, 0, 4 * LONG)) > MANY_WORDS:
        return Judgement(Verdict.UNKNOWN, "words")
    return _by_tree(gold, plain, options)


def _by_tree(gold: Gold, plain: str, options: Options) -> Judgement:
    node: Node | None = None
    target = gold.node
    try:
        node = parse(plain)
        if gold.choice and bare(node) == Node("sym", (), gold.choice):
            narrate.compared("choice", True, "the letter of the written-out choice")
            return Judgement(Verdict.EQUAL, "choice")
        if narrate.listening():
            narrate.forms(outline(node), outline(target), "as a tree")
        if target is not None:
            result, comparator = match(target, node, options)
            narrate.compared(comparator, result, "compared as trees, numbers by ball arithmetic")
            if not result and _COMMA_DIGITS.search(plain):
                result = _as_list(gold, plain, options) or result
            elif not result and gold.listed is not None:
                result = match(gold.listed, node, options)[0] or result
            if not result and options.lenient:
                result = _decimal_comma(gold, plain, options) or result
            if result is not None and not (result is False and _same_choice(gold, plain)):
                return Judgement(Verdict.of(result), comparator)
    except BudgetError:
        narrate.compared("budget", None, "comparing these is dearer than an answer may be")
        return Judgement(Verdict.NOT_EQUAL, "budget", True)
    except RecursionError:
        return Judgement(Verdict.NOT_EQUAL, "depth", True)
    except ParseError:
        narrate.compared("tree", None, "the answer can't be read as a formula")
    if _same_choice(gold, plain):
        narrate.compared("choice", True, "the letter and text of the same choice")
        return Judgement(Verdict.EQUAL, "choice")
    if _same_words(gold, plain):
        narrate.compared("words", True)
        return Judgement(Verdict.EQUAL, "words")
    narrate.compared("words", None, "other words, or no sentences")
    if target is not None and node is not None and _for_sympy(target, node, options):
        verdict = symbolic.compare(gold.text, plain)
        _tell("sympy", verdict, "")
        return Judgement(verdict, "sympy")
    return Judgement(Verdict.UNKNOWN, "words" if node is None or target is None else "undecided")


def _tell(comparator: str, verdict: Verdict, note: str) -> None:
    narrate.compared(comparator, None if verdict is Verdict.UNKNOWN else verdict is Verdict.EQUAL, note)


def outline(node: Node | None) -> str:
    """A tree for people: `pow(x, 2)`. Never raises: what is told must not change what is decided."""
    try:
        return "not a formula" if node is None else _outline(node)
    except (ValueError, RecursionError):
        return "too large to show"


def _outline(node: Node) -> str:
    if node.args:
        inside = ", ".join(map(_outline, node.args))
        return f"{node.op}({inside})" if node.data in (None, ()) else f"{node.op} {node.data}({inside})"
    if node.op == "num":
        return str(node.data.value)
    return node.op if node.data in (None, ()) else str(node.data)


def _as_list(gold: Gold, plain: str, options: Options) -> bool | None:
    listed = parse(plain, thousands=False)
    target = gold.listed or gold.node
    if target is None or (bare(listed).op != "list" and gold.listed is None):
        return None
    return match(target, listed, options)[0]


_DECIMAL_COMMA = re.compile(r"-?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))")


def _decimal_comma(gold: Gold, plain: str, options: Options) -> bool | None:
    """`1000,99` for 1000.99, in evaluation dumps."""
    if _DECIMAL_COMMA.fullmatch(plain) and gold.node is not None:
        return match(gold.node, parse(plain.replace(",", ".")), options)[0]
    if _DECIMAL_COMMA.fullmatch(gold.text):
        return match(parse(gold.text.replace(",", ".")), parse(plain), options)[0]
    return None


def _same_choice(gold: Gold, plain: str) -> bool:
    """`(C) 25` for the choice C: its letter, what it says, and no other letter."""
    if len(gold.text) > 8 or gold.node is None or bare(gold.node).op != "sym":
        return False
    return written_choice(plain) == str(bare(gold.node).data)


def _same_words(gold: Gold, plain: str) -> bool:
    """Sentences: the same words in the same order, articles, case and punctuation aside."""
    mine = gold.words
    return bool(mine) and plain_text(plain) == mine


_NOT_FOR_SYMPY = word_set("text unit label call seq list build cup cap setminus ratio matrix base pm mp")
_UNDECIDED = frozenset(("hard", "big"))


def _for_sympy(gold: Node, answer: Node, options: Options) -> bool:
    gold_hard = any(part.op in _UNDECIDED for part in walk(gold))
    answer_hard = any(part.op in _UNDECIDED for part in walk(answer))
    if not gold_hard and any(part.op == "rel" for side in (gold, answer) for part in walk(side)):
        return False  # it takes the last member of any chain
    if any(part.op == "const" and part.data == "inf" for part in walk(answer)) and not answer_hard:
        return False
    if any(part.op in _NOT_FOR_SYMPY for side in (gold, answer) for part in walk(side)):
        return False
    if not gold_hard and not answer_hard and not symbols(answer) and not symbols(gold):
        return False  # balls decide about constants, or nobody does
    if options.guard:
        return gold_hard or not (answer_hard or is_literal(gold))
    return True
