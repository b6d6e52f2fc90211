r"""Formulas in LaTeX, written otherwise token by token, and with one token changed.

What is decided here: only rewrites that no reader would call another formula (other sizes of fractions and brackets, other
names of the same sign, a list or a set in another order), and only changes of which none can be right: one more in a digit, a
relation turned round, a value of a list missing or added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SAME_SIGN = (
    ("leqslant", "\\leqslant", "\\leq "),
    ("geqslant", "\\geqslant", "\\geq "),
    ("leq_sign", "\\leq ", "≤ "),
    ("geq_sign", "\\geq ", "≥ "),
    ("degree", "^{\\circ}", "^\\circ"),
    ("degree_sign", "^\\circ", "°"),
    ("pi_sign", "\\pi", "π"),
    ("infinity_sign", "\\infty", "∞"),
    ("union_sign", "\\cup", "∪"),
    ("display_fractions", "\\frac{", "\\dfrac{"),
    ("text_fractions", "\\frac{", "\\tfrac{"),
    ("percent_sign", "\\%", "%"),
)
_SIMPLE = r"-?(?:\d{1,9}|\\frac\{\d{1,6}\}\{\d{1,6}\}|\\sqrt\{\d{1,6}\})"
_LIST = re.compile(rf"{_SIMPLE}(?: ?, ?{_SIMPLE})+")
_GROUPS = re.compile(r",\d{3}(?:\D|$)")
_PLUS_MINUS = re.compile(r"(\d{1,6}) ?\\pm ?((?:\d{1,6} ?)?\\sqrt\{\d{1,6}\})")
_DIGIT = re.compile(r"(?<![\d.,_^])[2-8](?![\d.,])")
_NUMERIC = re.compile(r"(?:\d|[ +*/{}()-]|\\(?:sqrt|frac|pi|cdot)(?![a-zA-Z]))+")
_TURNED = (
    ("<", ">"),
    ("\\leq", "\\geq"),
    ("\\geqslant", "\\leqslant"),
    ("\\geq", "\\leq"),
    (">", "<"),
    ("\\neq", "="),
)


def members(text: str) -> list[str] | None:
    """The values of a list of plain values; None for anything else, and for what may be one number with separators."""
    if not _LIST.fullmatch(text) or (_GROUPS.search(text) and ", " not in text):
        return None
    return [member.strip() for member in text.split(",")]


def same_formula(text: str) -> Iterator[tuple[str, str]]:
    """The formula, written otherwise."""
    if "\\text" in text or not text.isascii():
        return
    for name, old, new in SAME_SIGN:
        if old in text and not (name == "pi_sign" and "\\pi" in text.replace("\\pi ", "")):
            yield name, text.replace(old, new)
    if "\\left" not in text and "(" in text and text.count("(") == text.count(")"):
        yield "sized_brackets", text.replace("(", "\\left(").replace(")", "\\right)")
    if "=" in text or "+" in text:
        yield "blanks", re.sub(r" ?([=+]) ?", r" \1 ", text)
    yield "display_style", f"\\displaystyle {text}"
    yield "small_blank", f"{text}\\,"
    values = members(text)
    if values is not None:
        yield "list_reversed", ", ".join(values[::-1])
        yield "list_close", ",".join(values) if not _GROUPS.search(",".join(values)) else ", ".join(values)
        yield "list_and", ", ".join(values[:-1]) + f" \\text{{ and }} {values[-1]}"
    if match := _PLUS_MINUS.fullmatch(text):
        yield "both_signs", f"{match[1]} + {match[2]}, {match[1]} - {match[2]}"


def other_formulas(text: str) -> Iterator[tuple[str, str]]:
    """Formulas that say something else."""
    if "\\text" in text or not text.isascii():
        return
    values = members(text)
    if values is not None:
        yield "value_more", ", ".join([*values, "987654"])
        if len(set(values)) == len(values):
            yield "value_missing", ", ".join(values[:-1])
            yield "value_changed", ", ".join(["987654", *values[1:]])
        return
    if (digit := _DIGIT.search(text)) is not None:
        yield "digit_more", f"{text[: digit.start()]}{int(digit[0]) + 1}{text[digit.end() :]}"
    for old, new in _TURNED:
        if text.count(old) == 1 and not any(sign in text for sign in (",", "\\cup", "\\text", "or")):
            yield "relation_turned", text.replace(old, new)
            break
    if _NUMERIC.fullmatch(text) and re.search(r"[1-9]|\\pi", text):
        yield (
            "sign_flip",
            text[1:] if text.startswith("-") and not re.search(r".[+-]", text) else f"-({text})",
        )
        yield "doubled", f"2({text})"
