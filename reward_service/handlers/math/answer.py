r"""Where in a response the answer is.

What is decided here, in this order, on what follows the last `</think>`:

1. The last closed, outermost `\boxed{…}` or `\fbox{…}`. Boxes that follow each other with nothing but
   commas, "and" or "or" between them are one answer in parts: joined where the ground truth has parts,
   `ambiguous_answer` where it has one. A box that was taken back by a later one, further on, doesn't count.
2. Without a box, and where the data source's rule names it: what follows the last `####`; the last "Answer:
   …" or "The final answer is …" line. More than two different such lines are a list of guesses: ambiguous.
3. A statement behind the box that says another answer makes it ambiguous (the caller compares the two).

The whole response is never the answer. `anywhere` is another mode, off by default, for evaluation dumps of
models that box nothing: it goes on with the last formula and the last number. A thinking part that never ends
has no answer, and a box that never closes is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from reward_service import narrate
from reward_service.handlers._text import answer_lines, boxes, closing_brace, final_part
from reward_service.handlers.math.normal import repaired

MAX_ANSWER = 4_000
"""Characters of one extracted answer; a longer one isn't looked at."""
MAX_LINES = 2
"""Different "Answer:" or `####` lines that are still a correction rather than a list of guesses."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. parts: the answer, or its parts in order; behind: a later statement of an answer.

    how: "box" | "hash" | "line" | "anywhere" | "" (nothing). guesses: how many different answers stood there. either:
    an "or" stands between the parts: of conditions, each alone is offered, and not all at once.
    """

    parts: tuple[str, ...] = ()
    how: str = ""
    behind: str | None = None
    guesses: int = 1
    either: bool = False


MARKERS = frozenset(("box", "hash", "line"))

_JOINT = re.compile(
    r"(?:\s|[$.,;:~&+]|\\[\[\]()!,;: ]|\\quad|\\qquad|\\text\s*\{|\}|\band\b|\bor\b|\\\\)*", re.IGNORECASE
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_JOINING_WORD = re.compile(r"\band\b|\bor\b|,|;", re.IGNORECASE)
_NEAR = 20
"""Characters between two boxes that hold a joining word: `\\boxed{2} for x and \\boxed{3}`."""


def find(response: str, markers: frozenset[str] = MARKERS) -> Found:
    """The answer by the documented rule; `Found()` if there is none."""
    text = final_part(response)
    if not text:
        return Found()
    if "box" in markers and "box" in text:
        spans = boxes(text)
        filled = [span for span in spans if not _EMPTY.fullmatch(span.content)]
        spans = filled or spans[-1:]  # "put it into \\boxed{}" is no answer
        if not spans:
            broken = _escaped_close(text)
            if broken:
                narrate.found_text("a last box whose closing brace was taken for a bracket", broken)
                return Found((broken,), "box")
        else:
            first = len(spans) - 1
            while first > 0 and _joined(text[spans[first - 1].end : spans[first].start]):
                first -= 1
            parts = tuple(span.content[:MAX_ANSWER].strip() for span in spans[first:])
            distinct = len({span.content.strip() for span in spans})
            rule = "the last closed box" if first == len(spans) - 1 else "the last run of boxes"
            narrate.found(rule, text, spans[first].start, spans[-1].end)
            gaps = [text[one.end : other.start] for one, other in pairwise(spans[first:])]
            either = any(map(_OR.search, gaps))
            return Found(parts, "box", _statement(text[spans[-1].end :]), distinct, either)
    if "hash" in markers and "####" in text:
        lines = _hash_lines(text)
        if lines:
            narrate.found_text("what follows the last ####", lines[-1])
            return _last(lines, "hash")
    if "line" in markers:
        lines = _lines(text)
        if lines:
            narrate.found_text('the last line that says "answer is" or "Answer:"', lines[-1])
            return _last(lines, "line")
    if narrate.listening():
        narrate.missing(_lacking(text, markers))
    return Found()


_LACKING = {"box": "no closed \\boxed{…}", "hash": "no ####", "line": 'no line "The answer is …"'}


def _lacking(text: str, markers: frozenset[str]) -> str:
    """What was looked for and isn't there."""
    wanted = ", ".join(said for marker, said in _LACKING.items() if marker in markers)
    opened = " (a box is opened and never closed)" if "boxed{" in text else ""
    return f"{wanted} in the part that counts{opened}"


_EMPTY = re.compile(r"[\s{}$.]*")
_NUMERAL = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)


