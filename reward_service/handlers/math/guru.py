r"""The published scorers' rules, for comparing old runs (`profile: guru`).

What is decided here: which published rule a data source follows, and where we leave it because it isn't
deterministic or safe. `naive_dapo` (guru.md §2a) is the default; `extra_info.reward_metric: "prime_math"` and
`numina_*` take prime_math's; GSM8K, MATH, DAPO/AIME and geometry3k have their own (guru.md §2b). Left out:
the evaluation of responses (`handle_pi`, sympy's `parse_expr`), whose place balls take; timers that read a
busy machine as a wrong answer; the judge model. DAPO's −1/+1 becomes 0/1, because a score lies in [0, 1]. The
defects of guru.md §5.1 that are deterministic stay: no box means the whole response, an unreduced fraction is
wrong, and prime_math pays a hundredth and a hundredfold and a relative error of 1e-4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from reward_service.handlers._text import boxes
from reward_service.handlers.math.expression import parse
from reward_service.handlers.math.identity import equal_values
from reward_service.handlers.math.nodes import MAX_CHARS, BudgetError, Node, ParseError
from reward_service.handlers.math.normal import undress
from reward_service.handlers.math.rational import exact
from reward_service.types import NOTHING, Item, Outcome, Reason, accept, reject, scored

TAIL = 1 << 15
"""Characters of a response without a box that are taken for the answer."""
DAPO_TAIL = 300

Rule = Callable[[str, str], "tuple[bool, str | None]"]


def published(item: Item, gold: str) -> Outcome:
    """The outcome under the data source's published rule."""
    rule, name = _rule(item)
    trace = {"gold": gold, "rule": name} if item.explain else NOTHING
    if name == "geometry3k":
        return _geometry3k(item.response, gold, trace)
    correct, answer = rule(item.response, gold)
    if answer is None:
        return reject(Reason.NO_ANSWER, trace=trace, rule=name)
    if correct:
        return accept(answer, trace=trace, rule=name)
    return reject(Reason.NOT_EQUAL, answer, trace=trace, rule=name)


def _rule(item: Item) -> tuple[Rule, str]:
    if (
        item.extra_info.get("reward_metric") == "prime_math"
        or item.source == "numina_*"
        or item.data_source.startswith("numina_")
    ):
        return prime_math, "prime_math"
    if item.source == "openai/gsm8k":
        return gsm8k, "gsm8k"
    if item.source == "lighteval/math":
        return hendrycks, "math"
    if item.source == "aime*" or (
        item.source == "math_dapo" and item.extra_info.get("reward_metric") == "math_dapo"
    ):
        return math_dapo, "math_dapo"
    if item.source == "hiyouga/geometry3k":
        return naive_dapo, "geometry3k"
    return naive_dapo, "naive_dapo"


def _last_box(text: str) -> str | None:
    spans = boxes(text)
    return spans[-1].content if spans else None


# naive_dapo


def naive_dapo(response: str, gold: str) -> tuple[bool, str | None]:
    """Equal after Hendrycks's normalisation, or part by part: the same kind of number and equal in value."""
    text = response.rpartition("</think>")[2]
    answer = _last_box(text)
    if answer is None:
        answer = text[-TAIL:].strip()
    if not answer:
        return False, None
    if normalised(answer) == normalised(gold):
        return True, answer
    if len(answer) > MAX_CHARS:
        return False, answer
    mine, theirs = _compact(gold), _compact(answer)
    if mine == theirs:
        return True, answer
    one, other = _split(mine), _split(theirs)
    if len(one) != len(other) or (len(one) > 1 and (mine[0], mine[-1]) != (theirs[0], theirs[-1])):
        return False, answer
    return all(_same_part(a, b) for a, b in zip(one, other, strict=True)), answer


_PLAIN_FRACTION = re.compile(r"-?\d+\.?/0*[1-9]\d*\.?|-?\\frac\{\d+\}\{\d+\}")
_INTEGER = re.compile(r"-?\d+(?:\.0*)?")


def _same_part(gold: str, answer: str) -> bool:
    if gold == answer:
        return True
    if _PLAIN_FRACTION.fullmatch(gold) and _PLAIN_FRACTION.fullmatch(answer):
        return False
    if bool(_INTEGER.fullmatch(gold)) != bool(_INTEGER.fullmatch(answer)):
        return False
    if "^{" in answer or "^(" in answer:
        return False
    return _values_equal(gold, answer) is True


def _values_equal(gold: str, answer: str) -> bool | None:
    one, other = _tree(gold), _tree(answer)
    return None if one is None or other is None else equal_values(one, other)


def _tree(text: str) -> Node | None:
    try:
        return parse(undress(text))
    except (ParseError, BudgetError, RecursionError):
        return None


