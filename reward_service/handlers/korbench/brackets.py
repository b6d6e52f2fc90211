r"""Where a KOR-Bench answer stands: `[[…]]`, or a box.

What is decided here: brackets are matched, and a `\[` that opens display math is none of them. The official
pattern runs from the first `[[` to the next `]]`, and spans from `\[[` over pages (domains.md §1.2).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from reward_service.handlers._text import boxes

_BRACKET = re.compile(r"[\[\]]")
_LEFT = re.compile(r"\\left\s?\[\s?\\left\s?\[")
_RIGHT = re.compile(r"\\right\s?\]\s?\\right\s?\]")


def candidates(text: str) -> list[str]:
    """The contents of every `[[…]]` in order, brackets inside matched; a box outside of them is one as well."""
    text = _RIGHT.sub("]]", _LEFT.sub("[[", text)) if "\\left" in text else text
    found: list[tuple[int, int, str]] = []
    pairs, ends = _pairs(text), _ends(text)
    at = text.find("[[")
    while at >= 0:
        if at and text[at - 1] == "\\":  # opens display math; in \[[[24]]\] the answer opens behind it
            if text[at + 2 : at + 3] != "[":
                at = text.find("[[", at + 1)
                continue
            at += 1
        close = _close(text, at, pairs, ends)
        if close is not None:
            found.append((at, close, text[at + 2 : close - 1]))
        at = text.find("[[", at + 1 if close is None else close)
    if "box" in text:
        found += [
            (box.start, box.end, box.content)
            for box in boxes(text)
            if "[[" not in box.content and not any(start < box.start < end for start, end, _ in found)
        ]
    return [content for _, _, content in sorted(found)]


def _close(text: str, at: int, pairs: Mapping[int, int], ends: Sequence[int]) -> int | None:
    """Index of the last bracket of the `[[` at `at`: its matching pair, else the next `]]` if nothing opens before it."""
    close = pairs.get(at)
    if close is not None and text[close - 1] == "]" and pairs.get(at + 1, close) < close:
        return close
    later = bisect_left(ends, at + 2)
    following = text.find("[[", at + 2)
    if later == len(ends) or 0 <= following < ends[later]:
        return None
    return ends[later] + 1


def _pairs(text: str) -> dict[int, int]:
    """Index of the closing bracket for every opening one that has one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for bracket in _BRACKET.finditer(text):
        if bracket.group() == "[":
            opened.append(bracket.start())
        elif opened:
            pairs[opened.pop()] = bracket.start()
    return pairs


def _ends(text: str) -> list[int]:
    ends, at = [], text.find("]]")
    while at >= 0:
        ends.append(at)
        at = text.find("]]", at + 1)
    return ends
