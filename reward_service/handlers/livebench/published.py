"""The guru profile of LiveBench's tasks: what the published scorers pay, where that is deterministic and bounded.

What is decided here: LiveBench's own rules in the versions that Reasoning360 dispatches (guru.md §2a: the old
evaluators of zebra_puzzle and connections), written anew over linear scans. The whole response is read,
thinking too, as there. Where the published code would raise, the answer is malformed; a key given twice in a
tablejoin answer is refused instead of the last one winning; plots beyond a bound on the work are not matched.
tablereformat has no published rule that works, and is judged by the strict one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import pairwise, product

from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers._text import boxes
from reward_service.handlers.livebench.extract import NO_GOLD, gold_text, verdict
from reward_service.handlers.livebench.language import GROUP, edit_distance
from reward_service.handlers.livebench.puzzles import NUMBERS
from reward_service.types import Item, Outcome, Reason, malformed, reject


def between(text: str, opening: str, closing: str, *, lines: bool) -> list[str]:
    """The texts between the marks, shortest first as a lazy pattern takes them; with `lines`, each on one line."""
    found: list[str] = []
    for line in text.split("\n") if lines else (text,):
        at = line.find(opening)
        while at >= 0:
            end = line.find(closing, at + len(opening))
            if end < 0:
                break
            found.append(line[at + len(opening) : end])
            at = line.find(opening, end + len(closing))
    return found


def _boxed(text: str) -> str | None:
    found = boxes(text) if "box" in text else []
    return found[-1].content.replace("$", "") if found else None


_TEXT = re.compile(r"\\text\{|\}|\\")
_NOT_WORD = re.compile(r"[^\w]")


def cta(item: Item) -> Outcome:
    """The last box, else the whole response, has the letters and digits of the class."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    boxed = _boxed(item.response)
    answer = item.response if boxed is None else _TEXT.sub("", boxed)
    name, wanted = (_NOT_WORD.sub("", text.lower().strip()) for text in (answer, gold))
    return verdict(float(name == wanted != ""), answer, item)


def tablejoin(item: Item) -> Outcome:
    """F1 over the pairs of the last code block's dictionary, to two places."""
    gold = item.ground_truth
    if isinstance(gold, str):
        try:
            gold = parse_literal(gold)
        except LiteralError:
            gold = None
    if not isinstance(gold, dict) or not gold:
        return malformed("the ground truth is an object: names of columns, and the columns they join")
    flat = item.response.replace("\n", "")
    blocks = between(flat, "```python", "```", lines=False) or between(flat, "```", "```", lines=False)
    if not blocks and (boxed := _boxed(flat)) is not None:
        blocks = [boxed.replace("\\", "")]
    try:
        answer = parse_literal(blocks[-1] if blocks else item.response)
    except LiteralError:
        answer = None
    if not isinstance(answer, dict) or not answer:
        return verdict(0.0, "", item, wrong=Reason.MALFORMED_ANSWER)
    right = wrong = missed = 0
    for name, partner in answer.items():
        wanted = gold.get(name)
        if wanted and wanted == partner:
            right += 1
        else:
            wrong += 1
            missed += bool(wanted)
    missed += sum(not answer.get(name) for name in gold)
    return verdict(round(2 * right / (2 * right + wrong + missed), 2), str(answer), item)


# ---------------------------------------------------------------- reasoning


_TRUTHS = ("yes", "no", "unknown")


def _last_triple(text: str) -> str | None:
    lower = text.lower()
    triples = [", ".join(words) for words in product(_TRUTHS, repeat=3)]
    # As published: by where each of the 27 triples is found first, the last one.
    at, triple = max((lower.find(triple), triple) for triple in triples)
    return triple if at >= 0 else None


def web_of_lies_v2(item: Item) -> Outcome:
    """A solution, else the last three truth words in bold, else a box, else a plain list."""
    gold = (gold_text(item) or "").lower()
    if not gold:
        return NO_GOLD
    text = item.response
    solutions = between(text, "<solution>", "</solution>", lines=True)
    answer = solutions[-1] if solutions else None
    if answer is None:
        words = [
            word.lower().strip(",.*")
            for part in between(text, "**", "**", lines=True)
            for word in part.split()
        ]
        answer = ", ".join([word for word in words if word in _TRUTHS][-3:]) or None
    if answer is None or not answer.strip():
        answer = _boxed(text.replace("\\textbf{", "\\boxed{")) or answer
    if answer is None:
        answer = _last_triple(text)
    if not answer:
        return reject(Reason.NO_ANSWER)
    three = sum(map(answer.count, _TRUTHS)) == 3
    return verdict(float(answer == gold or (three and gold in answer)), answer, item)