def boxed_number(response: str) -> str | None:
    """The number in the response's only box, where nothing else could be meant; the most frequent case by far.

    None says nothing: `find` decides then. It is an integer or a decimal, with a minus and separators at most.
    """
    at = response.rfind("\\boxed{")
    if at < 0:
        return None
    end = response.find("}", at, at + 24)
    content = response[at + 7 : end]
    if end < 0 or not content.isascii() or not (content.isdigit() or _NUMERAL.fullmatch(content)):
        return None
    if response.find("box") != at + 1 or "think" in response:
        return None
    tail = response[end + 1 :]
    if "nswer" in tail or "####" in tail or "NSWER" in tail:
        return None
    return content


def _escaped_close(text: str) -> str:
    r"""`\boxed{185\}` at the very end: the closing brace was taken for a bracket of a set."""
    at = text.rfind("\\boxed{")
    if at < 0:
        return ""
    content, closed, rest = text[at + 7 :].rpartition("\\}")
    return content if closed and not rest.strip(" .$\n") and not set("{}") & set(content) else ""


def _joined(gap: str) -> bool:
    """Do two boxes with this between them belong to one answer?"""
    if len(gap) > 200:
        return False
    if _JOINT.fullmatch(gap):
        return True
    bare = _JOINT_DRESS.sub(" ", gap)
    bare = " ".join(bare.split())
    return (
        len(bare) <= _NEAR
        and _JOINING_WORD.search(bare) is not None
        and "=" not in bare[:1]
        and "\n\n" not in gap
    )


_JOINT_DRESS = re.compile(r"\\(?:quad|qquad|text|[\[\]()!,;: ])|[${}]")


def _last(lines: list[str], how: str) -> Found:
    guesses = len(dict.fromkeys(lines))
    return Found((lines[-1],), how, None, guesses)


def _hash_lines(text: str) -> list[str]:
    out = []
    for piece in text.split("####")[1:]:
        line = piece.partition("\n")[0].strip()[:MAX_ANSWER]
        if line:
            out.append(line)
    return out


def _lines(text: str) -> list[str]:
    return [line for line in (_trimmed(line) for line in answer_lines(text)) if line]


def _statement(tail: str) -> str | None:
    """What the last "answer is" or `####` behind a box says, if it says something readable."""
    if "nswer" not in tail and "NSWER" not in tail and "####" not in tail:
        return None
    found = None
    for line in _lines(tail):
        found = line
    for line in _hash_lines(tail):
        found = line
    return found


_HOPE = re.compile(r"\.\s+I hope it is correct.*|\.\s*$", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?](?=\s+[A-Z])")


def _trimmed(line: str) -> str:
    """One answer line without markdown, delimiters around it and the next sentence."""
    line = line[:MAX_ANSWER].strip().strip("*_ ").strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if line.startswith(opening):
            end = line.find(closing, len(opening))
            rest = line[end + len(closing) :].strip(" .*_") if end > 0 else "?"
            if end > 0 and (not rest or rest[0].isupper()):
                return line[len(opening) : end].strip()
    cut = _SENTENCE.search(line)
    if cut is not None:
        line = line[: cut.start()]
    return line.strip().rstrip(".").strip("*_ ").strip()


# Anywhere


