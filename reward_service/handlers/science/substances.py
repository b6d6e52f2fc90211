r"""Rules for nuclides, electron shells, formulas and reactions.

What is decided here: what is left undecided: isomers, letters that may be elements or points (`BC`), and an answer in another
notation, such as a name for a formula. A number is never one of these.
"""

from __future__ import annotations

from reward_service.handlers.math import Verdict
from reward_service.handlers.science import chemistry
from reward_service.handlers.science.gold import Decision, Gold
from reward_service.handlers.science.quantity import read_quantity
from reward_service.handlers.science.reading import Answer, turned


def by_nuclide(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """Element and mass number."""
    found = chemistry.nuclide(text) or chemistry.nuclide(answer.text)
    if found is not None:
        return Decision(Verdict.of(found == chemistry.nuclide(gold.source)), "nuclide")
    return undecided(gold, answer, "nuclide")


def by_configuration(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """The same electrons in the same shells, in any order."""
    found = chemistry.configuration(text)
    if found is not None:
        return Decision(Verdict.of(found == chemistry.configuration(gold.source)), "configuration")
    return undecided(gold, answer, "configuration")


def by_reaction(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """The same species in the same proportions."""
    wanted, found = chemistry.equation(gold.source), chemistry.equation(text)
    if wanted is not None and found is not None:
        verdict = chemistry.same_equation(wanted, found, question)
        return Decision(verdict, "reaction", "isomers" if verdict is Verdict.UNKNOWN else "")
    return undecided(gold, answer, "reaction")


def by_formula(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """The same atoms, charge and state; isomers are undecided."""
    wanted = chemistry.species(gold.source)
    found = chemistry.species(text) or chemistry.species(answer.text)
    if found:
        verdict = chemistry.same_species(wanted, found, states=chemistry.asks_for_states(question))
        if (
            verdict is Verdict.EQUAL
            and gold.source.isalpha()
            and gold.source.isupper()
            and answer.text != gold.source
        ):
            return Decision(Verdict.UNKNOWN, "formula", "letters_or_elements")
        return Decision(verdict, "formula", "isomers" if verdict is Verdict.UNKNOWN else "")
    return undecided(gold, answer, "formula")


def undecided(gold: Gold, answer: Answer, comparator: str) -> Decision:
    """Something that isn't in the notation of its kind: a name for a formula, say."""
    if read_quantity(answer.text) is not None:
        return Decision(Verdict.NOT_EQUAL, comparator)
    if turned(answer.text):
        return Decision(Verdict.NOT_EQUAL, comparator, hedged=True)
    return Decision(Verdict.UNKNOWN, comparator, "other_notation")