def web_of_lies_v3(item: Item) -> Outcome:
    """Half for the share of words that are right by position, half for all of them."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    solutions = between(item.response, "<solution>", "</solution>", lines=True)
    answer = solutions[-1] if solutions else _boxed(item.response.replace("\\textbf{", "\\boxed{"))
    if answer is None:
        answer = _last_triple(item.response)
    if answer is None:
        return reject(Reason.NO_ANSWER)
    wanted = gold.split(",")
    right = sum(left == word for left, word in zip(wanted, answer.split(","), strict=False))
    return verdict(((right == len(wanted)) + right / len(wanted)) / 2, answer, item)


def house_traversal(item: Item) -> Outcome:
    """The names in the last bold passages, one each, or in order within the last one."""
    gold = (gold_text(item) or "").lower().split(" ")
    passages = between(item.response.lower(), "**", "**", lines=True)
    if gold == [""]:
        return NO_GOLD
    if not passages:
        return reject(Reason.NO_ANSWER)
    each = passages[-len(gold) :]
    if len(each) == len(gold) and all(name == passage for name, passage in zip(gold, each, strict=True)):
        return verdict(1.0, passages[-1], item)
    places = [passages[-1].find(name) for name in gold]
    ordered = min(places) >= 0 and all(left < right for left, right in pairwise(places))
    return verdict(float(ordered), passages[-1], item)


_TRIPLE = re.compile(r"\*\*\*(\w+)\*\*\*")


def zebra_puzzle(item: Item) -> Outcome:
    """The old evaluator: the last ***word***, else the last word of the response."""
    gold = (gold_text(item) or "").lower()
    if not gold:
        return NO_GOLD
    bold = _TRIPLE.findall(item.response)
    words = re.findall(r"\w+", item.response[-1_000:])
    word = bold[-1] if bold else words[-1] if words else ""
    if not word:
        return reject(Reason.NO_ANSWER)
    spelled = {digit: name for name, digit in NUMBERS.items() if 1 <= int(digit) <= 9}
    return verdict(float(gold in (word.lower(), spelled.get(word), f"{word.lower()} movies")), word, item)


def spatial(item: Item) -> Outcome:
    """One of the last three bold passages is the ground truth, or holds its shape."""
    gold = (gold_text(item) or "").lower()
    if not gold:
        return NO_GOLD
    passages = [passage.strip().lower() for passage in re.findall(r"\*\*([^*]+)\*\*", item.response)][-3:]
    for passage in reversed(passages):
        shape = gold in ("tetrahedra", "tetrahedron", "triangle", "square")
        if gold in (passage, NUMBERS.get(passage)) or (
            shape and gold in passage and len(passage) < 2 * len(gold) + 5
        ):
            return verdict(1.0, passage, item)
    return verdict(0.0, passages[-1], item) if passages else reject(Reason.NO_ANSWER)


# ---------------------------------------------------------------- language


def typos(item: Item) -> Outcome:
    """The ground truth stands somewhere in the response, line breaks aside."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    text = " ".join(filter(None, item.response.split("\n")))
    return verdict(float(gold in text), text[-2_000:], item)


def connections(item: Item) -> Outcome:
    """The old evaluator: the best share of groups over all bold passages."""
    gold = _groups((gold_text(item) or "").split(","))
    if not gold[0] or gold[0] == {""}:
        return NO_GOLD
    passages = between(item.response.replace("\n", ""), "**", "**", lines=False)
    if not passages:
        return reject(Reason.NO_ANSWER)
    best, shown = 0, passages[-1]
    for passage in passages:
        groups = _groups(passage.split(","))
        right = sum(any(wanted <= group for group in groups) for wanted in gold)
        best, shown = max((best, shown), (right, passage), key=lambda pair: pair[0])
    return verdict(best / len(gold), shown, item)


def _groups(words: Sequence[str]) -> list[set[str]]:
    """Consecutive words; a group is full when it has four different ones."""
    groups: list[set[str]] = [set()]
    for word in words:
        if len(groups[-1]) == GROUP:
            groups.append(set())
        groups[-1].add(word.strip().lower())
    return groups


MAX_PAIRS = 10_000
MAX_SENTENCE = 4_000
MAX_WORK = 40_000_000
"""Pairs and characters of sentences, and characters of gold times those of the answer: difflib compares all with all."""


def plot_unscrambling(item: Item) -> Outcome:
    """Each sentence's best match, however bad; one minus the edit distance of their order."""
    gold = [part.strip() for part in (gold_text(item) or "").split(".") if part.strip()]
    if not gold:
        return NO_GOLD
    text = item.response.partition("<PLOT_SUMMARY>")[2] or item.response
    answer = [part.strip() for part in text.split(".") if part.strip()]
    if not answer:
        return reject(Reason.NO_ANSWER)
    work = sum(map(len, gold)) * sum(map(len, answer))
    if len(gold) * len(answer) > MAX_PAIRS or work > MAX_WORK or max(map(len, answer)) > MAX_SENTENCE:
        return reject(Reason.BUDGET_EXCEEDED, flags=("oversized_answer",))
    order = [answer.index(difflib.get_close_matches(part, answer, n=1, cutoff=0.0)[0]) for part in gold]
    return verdict(1 - edit_distance(list(range(len(gold))), order) / len(gold), text[:2_000], item)
