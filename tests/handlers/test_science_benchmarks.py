"""SciBench, TheoremQA and SMILES: their tolerances, their units, and the holes of their own scorers."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers.science import smiles
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status


def judge(
    source: str,
    answer: str,
    gold: Any,
    *,
    whole: bool = False,
    profile: Profile = Profile.STRICT,
    **extra: Any,
) -> Outcome:
    route = load().route(source)
    assert route is not None
    response = answer if whole else f"Hence \\boxed{{{answer}}}."
    outcome = route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))
    assert isinstance(outcome, Outcome), "a benchmark's rule never asks a judge"
    return outcome


HZ = "$10^{14} \\mathrm{~Hz}$"
SCIBENCH: list[tuple[str, Any, str, bool]] = [
    # in the unit of the row, or bare
    ("47.2", "45.0", "$\\mathrm{~atm}$", True), ("47.3", "45.0", "$\\mathrm{~atm}$", False), ("42.8", "45.0", "", True), ("42.7", "45.0", "", False),
    ("45.0\\ \\mathrm{atm}", "45.0", "$\\mathrm{~atm}$", True), ("\\approx 45", "45.0", "", True), ("p = 45", "45.0", "", True),
    # converted, and not converted
    ("4.56\\times10^{6}\\ \\mathrm{Pa}", "45.0", "$\\mathrm{~atm}$", True), ("45.0\\ \\mathrm{Pa}", "45.0", "$\\mathrm{~atm}$", False),
    ("45.0 \\text{ m}", "45.0", "$\\mathrm{~atm}$", False), ("45.0 \\text{ apples}", "45.0", "$\\mathrm{~atm}$", False),
    # powers of ten in the unit belong to the number
    ("6.05\\times10^{14}", "6.05", HZ, True), ("605\\ \\text{THz}", "6.05", HZ, True), ("605,000,000,000,000", "6.05", HZ, True), ("6.05", "6.05", HZ, False),
    ("6.05e14 Hz", "6.05", HZ, True), ("6.05\\text{ Hz}", "6.05", HZ, False), ("6.05e13", "6.05", HZ, False),
    # a unit that is no unit to us
    ("22 kPA", "22", "$\\text{kPA}$", True), ("22 kPa", "22", "$\\text{kPA}$", True), ("22 Pa", "22", "$\\text{kPA}$", False), ("22", "22", "$\\text{kPA}$", True),
    # temperatures, angles, percent
    ("-3.5", "-3.5", "$^{\\circ} \\mathrm{C}$", True), ("269.65 K", "-3.5", "$^{\\circ} \\mathrm{C}$", True), ("-3.5 K", "-3.5", "$^{\\circ} \\mathrm{C}$", False),
    ("273 K", "-3.5", "$^{\\circ} \\mathrm{C}$", False), ("0.30\\text{ rad}", "17.4", "$^\\circ$", True), ("15.1\\%", "15.1", " % ", True), ("0.151", "15.1", " % ", True),
    # words for powers of ten, units with the speed of light, and units of their own
    ("3.2 \\text{ million}", "3.2", "million", True), ("3.2", "3.2", "million", True), ("3,200,000", "3.2", "million", True), ("3.2 \\text{ billion}", "3.2", "million", False),
    ("0.511\\ \\mathrm{MeV}/\\mathrm{c}^2", "0.511", "$\\mathrm{MeV}/\\mathrm{c}^2$", True), ("511\\ \\text{keV}/c^2", "0.511", "$\\mathrm{MeV}/\\mathrm{c}^2$", True),
    ("9.11e-31\\,kg", "0.511", "$\\mathrm{MeV}/\\mathrm{c}^2$", True), ("0.511\\,MeV", "0.511", "$\\mathrm{MeV}/\\mathrm{c}^2$", False), ("2\\ \\mathring{A}", "2", "$\\mathring{A}$", True),
    # one value only
    ("45 or 90", "45.0", "", False), ("90 or 45", "45.0", "", False), ("45, 90", "45.0", "", False), ("not 45", "45.0", "", False), ("-45", "45.0", "", False),
    ("450", "45.0", "", False), ("", "45.0", "", False), ("44 + 1", "45.0", "", False), ("45 = 90", "45.0", "", False),
    # signs and zero
    ("3.6", "+3.60", "$\\text{kJ}$", True), ("3600 J", "+3.60", "$\\text{kJ}$", True), ("0", "0", "$\\mathrm{kg}/\\mathrm{s}$", True), ("0.01", "0", "$\\mathrm{kg}/\\mathrm{s}$", False),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "unit", "right"), SCIBENCH)
def test_scibench(answer: str, gold: Any, unit: str, right: bool) -> None:
    outcome = judge("scibench", answer, gold, unit=unit)
    assert outcome.status is Status.SCORED
    assert outcome.correct is right


def test_scibench_the_power_alone_is_right_where_the_question_states_it() -> None:
    question = "What is the frequency? The unit of the answer is $10^{14}$ Hz."
    assert judge("scibench", "6.05", "6.05", unit=HZ, question=question).correct
    assert not judge("scibench", "6.05", "6.05", unit=HZ, question="What is the frequency?").correct
    assert not judge("scibench", "6.05 Hz", "6.05", unit=HZ, question=question).correct


@given(st.integers(1, 10**6), st.fractions(min_value=-1, max_value=1, max_denominator=1000))
def test_scibench_is_five_percent_either_way(gold: int, off: Fraction) -> None:
    answer = Fraction(gold) * (1 + off)
    text = f"{float(answer):.9f}"
    inside = abs(Fraction(text) - gold) <= Fraction(gold, 20)
    assert judge("scibench", text, str(gold)).correct is inside


THEOREMQA: list[tuple[Any, str, str, bool]] = [
    (2.5, "2.46", "", True), (2.5, "2.6", "", True), (2.5, "2.61", "", False), (2.5, "-2.5", "", False), (2.5, "2.5 units", "", True), (2.5, "$x = 2.5$", "", True),
    (2.5, "2.5 or 9", "", False), (2.5, "not 2.5", "", False), (0.0, "0", "", True), (0.0, "0.01", "", False), (-1.5, "-1.53", "", True), (0.125, "1/8", "", True),
    (60, "60", "", True), (60, "60.0", "", True), (60, "60.4", "", False), (60, "61", "", False), (60, "600", "", False), (108610, "108,610", "", True),
    (4.15, "4.15 \\times 10^{11} m", "Find the axis. (Unit: 10^11 m)", True), (4.15, "4.15", "Find the axis. (Unit: 10^11 m)", True),
    (4.15, "4.15e8 km", "Find the axis. (Unit: 10^11 m)", True), (4.15, "4.15 \\times 10^{10} m", "Find the axis. (Unit: 10^11 m)", False),
    (True, "True", "", True), (True, "yes", "", True), (True, "that the statement is true", "", True), (True, "not false", "", True), (True, "False", "", False),
    (True, "untrue", "", False), (True, "unknown", "", False), (True, "True or False", "", False), (False, "untrue", "", True), (False, "no", "", True),
    (False, "another", "", False), (False, "unknown", "", False), (False, "not", "", False), (False, "no, since 2 divides it", "", True),
    ("(b)", "(b)", "", True), ("(b)", "B", "", True), ("(b)", "(b) 5 m", "", True), ("(b)", "(a) (b) (c)", "", False), ("(b)", "not (b)", "", False), ("(b)", "c", "", False),
    ([1, 0], "[1, 0]", "", True), ([1, 0], "(1, 0)", "", True), ([1, 0], "1, 0", "", True), ([1, 0], "$(1, 0)$", "", True), ([1, 0], "[0, 1]", "", False),
    ([1, 0], "[1, 0, 0]", "", False), ([1, 0], "[1]", "", False), ([1, 0], "1", "", False), ([2, 3], "[2, 3.0]", "", True), ([2, 3], "[2, 3.1]", "", False),
    ([0.5, -0.25], "(0.51, -0.25)", "", True), ([0.5, -0.25], "(0.51, 0.25)", "", False), ("[0.5, -0.25]", "0.5, -0.25", "", True), ("2.5", "2.5", "", True), ("True", "true", "", True),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer", "question", "right"), THEOREMQA)
def test_theoremqa(gold: Any, answer: str, question: str, right: bool) -> None:
    extra = {"question": question} if question else {}
    for response in (f"So it follows.\nThe answer is {answer}", f"So \\boxed{{{answer}}}"):
        outcome = judge("theoremqa", response, gold, whole=True, **extra)
        assert outcome.status is Status.SCORED
        assert outcome.correct is right, response


def test_theoremqa_a_whole_number_that_is_a_float_has_the_tolerance_of_one() -> None:
    assert judge("theoremqa", "12.3", 12, answer_type="float").correct
    assert not judge("theoremqa", "12.3", 12, answer_type="integer").correct


@pytest.mark.parametrize("source", ["scibench", "theoremqa"])
@pytest.mark.parametrize("gold", [None, "", "a cat", [], {}, [None], ["x"], "3 m", [[1]], "1e99999"])
def test_malformed_ground_truths(source: str, gold: Any) -> None:
    for response in ("1", ""):
        outcome = judge(source, response, gold)
        assert outcome.reason is Reason.MALFORMED_GROUND_TRUTH


# SMILES

MOLECULES: list[tuple[str, str, bool]] = [
    ("CC(=O)O", "OC(C)=O", True), ("c1ccccc1O", "OC1=CC=CC=C1", True), ("CCO", "[CH3][CH2][OH]", True), ("CCO", "\\texttt{OCC}", True), ("CCO", "`OCC`", True),
    ("CCO", "SMILES: OCC", True), ("F/C=C/F", "F\\C=C\\F", True), ("F/C=C/F", "F/C=C\\F", False), ("F/C=C/F", "FC=CF", False), ("C[C@H](N)O", "C[C@@H](O)N", True),
    ("C[C@H](N)O", "C[C@@H](N)O", False), ("C[C@H](N)O", "CC(N)O", False), ("[Na+].[Cl-]", "[Cl-].[Na+]", True), ("[Na+].[Cl-]", "[Na]Cl", False),
    ("CC#N", "N\\#CC", True), ("CCO", "CCN", False), ("CCO", "C2H6O", False), ("CCO", "CCO((", False), ("CCO", "", False), ("CCO", ".", False), ("CCO", "CCO CCN", False),
    ("CCO", "CCO or CCN", False), ("CCO", "ethanol", False), ("CC(=O)[O-]", "CC(=O)O", False), ("CCO", "C" * 5_000, False),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer", "right"), MOLECULES)
def test_smiles(gold: str, answer: str, right: bool) -> None:
    pytest.importorskip("rdkit")
    outcome = judge("chem_smiles", answer, gold)
    assert outcome.status is Status.SCORED
    assert outcome.correct is right


@pytest.mark.parametrize("gold", ["", "((", "no molecule", None, 5])
def test_a_gold_that_is_no_molecule_is_malformed(gold: Any) -> None:
    pytest.importorskip("rdkit")
    assert judge("chem_smiles", "CCO", gold).reason is Reason.MALFORMED_GROUND_TRUTH


def test_without_rdkit_the_item_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rdkit", "rdkit.Chem", "rdkit.RDLogger"):
        monkeypatch.setitem(sys.modules, name, None)
    for cached in (smiles._chem, smiles.canonical):
        cached.cache_clear()
    try:
        for response in ("CCO", ""):
            outcome = judge("chem_smiles", response, "CCO")
            assert (outcome.status, outcome.reason, outcome.score) == (
                Status.ERROR,
                Reason.MALFORMED_ITEM,
                None,
            )
            assert "reward-service[science]" in outcome.detail["message"]
            assert not outcome.retryable
        assert smiles.warm_up() is False
        assert judge("stem__web", "12.3 m/s", "12.3 m/s").correct, "everything else works without it"
    finally:
        for cached in (smiles._chem, smiles.canonical):
            cached.cache_clear()