_INLINE = re.compile(
    r"\$\$(?P<double>[^$]+)\$\$|(?<!\\)\$(?P<dollar>(?:\\.|[^$\\])+?)\$|\\\((?P<paren>.+?)\\\)|\\\[(?P<bracket>.+?)\\\]",
    re.DOTALL,
)
_BROKEN_INLINE = re.compile(
    r"(?<![$\\])\$(?!\$)[^$\n]*\n[^$]*\$(?!\$)|\\\([^\n]{0,200}?\n.{0,2000}?\\\)", re.DOTALL
)
"""An inline formula doesn't hold a line break: such delimiters belong to something else."""
_SQUARE = re.compile(r"\[([^\[\]\n]{1,200})\]")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])[-−]?[$€£]?(?:\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)(?:\s?/\s?\d+)?(?:\s*(?:%|percent\b|pct\b|degrees\b|m²))?(?![A-Za-z0-9_])"
)
_EQUALS = re.compile(r"[A-Za-z]\s*(?:<=|>=|!=|=|<|>|\\[a-z]+)\s*\S.*$")
_TAIL = 4_000


def candidates(response: str) -> Iterator[str]:
    """What may be the answer of an unmarked text, best first. Only for evaluation dumps."""
    if "\\\\boxed" in response:  # through JSON twice
        response = repaired(response)
    found = find(response)
    text = final_part(response) or response
    if found.behind is not None:
        yield found.behind
    if found.how == "box":
        tail = text[text.rfind("boxed") :][:MAX_ANSWER]
        joined = ", ".join(found.parts)
        sign = (
            re.match(r"[^}]*\}[$\s]*(%|percent|pct)", tail)
            if len(found.parts) == 1 and "%" not in joined
            else None
        )
        yield joined + ("%" if sign else "")
        return
    if "boxed" in text:  # a box that a stray dollar or brace broke
        at = text.rfind("boxed")
        start = text.find("{", at)
        if start >= 0:
            end = closing_brace(text, start)
            yield text[start + 1 : end if end is not None else len(text)][:MAX_ANSWER]
    end = text.find("<|im_start|>")
    if end > 0:
        text = text[:end]
    text = text[-_TAIL * 4 :]
    if found.how:
        line = found.parts[0]
        yield line
        yield from _inside(line)
    text = _BROKEN_INLINE.sub(" ", text)
    lines = [line for line in text.splitlines() if line.strip()]
    whole = text.strip()
    if len(whole) <= 300 and len(lines) <= 3:
        yield whole
        if whole.startswith("$") and whole.endswith("$"):
            yield whole.strip("$")
    yield from _inside(text)


def _inside(text: str) -> Iterator[str]:
    """The last formula, the last bracket, what the last sentence says is, the last number."""
    text = text[-_TAIL:]
    formulas = list(_INLINE.finditer(text))
    hope = _HOPE.sub("", text.strip())
    last_line = _SENTENCE.split(hope.rstrip().rpartition("\n")[2])[-1]
    if formulas:
        last = formulas[-1]
        content = next(group for group in last.groups() if group is not None)
        sign = re.match(r"\s*(?:%|percent\b|pct\b)", text[last.end() :])
        behind = text[last.end() :].strip(" .\n")
        if not re.search(r"\d", behind):
            before = text[: last.start()]
            if re.search(r"\\(?:in|le|ge)\s*$|[<>=]\s*$", before[-12:]) is None:
                yield content + ("%" if sign else "")
    square = _SQUARE.findall(last_line)
    if square:
        yield square[-1]
    for copula in (" is ", " are ", " by ", "= "):
        _, found, tail = last_line.rpartition(copula)
        if found and tail.strip():
            yield tail.strip(" .*")
    relation = _EQUALS.search(last_line)
    if relation is not None:
        yield relation.group()
        words = relation.group().split()
        if len(words) > 3:
            yield " ".join(words[:3])
    numbers = _NUMBER.findall(last_line) or _NUMBER.findall(text)
    if numbers:
        yield numbers[-1]
    if formulas:
        yield next(group for group in formulas[-1].groups() if group is not None)