def _compact(text: str) -> str:
    """Grading normal form: no text macros, percent and money signs, spaces; numbers without separators, lower case."""
    text = re.sub(r"^\\text\{(.+?)\}$", r"\1", text.strip())
    for old, new in (("\\%", "%"), ("\\$", ""), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , ")):
        text = text.replace(old, new)
    for unit in (
        "degree",
        "cm",
        "centimeter",
        "meter",
        "mile",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "year",
        "foot",
        "feet",
        "inch",
        "yard",
    ):
        text = re.sub(rf"{unit}(?:es|s)? *(?:\^[0-9]+)?", "", text)
    text = re.sub(r"\^ *\\circ|\^ *\{ *\\circ *\}", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.replace(",\\!", ""))
    text = (
        text.replace("\\tfrac", "\\frac")
        .replace("\\dfrac", "\\frac")
        .replace("\\left", "")
        .replace("\\right", "")
    )
    text = re.sub(r"\s+", "", text).replace("{", "{").lower()
    if re.fullmatch(r"-?\d+\.0*", text):
        text = text.partition(".")[0]
    return text


def _split(text: str) -> list[str]:
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and not any(c in text[1:-1] for c in "()[]"):
        return [part.strip() for part in text[1:-1].split(",")]
    return [text]


# MATH


def hendrycks(response: str, gold: str) -> tuple[bool, str | None]:
    """Equal as strings after the MATH data set's normalisation, on the last box."""
    answer = _last_box(response)
    if answer is None:
        return False, None
    return normalised(answer) == normalised(gold), answer


_TEXT_RIGHT = "\\text{ "


def normalised(text: str) -> str:
    """Hendrycks's normal form of a LaTeX answer: spaces, sizes, units on the right, braces of fractions and roots."""
    for old, new in (
        ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
        ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""),
    ):  # fmt: skip
        text = text.replace(old, new)
    text = text.partition(_TEXT_RIGHT)[0]
    text = text.replace("\\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = text.strip()
    if text.startswith("."):
        text = "0" + text
    if text.count("=") == 1 and len(text.partition("=")[0].strip()) <= 2:
        text = text.partition("=")[2]
    text = re.sub(r"\\sqrt(?!\{)\s*(\w)", r"\\sqrt{\1}", text)
    text = text.replace(" ", "")
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\d)\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\frac\{([^{}]*)\}(\d)", r"\\frac{\1}{\2}", text)
    if text == "0.5":
        text = "\\frac{1}{2}"
    return re.sub(r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}", text)


# GSM8K, DAPO, prime_math, geometry3k

_GSM8K = re.compile(r"#### (-?[0-9.,]+)")


def gsm8k(response: str, gold: str) -> tuple[bool, str | None]:
    """The first number behind the last `####` of the last 300 characters, as a string."""
    found = _GSM8K.findall(response[-300:])
    if not found:
        return False, None
    answer = str(found[-1]).replace(",", "").replace("$", "")
    return answer == gold, answer


_DAPO = re.compile(r"(?i)Answer\s*:\s*([^\n]+)")


def math_dapo(response: str, gold: str) -> tuple[bool, str | None]:
    """What the last "Answer:" of the last 300 characters says, as a normalised string. +1 is 1, −1 is 0."""
    found = _DAPO.findall(response[-DAPO_TAIL:])
    if not found:
        return False, None
    answer = str(found[-1]).strip()
    return _dapo_form(answer) == _dapo_form(gold), answer


def _dapo_form(text: str) -> str:
    text = text.rpartition("=")[2]
    box = _last_box(text)
    text = box if box is not None else text
    text = re.sub(r"\\text(?:bf)?\{(.*?)\}", r"\1", text).replace("$", "").replace("\\ ", "").strip(" .*")
    text = re.sub(r"\b(?:an?|the|square|ways|integers|dollars|mph|inches|hours|km|units|points|feet|minutes|digits|cents|degrees|cm|gm|pounds|meters|meals|edges|students|childrentickets|multiples)\b", "", text)  # fmt: skip
    text = (
        text.replace(" ", "")
        .replace("\\%", "")
        .replace("%", "")
        .replace("^\\circ", "")
        .replace("^{\\circ}", "")
    )
    if text.replace(",", "").isdigit():
        text = text.replace(",", "")
    return text


def prime_math(response: str, gold: str) -> tuple[bool, str | None]:
    """Last box; equal as text, as numbers within 1e-4 (also ×100 and ÷100), as tuples part by part, or in value."""
    answer = _last_box(response)
    if answer is None:
        return False, None
    return _prime_equal(_compact(gold), _compact(answer), 0), answer


def _prime_equal(gold: str, answer: str, depth: int) -> bool:
    if gold == answer or normalised(gold) == normalised(answer):
        return True
    one, other = _decimal(gold), _decimal(answer)
    if one is not None and other is not None:
        return any(abs(other - aim) <= abs(aim) / 10_000 for aim in (one, one / 100, one * 100))
    if not answer and answer not in ("0",):
        return False
    parts, given = _split(gold), _split(answer)
    if len(parts) > 1 and len(parts) == len(given) and depth < 2:
        return all(_prime_equal(a, b, depth + 1) for a, b in zip(parts, given, strict=True))
    if len(gold) > MAX_CHARS or len(answer) > MAX_CHARS:
        return False
    return _values_equal(gold, answer) is True


def _decimal(text: str) -> Fraction | None:
    if not re.fullmatch(r"-?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})", text.replace(",", "")):
        return None
    node = _tree(text.replace(",", ""))
    return None if node is None else exact(node)


_FORMAT = re.compile(r"<think>.*</think>.*\\boxed\{.*\}.*", re.DOTALL)


def _geometry3k(response: str, gold: str, trace: Any) -> Outcome:
    """0.9 for the answer (MATH's comparison of the last box), 0.1 for the format of the whole response."""
    answer = _last_box(response)
    format_ok = response.lstrip().startswith("<think>") and "</think>" in response and answer is not None
    right = answer is not None and naive_dapo(f"\\boxed{{{answer}}}", gold)[0]
    score = 0.9 * right + 0.1 * format_ok
    if right and format_ok:
        return accept(answer, trace=trace, rule="geometry3k")
    if score:
        return scored(score, Reason.PARTIALLY_EQUAL, answer, trace=trace, rule="geometry3k")
    return reject(
        Reason.NO_ANSWER if answer is None else Reason.NOT_EQUAL, answer, trace=trace, rule="geometry3k"
    )
