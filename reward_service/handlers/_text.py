"""Where in a response the answer is, and which dress it wears. Shared by the handlers.

What is decided here, once for all of them: only the part after the last `</think>` counts, and a thinking
part that never ends has no answer; a box or tag must be closed; the dress that a model plausibly puts around
an answer (LaTeX text macros, markdown, quotes, unicode look-alikes) is taken off without changing what the
answer says. Everything here is linear in the length of the text: no pattern can backtrack.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from reward_service import narrate

TAIL = 1 << 18
"""Characters at the end of the final part that are looked at: an answer is never further from the end."""

_END_OF_TURN = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "</s>",
)
_THINK_CLOSE = ("</think>", "</thinking>")
_THINK_OPEN = ("<think>", "<thinking>")


class Span(NamedTuple):
    """A piece of the text: `text[start:end]` is the whole construct, `content` what is inside it."""

    start: int
    end: int
    content: str


def final_part(response: str) -> str:
    """What follows the last `</think>`, without end-of-turn tokens; "" if the thinking never ended."""
    end = len(response)
    while True:  # by index: a copy for each of many tokens would be quadratic
        while end and response[end - 1].isspace():
            end -= 1
        token = next((token for token in _END_OF_TURN if response.endswith(token, 0, end)), None)
        if token is None:
            break
        end -= len(token)
    text = whole = response[:end]
    cut = 0
    for close in _THINK_CLOSE:
        at = text.rfind(close)
        if at >= 0:
            cut = max(cut, at + len(close))
    text = text[cut:]
    if any(text.lstrip().startswith(opening) for opening in _THINK_OPEN):
        narrate.missing("the thinking never ends: there is no </think>, so nothing counts as the answer")
        return ""
    text = text[-TAIL:]
    narrate.part(response, text, len(whole) - len(text))
    return text


_BOX = re.compile(r"\\f?boxed\s*\{|\\fbox\s*\{")


def boxes(text: str) -> list[Span]:
    r"""Every closed, outermost `\boxed{…}` or `\fbox{…}` in order. A box that never closes is no box."""
    found: list[Span] = []
    at = 0
    # Made once a box doesn't close: looking for the end of each such box would be quadratic.
    pairs: dict[int, int] | None = None
    while (match := _BOX.search(text, at)) is not None:
        start = match.end() - 1
        end = closing_brace(text, start) if pairs is None else pairs.get(start)
        if end is None:
            pairs = _brace_pairs(text, start) if pairs is None else pairs
            # Nothing that starts later can be inside a closed pair of this one, but it may be closed itself.
            at = match.end()
            continue
        found.append(Span(match.start(), end + 1, text[match.end() : end]))
        at = end + 1
    return found


def closing_brace(text: str, start: int) -> int | None:
    r"""Index of the `}` that closes the `{` at `start`; `\{` and `\}` don't count. None if it never closes."""
    depth = 0
    for match in _BRACE.finditer(text, start):
        brace = match.group()
        if brace == "{":
            depth += 1
        elif brace == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return None


