r"""Right and wrong answers of math and multiple choice, from their ground truths alone.

What is decided here: equivalent rewrites are exact. A fraction becomes a decimal only where the decimal ends, sums are
commuted only where every term is a plain one, a set is reordered and a tuple isn't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from reward_service.audit.formulas import other_formulas, same_formula
from reward_service.audit.kit import BARE_BOX, BOX, MATH_BOX, Answers, Form, Kit, distinct
from reward_service.audit.model import Subject
from reward_service.audit.numbers import as_decimal, as_fraction, number, other_numbers, same_number, written

LINE = Form("answer_line", lambda answer: f"So it follows.\nAnswer: {answer}")
HASHES = Form("hashes", lambda answer: f"So it follows.\n#### {answer}")
_FRACTION = re.compile(r"(-?)\\[dtc]?frac\{(-?\d{1,9})\}\{(\d{1,9})\}|(-?\d{1,9})/(\d{1,9})")
_SUM = re.compile(r"[0-9a-z\\{}^ ]+(?:\+[0-9a-z\\{}^ ]+)+")
_TERM = re.compile(r"\d{1,6}|(?:\d{1,6} ?)?(?:[a-z]|\\sqrt\{\d{1,6}\}|\\pi)(?:\^(?:\d|\{\d\}))?")
_SET = re.compile(r"\\\{ ?(-?\d{1,9}(?: ?, ?-?\d{1,9})+) ?\\\}")
_UNION = re.compile(r"[<>≤≥∈∪]|\\[lg]eq|\\[lg]e\b|\\cup|\\infty|\\in\b")
_PAIR = re.compile(r"([(\[]) ?(-?\d{1,9}) ?, ?(-?\d{1,9}) ?([)\]])")


def bare(gold: object) -> str | None:
    """The ground truth without dollar signs around all of it; None where it is no short formula."""
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        return None
    if not str(gold).isprintable():  # a tab was a backslash and a t, before JSON read it
        return None
    text = str(gold).strip()
    if text.startswith("$") and text.endswith("$") and text.count("$") == 2:
        text = text[1:-1].strip()
    plain = (
        text.isprintable()
        and 0 < len(text) <= 200
        and "$" not in text
        and "\\boxed" not in text
        and "\n" not in text
    )
    return text if plain and text.count("{") == text.count("}") else None


def fraction_of(text: str) -> Fraction | None:
    """The fraction that a text is, as LaTeX or with a slash."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return None
    sign, top, bottom, slash_top, slash_bottom = match.groups()
    upper, lower = int(top or slash_top), int(bottom or slash_bottom)
    if not lower:
        return None
    return Fraction(upper, lower) * (-1 if sign else 1)


def latex(value: Fraction, command: str = "frac") -> str:
    """In lowest terms, the sign in front."""
    sign = "-" if value < 0 else ""
    return f"{sign}\\{command}{{{abs(value.numerator)}}}{{{value.denominator}}}"


def rewrites(text: str) -> Iterator[tuple[str, str]]:
    """The same formula, written otherwise."""
    value = number(text)
    if value is not None:
        yield from same_number(value)
        yield "equation", f"x = {written(value)}"
        exact = as_fraction(value)
        if exact is not None:
            yield "fraction", latex(exact)
        return
    ratio = fraction_of(text)
    if ratio is not None and ratio.denominator > 1:
        yield "lowest_terms", latex(ratio)
        yield "display_fraction", latex(ratio, "dfrac")
        yield "slash", f"{ratio.numerator}/{ratio.denominator}"
        decimal = as_decimal(ratio)
        if decimal is not None:
            yield "decimal", decimal
        return
    if match := _SET.fullmatch(text):
        members = [member.strip() for member in match[1].split(",")]
        yield "set_reversed", f"\\{{{', '.join(members[::-1])}\\}}"
        yield "set_sized", f"\\left\\{{{', '.join(members)}\\right\\}}"
        return
    if match := _PAIR.fullmatch(text):
        opening, left, right, closing = match.groups()
        yield "no_space", f"{opening}{left},{right}{closing}"
        yield "sized", f"\\left{opening}{left}, {right}\\right{closing}"
        return
    if _SUM.fullmatch(text):
        terms = [term.strip() for term in text.split("+")]
        if all(map(_TERM.fullmatch, terms)):
            yield "sum_commuted", " + ".join(terms[::-1])
            yield "sum_sized", f"\\left({'+'.join(terms)}\\right)" if len(terms) > 1 else text
    yield from same_formula(text)


