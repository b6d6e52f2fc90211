"""LiveBench's language tasks: connections, typos, plot_unscrambling.

What is decided here:
- connections: a list of words whose groups of four (the first four, the next four, …) are the ground truth's
  groups, in any order: the share of groups that are right. Each group is paid once (the official rule pays a
  right group again for every copy), and more words than the puzzle has are wrong.
- typos: the text, corrected and otherwise untouched. Prose around it is left out as long as it is shorter
  than half the text: the official rule only looks for the text anywhere in the response, and so pays for
  writing every version.
- plot_unscrambling: the order of the sentences, `1 - edit distance / number of sentences` (official). A
  sentence is found by its words, exactly or at nine tenths of them, and once; text that is no sentence of the
  plot takes its place in the order, and costs what an insertion costs (but for one piece before the plot and
  one behind it). The official rule gives every sentence its best match however bad, so that any text earns
  something.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from reward_service.handlers._logic import undress
from reward_service.handlers._qa import readings
from reward_service.handlers._text import collapse, fences, final_part, peel, plain_characters, tags
from reward_service.handlers.livebench.extract import (
    MAX_CHARS,
    NO_GOLD,
    Found,
    find,
    gold_text,
    missing,
    verdict,
)
from reward_service.types import Item, Outcome, Reason, reject

# ---------------------------------------------------------------- connections


GROUP = 4
_LINE = re.compile(r"\s*(?:[-*•]|\d+[.):]|group \d+:?|[^,:\n]{1,60}:)\s*", re.IGNORECASE)


def connections(item: Item) -> Outcome:
    """The share of groups of four that are right."""
    gold = _groups([_word(word) for word in (gold_text(item) or "").split(",")])
    if not gold:
        return NO_GOLD
    found = find(item.response)
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    most = GROUP * len(gold)
    best, over = 0, True
    for words in _lists(found, most):
        if 0 < len(words) <= most:
            over = False
            best = max(best, len(Counter(_groups(words)) & Counter(gold)))
    wrong = Reason.AMBIGUOUS_ANSWER if over else Reason.NOT_EQUAL
    return verdict(best / len(gold), found.shown, item, found.flags, wrong)


def _lists(found: Found, most: int) -> list[list[str]]:
    """The answer as a list of words; lines (a group each) may begin with a number or a name of the group."""
    lists = [_words(text) for text in readings(found.content)]
    if found.passages and len(lists[0]) == GROUP < most:  # each group in bold
        groups: list[list[str]] = []
        for passage in reversed(found.passages[-(most // GROUP) :]):
            words = _words(passage)
            if len(words) != GROUP:
                break
            groups.insert(0, words)
        lists.append([word for words in groups for word in words])
    return lists


def _words(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        lines = [_LINE.sub("", line, count=1) if _LINE.match(line) else line for line in lines]
    pieces = ",".join(line.strip().strip("[]()") for line in lines).split(",")
    return [word for word in map(_word, pieces) if word]


def _word(text: str) -> str:
    return collapse(peel(plain_characters(text))).casefold()


def _groups(words: Sequence[str]) -> list[frozenset[str]]:
    groups = [frozenset(words[at : at + GROUP]) for at in range(0, len(words), GROUP)]
    return [group for group in groups if group and "" not in group]


# ---------------------------------------------------------------- typos


def typos(item: Item) -> Outcome:
    """The corrected text, with little else around it."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    text = final_part(item.response)
    solutions = tags(text, "solution")
    content = solutions[-1].content if solutions else text
    fenced = fences(content)
    content = fenced[-1].body if fenced else content
    if len(content) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",))
    answer, wanted = _spaced(content), _spaced(gold)
    if not answer:
        return reject(Reason.NO_ANSWER)
    if answer == wanted or _spaced(peel(content)) == wanted:
        return verdict(1.0, answer, item)
    at = answer.find(wanted)
    if at < 0:
        return verdict(0.0, answer, item)
    before, after = answer[:at], answer[at + len(wanted) :]
    whole = not before[-1:].isalnum() and not after[:1].isalnum()
    alone = len(before) + len(after) <= len(wanted) // 2
    return verdict(
        float(whole and alone), answer, item, wrong=Reason.NOT_EQUAL if alone else Reason.AMBIGUOUS_ANSWER
    )


def _spaced(text: str) -> str:
    return collapse(plain_characters(text))


# ---------------------------------------------------------------- plot_unscrambling


MAX_SENTENCES = 200
_CLOSE = 0.9
_OPENING = "<PLOT_SUMMARY>"
_CUT = re.compile(r"\.|\n[ \t]*\n|:[ \t]*\n")


def plot_unscrambling(item: Item) -> Outcome:
    """One minus the edit distance between the order of the sentences and the right one, as a share of them."""
    gold = _sentences(gold_text(item) or "")
    if not gold or len(gold) > MAX_SENTENCES:
        return NO_GOLD
    text = _plot(final_part(item.response))
    if len(text) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",))
    answer = _sentences(text)
    if not answer:
        return reject(Reason.NO_ANSWER)
    if len(answer) > 2 * MAX_SENTENCES:
        return reject(Reason.BUDGET_EXCEEDED, flags=("oversized_answer",))
    order = _order(gold, answer)
    distance = edit_distance(list(range(len(gold))), order)
    return verdict(max(0.0, 1 - distance / len(gold)), collapse(text), item)


def _plot(text: str) -> str:
    at = text.rfind(_OPENING)
    if at >= 0:
        return text[at + len(_OPENING) :].partition("</PLOT_SUMMARY>")[0]
    solutions = tags(text, "solution")
    return undress(solutions[-1].content) if solutions else text


def _sentences(text: str) -> list[tuple[str, ...]]:
    """The words of every piece between full stops, as the official rule cuts, and between paragraphs."""
    pieces = (tuple(re.findall(r"\w+", plain_characters(piece).casefold())) for piece in _CUT.split(text))
    return [piece for piece in pieces if piece]


def _order(gold: Sequence[tuple[str, ...]], answer: Sequence[tuple[str, ...]]) -> list[int]:
    """For each sentence of the answer its place in the gold, -1 for none; each place is taken once."""
    places: dict[tuple[str, ...], list[int]] = {}
    for at, sentence in enumerate(gold):
        places.setdefault(sentence, []).append(at)
    order = [places[sentence].pop(0) if places.get(sentence) else -1 for sentence in answer]
    free = [(at, Counter(gold[at])) for at in sorted(place for left in places.values() for place in left)]
    for number, sentence in enumerate(answer):
        if order[number] < 0 and free:
            words = Counter(sentence)
            likeness = [2 * (words & wanted).total() / (words.total() + wanted.total()) for _, wanted in free]
            best = max(range(len(free)), key=likeness.__getitem__)
            if likeness[best] >= _CLOSE:
                order[number] = free.pop(best)[0]
    # A sentence before the plot and one behind it are no part of it.
    start, end = int(order[0] < 0), len(order) - int(order[-1] < 0)
    return order[start:end]


def edit_distance(left: Sequence[int], right: Sequence[int]) -> int:
    """Levenshtein distance, one row at a time."""
    row = list(range(len(right) + 1))
    for number, one in enumerate(left, 1):
        above, row[0] = row[0], number
        for at, other in enumerate(right, 1):
            above, row[at] = row[at], min(above + (one != other), row[at] + 1, row[at - 1] + 1)
    return row[-1]