def _brace_pairs(text: str, start: int) -> dict[int, int]:
    """Index of the closing brace for every opening one from `start` on that has one, in one pass."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text, start):
        brace = match.group()
        if brace == "{":
            opened.append(match.start())
        elif brace == "}" and opened:
            pairs[opened.pop()] = match.start()
    return pairs


_BRACE = re.compile(r"\\[\\{}]|[{}]")


def tags(text: str, name: str) -> list[Span]:
    """Every closed `<name>…</name>` in order, in any letter case, over several lines. Innermost opening wins."""
    lower = text.lower()
    if len(lower) != len(text):  # a few characters change length in lower case
        lower = "".join(c.lower() if c.isascii() else c for c in text)
    opening, closing = f"<{name}>", f"</{name}>"
    found: list[Span] = []
    at = 0
    while (end := lower.find(closing, at)) >= 0:
        start = lower.rfind(opening, at, end)
        if start >= 0:
            inner = start + len(opening)
            found.append(Span(start, end + len(closing), text[inner:end]))
        at = end + len(closing)
    return found


class Fence(NamedTuple):
    """A closed code fence: its language (lower case, may be empty), its body, and where it stands."""

    language: str
    body: str
    start: int
    end: int


_FENCE_LINE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+#.-]*+)[^\n`]*+$", re.MULTILINE)


def fences(text: str) -> list[Fence]:
    """Every closed code fence in order. What closes it is as long as what opened it, and begins or ends its line.

    So a missing newline before the closing fence is tolerated, and "```" in the middle of a line is content.
    """
    found: list[Fence] = []
    at = 0
    while (opening := _FENCE_LINE.search(text, at)) is not None:
        mark = opening.group(1)
        start = opening.end() + 1
        close = _closing_fence(text, mark, start)
        if close < 0 and len(mark) > 3:  # a slip that models make
            mark = mark[:3]
            close = _closing_fence(text, mark, start)
        if close < 0:
            break
        end = close + len(mark)
        found.append(Fence(opening.group(2).lower(), text[start:close].rstrip("\n"), opening.start(), end))
        line_end = text.find("\n", close)
        at = len(text) if line_end < 0 else line_end
    return found


def _closing_fence(text: str, mark: str, start: int) -> int:
    """Index of the first `mark` from `start` on that begins or ends its line; -1 if there is none."""
    while start <= len(text):
        line_end = text.find("\n", start)
        line = text[start : line_end if line_end >= 0 else len(text)]
        if line.lstrip().startswith(mark):
            return start + line.index(mark)
        if (bare := line.rstrip()).endswith(mark):
            return start + len(bare.rstrip(mark[0]))
        if line_end < 0:
            break
        start = line_end + 1
    return -1


_DASHES = "‐‑‒–—―−﹘﹣－"
_TRANSLATE = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys("‘’‚‛′＇`´", "'"),
        **dict.fromkeys("“”„‟″＂", '"'),
        **dict.fromkeys(
            "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f", None),
        "∣": "|",
        "｜": "|",
    }
)


def plain_characters(text: str) -> str:
    """Unicode look-alikes as the characters they stand for: dashes, quotes, spaces, full-width forms."""
    if text.isascii():
        return text
    text = _RAISED.sub(_lowered, _MARKS.sub(_few_marks, text.translate(_TRANSLATE)))
    return unicodedata.normalize("NFKC", text).translate(_TRANSLATE)


_RAISED = re.compile(r"(?<=[0-9])(?:[⁰¹²³⁴-⁹⁺⁻]+|[¼-¾⅐-⅞])")


def _lowered(match: re.Match[str]) -> str:
    """What NFKC would glue to the digit before: 10² is 10^2 and not 102, 2½ is 2 1/2."""
    piece = unicodedata.normalize("NFKC", match.group())
    return " " + piece if "\u2044" in piece else "^" + piece


_HIDDEN_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
"""Characters that are no combining marks, and that normal form makes into some."""
_MARKS = re.compile(rf"(?:[^\w\x00-\x7f]|[{_HIDDEN_MARKS}]){{31,}}")


def _few_marks(match: re.Match[str]) -> str:
    """At most 30 combining marks in a row (UAX #15's stream-safe text): putting more in order is quadratic."""
    kept: list[str] = []
    run = 0
    for character in match.group():
        run = run + 1 if unicodedata.combining(character) or character in _HIDDEN_MARKS else 0
        if run <= 30:
            kept.append(character)
    return "".join(kept)


_MACRO = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|textup|textnormal|emph|underline|mathrm|mathbf|mathit|mathsf|"
    r"mathtt|mathnormal|operatorname\*?|mbox|hbox|bf|rm|bm|boldsymbol|ensuremath|displaystyle)\s*\{"
)


def unwrap_macros(text: str) -> str:
    r"""`\text{x}`, `\mathbf{x}` and their like as `x`, at any depth."""
    macros = list(_MACRO.finditer(text)) if "\\" in text else []
    if not macros:
        return text
    pairs = _brace_pairs(text, macros[0].end() - 1)
    dress: list[tuple[int, int]] = []
    for macro in macros:
        end = pairs.get(macro.end() - 1)
        if end is not None:
            dress += (macro.span(), (end, end + 1))
    pieces: list[str] = []
    at = 0
    for start, end in sorted(dress):
        pieces.append(text[at:start])
        at = end
    return "".join(pieces) + text[at:]


_PAIRS = (
    ("**", "**"),
    ("__", "__"),
    ("``", "``"),
    ("`", "`"),
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ('"', '"'),
    ("'", "'"),
    ("''", "''"),
    ("*", "*"),
)


def peel(text: str) -> str:
    """Markdown emphasis, code marks, math delimiters, quotes and one full stop around the whole text, taken off.

    A pair is taken off only when it encloses the whole and does not occur inside.
    """
    text = text.strip()
    changed = True
    while changed and text:
        changed = False
        for opening, closing in _PAIRS:
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and opening not in (inner := text[len(opening) : -len(closing)])
                and closing not in inner
            ):
                text = inner.strip()
                changed = True
        bare = text[:-1].rstrip() if text.endswith(".") else ""
        if bare and not bare.endswith("."):
            text = bare
            changed = True
    return text


_SPACES = re.compile(r"\s+")


def collapse(text: str) -> str:
    """Runs of white space as one space, none at the ends."""
    return _SPACES.sub(" ", text).strip()


_ANSWER_LINE = re.compile(r"(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is|\s*:|\s*=)\s*:?", re.IGNORECASE)


def answer_lines(text: str) -> Iterator[str]:
    """What follows "answer is", "Answer:" and their like up to the end of the line, in order."""
    for line in text.splitlines():
        ends = [match.end() for match in _ANSWER_LINE.finditer(line)]
        if ends:
            yield line[ends[-1] :].strip().lstrip("*_ ").strip()