def others(text: str) -> Iterator[tuple[str, str]]:
    """Formulas that say something else."""
    value = number(text)
    if value is not None:
        yield from other_numbers(value)
        plain = written(value)
        yield "several", f"{written(value + 1)}, {plain}, {written(value + 2)}"
        yield "range", f"[{written(value - 100)}, {written(value + 100)}]"
        yield "chain", f"{written(value + 1)} = {plain}"
        yield "approximately", f"{plain} \\approx {written(value + 1)}"
        yield "infinity", "\\infty"
        yield "variable", "x"
        if value > 1:
            yield "less_nothing", f"{plain} - 1"
        return
    ratio = fraction_of(text)
    if ratio is not None and ratio:
        yield "sign_flip", latex(-ratio)
        yield "numerator_more", latex(ratio + Fraction(1, ratio.denominator))
        if ratio.denominator > 1 and abs(ratio.numerator) > 1 and abs(ratio) != 1:
            yield "turned_over", latex(1 / ratio)
        return
    if match := _SET.fullmatch(text):
        members = list(dict.fromkeys(member.strip() for member in match[1].split(",")))
        yield "member_more", f"\\{{{', '.join([*members, '987654'])}\\}}"
        if len(members) > 1:
            yield "member_missing", f"\\{{{', '.join(members[:-1])}\\}}"
        return
    if match := _PAIR.fullmatch(text):
        opening, left, right, closing = match.groups()
        yield "second_more", f"{opening}{left}, {int(right) + 1}{closing}"
        if left != right:
            yield "exchanged", f"{opening}{right}, {left}{closing}"
        if closing == "]":
            yield "opened", f"{opening}{left}, {right})"
        return
    if _SUM.fullmatch(text):
        terms = [term.strip() for term in text.split("+")]
        if all(map(_TERM.fullmatch, terms)):
            yield "one_more", f"{text} + 1"
            yield "term_missing", " + ".join(terms[:-1])
        return
    yield from other_formulas(text)


def math(subject: Subject) -> Answers | None:
    text = bare(subject.ground_truth)
    if text is None:
        return None
    if (
        subject.extra_info.get("extraction") == "anywhere"
    ):  # for evaluations of models that box nothing, not for rewards
        return None
    forms = [BOX, MATH_BOX, BARE_BOX]
    if subject.source in ("aime*", "math_dapo", "math__aime_repeated_8x"):
        forms.append(LINE)
    elif subject.source == "openai/gsm8k":
        forms.append(HASHES)
    single = not _UNION.search(text)
    same, wrong = distinct([("plain", text), *rewrites(text)]), distinct(others(text), [text])
    return Answers(forms, same, wrong, hedges=single, beside=single)


# Multiple choice

_LETTER = re.compile(r"\(?([A-J])\)?")


def choice(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    match = _LETTER.fullmatch(gold.strip()) if isinstance(gold, str) else None
    if match is None:
        return None
    letter = match[1]
    options = subject.extra_info.get("options") or subject.extra_info.get("choices")
    known = [str(option) for option in options] if isinstance(options, list) else []
    count = len(known) or max(4, "ABCDEFGHIJ".index(letter) + 1)
    letters = "ABCDEFGHIJ"[:count]
    if letter not in letters:
        return None
    same = [
        ("plain", letter),
        ("brackets", f"({letter})"),
        ("text_macro", f"\\text{{{letter}}}"),
        ("bold_macro", f"\\textbf{{{letter}}}"),
        ("full_stop", f"{letter}."),
        ("option", f"Option {letter}"),
    ]
    here = letters.index(letter)
    if known and len(known[here]) < 80 and not any(sign in known[here] for sign in "\\{}$"):
        same.append(("letter_and_text", f"{letter}. {known[here]}"))
    wrong = [("letter_" + other.lower(), other) for other in letters if other != letter]
    wrong += [
        ("all_letters", "".join(letters)),
        ("all_listed", ", ".join(letters)),
        ("no_option", "Z"),
        ("denied", f"not {letter}"),
        ("either", f"{letter}/{letters[here - 1]}"),
    ]
    forms = [
        BARE_BOX,
        BOX,
        Form("the_answer_is", lambda answer: f"So it follows. The answer is ({answer})."),
        Form("answer_line", lambda answer: f"So it follows.\n\nAnswer: {answer}"),
        Form("bold_line", lambda answer: f"So it follows.\n\n**Answer: {answer}**"),
        Form("correct_option", lambda answer: f"So it follows. The correct option is {answer}."),
    ]
    if "no_box" in subject.data_source:
        forms = forms[3:4]
    return Answers(forms, same, distinct(wrong))


KITS = (
    Kit(frozenset({"math"}), math),
    Kit(frozenset({"choice"}), choice),
)
