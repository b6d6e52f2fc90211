"""Right and wrong answers of science: numbers with and without units, chemical formulas, reactions, molecules.

What is decided here: units are converted by powers of ten only, and only where one name says the whole unit, so that no rounding
can make a right answer wrong.
"""

from __future__ import annotations

import re
from decimal import Decimal

from reward_service.audit.kit import BARE_BOX, BOX, MATH_BOX, Answers, Form, Kit, Wrap, distinct
from reward_service.audit.kits_math import bare
from reward_service.audit.model import Subject
from reward_service.audit.numbers import number, other_numbers, same_number, written

_QUANTITY = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?) ?([A-Za-z]{1,3}(?:/[A-Za-z]{1,3})?)")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d{0,2}){2,12}")
_REACTION = re.compile(r"([A-Za-z0-9 +]+?) ?-> ?([A-Za-z0-9 +]+)")
PREFIXED = frozenset({"m", "g", "J", "V", "W", "N", "Pa", "Hz", "mol", "A"})
"""Units that take kilo and milli."""


def quantities(value: Decimal, unit: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """A quantity in other dresses and units, and other quantities."""
    text = written(value)
    same = [
        ("unit_text", f"{text}\\ \\text{{{unit}}}"),
        ("unit_roman", f"{text}\\,\\mathrm{{{unit}}}"),
        ("unit_close", f"{text}{unit}" if "/" not in unit else f"{text}~\\text{{{unit}}}"),
        ("unit_equation", f"x = {text}\\ \\text{{{unit}}}"),
    ]
    if "/" in unit:
        upper, _, lower = unit.partition("/")
        same.append(("unit_power", f"{text}\\ \\mathrm{{{upper}\\,{lower}^{{-1}}}}"))
    names = ("sign_flip", "times_ten", "tenth", "half_more")
    wrong = [(name, f"{other} {unit}") for name, other in other_numbers(value) if name in names]
    if unit in PREFIXED:
        same.append(("unit_kilo", f"{written((value / 1000).normalize())} k{unit}"))
        same.append(("unit_milli", f"{written(value * 1000)} m{unit}"))
        wrong.append(("unit_thousand", f"{text} k{unit}"))
        wrong.append(("unit_other", f"{text} {'s' if unit != 's' else 'm'}"))
    return same, wrong


def formulas(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """A chemical formula in other dresses, and formulas of something else."""
    subscripts = re.sub(r"(\d+)", r"_{\1}", text)
    same = [
        ("subscripts", subscripts),
        ("roman", f"\\mathrm{{{subscripts}}}"),
        ("chemistry_macro", f"\\ce{{{text}}}"),
        ("text_macro", f"\\text{{{text}}}"),
    ]
    last = re.search(r"\d+", text)
    wrong = [("atom_more", f"{text}Xe2")]
    if last is not None:
        wrong.insert(0, ("count_more", f"{text[: last.start()]}{int(last[0]) + 1}{text[last.end() :]}"))
    return same, wrong


def reactions(left: str, right: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """A reaction in other dresses, and other reactions."""
    sides = [" + ".join(part.strip() for part in side.split("+")[::-1]) for side in (left, right)]
    same = [
        ("arrow_macro", f"{left} \\rightarrow {right}"),
        ("arrow_sign", f"{left} → {right}"),
        ("sides_commuted", f"{sides[0]} -> {sides[1]}"),
    ]
    wrong = [("turned_round", f"{right} -> {left}"), ("left_alone", left), ("right_alone", right)]
    return same, wrong


def written_otherwise(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What is not a bare number, in other dresses, and near misses of it; of what we can't tell only that
    it is nothing like another thing (a judge model may be asked about that)."""
    if match := _QUANTITY.fullmatch(text):
        return quantities(Decimal(match[1]), match[2])
    if match := _REACTION.fullmatch(text):
        return reactions(match[1], match[2])
    if _FORMULA.fullmatch(text) and any(map(str.isdigit, text)):
        return formulas(text)
    return [], [("something_else", "\\text{seven purple bicycles}")]


_ATOMS = re.compile(r"[A-Za-z0-9@+\-\[\]()=#/\\%.]+")


def science(subject: Subject) -> Answers | None:
    text = bare(subject.ground_truth)
    if text is None:
        return None
    the_answer_is: Wrap = lambda answer: f"So it follows.\nThe answer is {answer}"  # noqa: E731
    forms = [BOX, MATH_BOX, BARE_BOX]
    if subject.source == "stem__theoremqa":
        forms = [Form("the_answer_is", the_answer_is), BOX]
        if isinstance(subject.ground_truth, str) and subject.ground_truth.startswith("["):
            return Answers(forms[:1], [("plain", text)], [])
    if subject.source == "stem__chem_smiles":
        if not _ATOMS.fullmatch(text):
            return None
        molecules = [
            ("carbon_more", f"C{text}" if text[0] in "CNO" else f"{text}C"),
            ("something_else", "CCCCCCCCCCCC[Si]"),
        ]
        if text.count("@") - text.count("@@") == 1:
            molecules.append(
                ("mirrored", text.replace("@@", "@") if "@@" in text else text.replace("@", "@@"))
            )
        same = [("plain", text), ("code_macro", f"\\texttt{{{text}}}"), ("code", f"`{text}`")]
        return Answers([BARE_BOX, BOX], same, molecules)
    value = number(text)
    if value is None:
        same, wrong = written_otherwise(text)
        return Answers(forms, [("plain", text), *same], distinct(wrong, [text]))
    same = distinct([("plain", text), *same_number(value), ("equation", f"x = {text}")])
    wrong = [
        pair for pair in other_numbers(value) if pair[0] not in ("plus_one", "minus_one", "digits_swapped")
    ]
    unit = subject.extra_info.get("unit")
    if isinstance(unit, str) and unit.strip():
        name = unit.strip().strip("$").strip()
        if name.startswith("\\mathrm{10^"):
            return None
        if name.startswith("10^"):  # the number alone is the mantissa: neither right nor wrong for sure
            same = [("with_power", f"{text} \\times {name}")]
            wrong = [(kind, f"{other} \\times {name}") for kind, other in wrong]
        elif name and not re.search(r"\d", name):
            same.append(("with_unit", f"{text}\\ {name}"))
    return Answers(forms, same, distinct(wrong, [text]))


KITS = (Kit(frozenset({"science"}), science),)
