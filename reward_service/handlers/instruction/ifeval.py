r"""The instructions of IFEval whose published checkers are not used as they are.

What is decided here: the published verdicts, reached in linear time and without chance. The published code of these
looks through a response with patterns that are quadratic (`\[.*?\]`, `<<[^\n]+>>`, `^\s*\*`), uses words of
the row as patterns (`C++` raises), draws an argument at random where one is 0 or not a letter, or logs the response.
Differences in the verdict, all where the published one is chance or an accident: a keyword is literal text; a letter may
be any character; a text without letters is in no language; `zh` is any Chinese.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reward_service.handlers.instruction.language import detected

Arguments = Mapping[str, Any]
AT_LEAST = "at least"


def related(count: int, relation: str, threshold: float) -> bool:
    """`less than` or `at least`, the two relations that IFEval knows."""
    return count >= threshold if relation == AT_LEAST else count < threshold


def keywords(text: str, arguments: Arguments) -> bool:
    """Every keyword occurs, in any letter case, inside words too."""
    return all(re.search(re.escape(word), text, re.IGNORECASE) for word in arguments["keywords"])


def occurrences(text: str, word: str) -> int:
    """How often a word occurs, in any letter case, inside words too."""
    return len(re.findall(re.escape(word.strip()), text, re.IGNORECASE))


def keyword_frequency(text: str, arguments: Arguments) -> bool:
    """The keyword occurs less than, or at least, so many times."""
    return related(occurrences(text, arguments["keyword"]), arguments["relation"], arguments["frequency"])


def forbidden_words(text: str, arguments: Arguments) -> bool:
    """None of the words occurs as a whole word."""
    return not any(
        re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in arguments["forbidden_words"]
    )


def letter_frequency(text: str, arguments: Arguments) -> bool:
    """The character occurs less than, or at least, so many times, letter case aside."""
    count = text.lower().count(arguments["letter"].lower())
    return related(count, arguments["let_relation"], arguments["let_frequency"])


def response_language(text: str, arguments: Arguments) -> bool:
    """The whole response is in the language. A text that has letters but no language counts, as published."""
    if not any(character.isalpha() for character in text):
        return False
    found, wanted = detected(text), arguments["language"]
    return found is None or found == wanted or found.startswith(wanted + "-")


def english_capital(text: str, _: Arguments) -> bool:
    """English, and no lower-case letter."""
    return text.isupper() and detected(text) in {"en", None}


def english_lowercase(text: str, _: Arguments) -> bool:
    """English, and no capital letter."""
    return text.islower() and detected(text) in {"en", None}


def placeholders(text: str, arguments: Arguments) -> bool:
    """At least so many `[…]`, each on one line."""
    count = 0
    for line in text.split("\n"):
        at = 0
        while (start := line.find("[", at)) >= 0 and (end := line.find("]", start + 1)) >= 0:
            count += 1
            at = end + 1
    return bool(count >= arguments["num_placeholders"])


def postscript(text: str, arguments: Arguments) -> bool:
    """The marker of a postscript occurs, letter case aside."""
    text, marker = text.lower(), arguments["postscript_marker"].strip()
    if marker == "P.P.S":
        return re.search(r"p\.\s?p\.\s?s", text) is not None
    if marker == "P.S.":
        return re.search(r"p\.\s?s\.", text) is not None
    return marker.lower() in text


_STARS = re.compile(r"^[^\S\n]*+\*[^*].*$", re.MULTILINE)
_HYPHENS = re.compile(r"^[^\S\n]*+-.*$", re.MULTILINE)


def bullets(text: str, arguments: Arguments) -> bool:
    """Exactly so many lines begin with `*` or `-`."""
    return bool(len(_STARS.findall(text)) + len(_HYPHENS.findall(text)) == arguments["num_bullets"])


def title(text: str, _: Arguments) -> bool:
    """Something stands in `<<…>>` on one line."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start <= end - 3 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def sections(text: str, arguments: Arguments) -> bool:
    """At least so many headings `Section 1`."""
    marker = re.escape(arguments["section_spliter"].strip())
    return bool(len(re.findall(marker + r"\s?\d++", text)) >= arguments["num_sections"])


_TICKS = ("```json", "```Json", "```JSON", "```")


def json_format(text: str, _: Arguments) -> bool:
    """The whole response is JSON, in a fence or not."""
    text = text.strip()
    for ticks in _TICKS:
        text = text.removeprefix(ticks)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True
