r"""Rules for expressions and for short text.

What is decided here: how far the math package is believed. Its *equal* counts, but for letters of another case (`V` and `v` are
two quantities); its *not equal* where both sides speak of the same symbols on the same side of an equation. With
other symbols (`k` and `k_B`), or another side of an equation solved, it is undecided. A decimal with three digits says what
a closed form is (8.66 for `5\sqrt{3}`). Text is the same text or undecided, but for numbers, opposites and several
candidates.
"""

from __future__ import annotations

import re

from reward_service.handlers._qa import ARTICLES, same_text, words
from reward_service.handlers.math import Verdict
from reward_service.handlers.science import chemistry
from reward_service.handlers.science.gold import Decision, Gold, is_prose, items_of, same_math
from reward_service.handlers.science.quantity import read_quantity
from reward_service.handlers.science.reading import Answer, turned
from reward_service.handlers.science.values import SEVERAL
from reward_service.handlers.science.words import opposite, option_letter, same_word


def _letter(gold: Gold, answer: Answer) -> Decision | None:
    """A ground truth of one capital letter may be an option or a symbol: another letter is wrong either way."""
    wanted = gold.answer.text
    if len(wanted) != 1 or not "A" <= wanted <= "Z":
        return None
    if len(answer.text) == 1 and answer.text.isalpha():
        same = answer.text.upper() == wanted
        return (
            Decision(Verdict.UNKNOWN, "letter", "letter_case")
            if same
            else Decision(Verdict.NOT_EQUAL, "letter")
        )
    letter = option_letter(answer.text, marked=False)
    return Decision(Verdict.of(letter == wanted), "letter") if letter else None


def by_expression(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """An expression, equation or symbol, through the math package."""
    lettered = _letter(gold, answer)
    if lettered is not None:
        return lettered
    verdict = same_math(gold.source, text)
    if verdict is Verdict.EQUAL:
        if _other_case(gold.answer.text, answer.text):
            return Decision(Verdict.UNKNOWN, "math", "letter_case")
        return Decision(verdict, "math")
    found = read_quantity(answer.text)
    decimal = (
        found is not None and found.bare and (found.number.digits or 0) >= 3 and not found.number.counted
    )
    if decimal and same_math(answer.text, gold.answer.text) is Verdict.EQUAL:
        return Decision(Verdict.EQUAL, "decimal")
    if SEVERAL.search(gold.answer.text[1:]):  # 3.5 ± 0.2, but not ± 2: those are two values
        return Decision(Verdict.UNKNOWN, "math", "uncertainty")
    element = chemistry.element(gold.source.strip())
    if element is not None and element == chemistry.element(answer.text):
        return Decision(Verdict.EQUAL, "element")
    if turned(answer.text) and not turned(gold.answer.text):
        return Decision(Verdict.NOT_EQUAL, "math", hedged=True)
    wanted, given = symbols(gold.answer.text), symbols(answer.text)
    if not wanted and not (is_prose(answer.text) and any(character.isdigit() for character in answer.text)):
        return Decision(Verdict.NOT_EQUAL, "math")
    same_side = ("=" in gold.source) == ("=" in text) and gold.answer.name == answer.name
    if verdict is Verdict.NOT_EQUAL and wanted == given and same_side:
        return Decision(verdict, "math")
    if wanted and not given and found is not None:
        return Decision(Verdict.NOT_EQUAL, "math")
    return Decision(
        Verdict.UNKNOWN, "math", "prose_for_an_expression" if is_prose(answer.text) else "other_symbols"
    )


def _other_case(gold: str, answer: str) -> bool:
    """Are the symbols the same but for their letter case? `V` and `v` are two quantities."""
    left, right = symbols(gold), symbols(answer)
    return left != right and {symbol.casefold() for symbol in left} == {symbol.casefold() for symbol in right}


_SYMBOL = re.compile(r"(?:\\[A-Za-z]+|[A-Za-zα-ωΑ-Ω])(?:_(?:\{[^{}]{1,20}\}|\w))?")
_NOT_SYMBOL_NAMES = r"""
\frac \sqrt \left \right \cdot \times \sin \cos \tan \ln \log \exp \pi \int \sum \infty \quad \text \mathrm
\le \ge \leq \geq \to \pm \in \cup \cap \arcsin \arccos \arctan \sinh \cosh \tanh \lim \circ \ldots \dots
\approx \begin \end
"""
_NOT_SYMBOLS = frozenset(_NOT_SYMBOL_NAMES.split())
_FUNCTIONS = re.compile(r"(?<!\\)\b(?:sin|cos|tan|ln|log|exp|sqrt|arctan|arcsin|arccos|sinh|cosh|tanh|pi)\b")


def symbols(text: str) -> frozenset[str]:
    """The variables of an expression with their indices, functions and constants aside."""
    text = _FUNCTIONS.sub(" ", text.replace("{}", ""))
    found = (
        match.group().replace("{", "").replace("}", "").replace(" ", "") for match in _SYMBOL.finditer(text)
    )
    return frozenset(symbol for symbol in found if symbol not in _NOT_SYMBOLS and symbol not in ("e", "i"))


def by_text(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """Short text."""
    wanted = gold.answer.text
    if same_text(answer.text, wanted) or same_text(text, gold.source) or same_word(wanted, answer.text):
        return Decision(Verdict.EQUAL, "text")
    element = chemistry.element(wanted)
    if element is not None and chemistry.element(answer.text) == element:
        return Decision(Verdict.EQUAL, "element")
    if all(word in ARTICLES for word in words(answer.text)):
        return Decision(Verdict.NOT_EQUAL, "text")
    if read_quantity(answer.text) is not None and not any(character.isdigit() for character in wanted):
        return Decision(Verdict.NOT_EQUAL, "text")
    if opposite(wanted, answer.text):
        return Decision(Verdict.NOT_EQUAL, "opposite")
    items = items_of(answer.text)
    if len(items) > 1 and any(same_text(item, wanted) for item in items):
        return Decision(Verdict.NOT_EQUAL, "text", hedged=True)
    if _OFFERS.search(answer.text) and not _OFFERS.search(wanted):
        return Decision(Verdict.NOT_EQUAL, "text", hedged=True)
    return Decision(Verdict.UNKNOWN, "text", "prose")


_OFFERS = re.compile(r"\b(?:or|either|alternatively|otherwise|versus)\b", re.IGNORECASE)
