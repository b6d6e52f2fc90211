"""Open science answers: what equals what, what is another answer, and what goes to a judge model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.questions import Ask, Opinion, Verdict
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status

Decision = Outcome | Ask


def judge(
    answer: str,
    gold: Any,
    question: str = "",
    answer_type: str = "",
    *,
    source: str = "stem__web",
    profile: Profile = Profile.STRICT,
    whole: bool = False,
    **extra: Any,
) -> Decision:
    """The decision on a boxed answer (`whole`: on a whole response)."""
    route = load().route(source)
    assert route is not None
    fields = {
        **({"question": question} if question else {}),
        **({"answer_type": answer_type} if answer_type else {}),
        **extra,
    }
    response = answer if whole else f"Worked out above. \\boxed{{{answer}}}"
    decision = route.handler.plan(Item(route.data_source, response, gold, fields, profile, route.source.name))
    assert isinstance(decision, Outcome | Ask)
    return decision


def verdict(decision: Decision) -> str:
    if isinstance(decision, Ask):
        return "asks"
    assert decision.status is Status.SCORED, decision.detail
    return "equal" if decision.correct else "not equal"


EQUAL: list[tuple[str, Any] | tuple[str, Any, str]] = [
    # numbers and their dress
    ("8645.09", "$8,645.09"), ("\\$8{,}645.09", "8645.09"), ("8645.09 dollars", "$8,645.09"), ("3\\times10^8", "3e8"),
    ("3.0 \\cdot 10^{8}\\ \\text{m/s}", "3e8"), ("\\approx 22.4", "22.4"), ("v_2 = 22.4", "22.4"), ("E = hc/\\lambda = 3.2\\text{ eV}", "3.2 eV"),
    ("\\frac{1}{2}", "0.5"), ("-0.5", "-\\frac{1}{2}"), ("0.333", "1/3"), ("1\\,204", "1204"), ("zero", "0"), ("2", "two"), ("3.2 \\text{ million}", "3200000"),
    ("5\\sqrt{3}", "8.66"), ("8.66", "5\\sqrt{3}"), ("0.693", "\\ln(2)"), ("10^{-3}", "0.001"), ("2.0 x 10-3", "0.002"), ("５.５", "5.5"),
    # digits: decimals round to one another
    ("12.35", "12.3456"), ("12.3456", "12.35"), ("71.4\\text{ m}", "71 m"), ("8645.1", "8,645.09"),
    ("\\frac{84}{2}", "42"), ("½", "0.5"), ("\u202e5", "5"), ("5^{}", "5"), ("\\{2, -2\\}", "\\{-2, 2\\}"), ("5\\%", "5"),
    # units
    ("12.3", "12.3 m/s"), ("12.3\\,m/s", "12.3 m/s"), ("12.3\\ m/s", "12.3 m/s"), ("44.28\\ \\text{km/h}", "12.3 m/s"), ("12.3\\ \\mathrm{m}\\,\\mathrm{s}^{-1}", "12.3 m/s"), ("12.3 ms^{-1}", "12.3 m/s"),
    ("12.3 meters per second", "12.3 m/s"), ("12.3 m/s downward", "12.3 m/s"), ("100\\text{ N, right}", "100 N to the right"), ("100 N towards the left", "100 N left"), ("0.25\\ \\mu\\mathrm{F}", "250 nF"), ("2.5\\,\\mathrm{k}\\Omega", "2500 ohms"),
    ("8.314 J/(mol·K)", "8.314 J/mol K"), ("4180 J kg^{-1} K^{-1}", "4.18 J/(g °C)"), ("760 mmHg", "1.00 atm"), ("1.2 mol/L", "1.2 M"), ("445 N", "100 lb"),
    ("26.8\\text{ m/s}", "60.0 mph"), ("0.785\\text{ rad}", "45.0°"), ("9 square meters", "9.0 m^2"), ("500 cm^3", "0.500 L"), ("5 \\text{ s}^{-1}", "5 Hz"),
    ("22 kPa", "22 kPA"), ("881000 J", "6.50e5 ft-lb"), ("3.6e6 J", "1.00 kWh"),
    ("2 h 30 min", "2.5 h"), ("150 min", "2 h 30 min"), ("5\\text{ ft } 3\\text{ in}", "63.0 in"), ("1 hour and 15 minutes", "75.0 min"),
    ("[OH^-] = 1.0\\times10^{-5} M", "1.0e-5 M"), ("\\Delta G^\\circ = -5.0 kJ", "-5.0 kJ"), ("E^0_{cell} = 1.10 V", "1.10 V"), ("pH = 7.4", "7.4"), ("0.50c", "0.5c"),
    # temperatures
    ("298 K", "25 °C"), ("77\\,^{\\circ}\\mathrm{F}", "25.0 °C"), ("25\\,^\\circ C", "298 K"), ("-40 °F", "-40 °C"),
    ("10 K", "10 °C", "What is the temperature change?"), ("25 C", "25 °C"),
    # percent
    ("12.5\\%", "12.5%"), ("12.5 percent", "12.5%"), ("0.125", "12.5%"), ("12.5", "12.5%"), ("12.5\\%", "0.125"), ("12.5\\%", "12.5", "What percent is lost?"),
    # said twice, both right
    ("0.25 = 25\\%", "0.25"), ("5.0\\text{ m} (500 cm)", "5.0 m"), ("\\frac{1}{3} \\approx 0.333", "1/3"),
    # where only the question knows the unit
    ("5000 m", "5", "How far is it, in km?"), ("5 km", "5", "How many km is it?"), ("5 m", "5", "How far is it?"),
    # labels
    ("5", "5 protons"), ("5 protons", "5"), ("5 proton", "5 protons"), ("1.5 \\text{ times}", "1.5"),
    # chemistry
    ("H_2SO_4", "H2SO4"), ("\\mathrm{SO_4^{2-}}", "SO42-"), ("SO₄²⁻", "SO_4^{2-}"), ("NaCl(aq)", "NaCl"), ("CuSO_4 \\cdot 5H_2O", "CuSO4·5H2O"), ("Fe^{3+}", "Fe3+"),
    ("2 H_2 + O_2 \\rightarrow 2 H_2O", "2H2 + O2 -> 2H2O"), ("H_2 + \\frac{1}{2} O_2 \\to H_2O", "2H2 + O2 -> 2H2O"), ("O2+2H2=2H2O", "2H2+O2→2H2O"),
    ("Zn -> Zn2+ + 2e-", "Zn \\rightarrow Zn^{2+} + 2e^-"), ("^{14}_{6}\\mathrm{C}", "carbon-14"), ("C-14", "^{14}C"), ("He", "helium"), ("carbon", "C"),
    ("1s²2s²2p⁶", "1s^2 2s^2 2p^6"), ("[Ne] 3s^{2} 3p^{3}", "[Ne]3s²3p³"),
    # expressions
    ("\\frac12 m v^2", "\\frac{mv^2}{2}"), ("v=\\sqrt{2gh}", "\\sqrt{2gh}"), ("nRT = PV", "PV = nRT"), ("\\exp(-t/\\tau)", "e^{-t/\\tau}"), ("infinity", "\\infty"),
    ("\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
    # yes and no, options
    ("Yes", "yes"), ("\\text{True}", "True"), ("not false", "True"), ("untrue", "False"), ("No, because the sum diverges.", "No"), ("No, it is not possible", "No"),
    ("the statement is true", True), ("Yes", "Yes, it is"), ("No", "No. It sinks."), ("\\frac{\\pi}{6}", "30°"), ("(B)", "B"), ("B) 5 m", "B"), ("b", "(b)"), ("Option B", "(b)"),
    # lists
    ("15.3\\text{ m/s}, 22^\\circ", "15.3 m/s, 22°"), ("y = 3, x = 2", "x = 2, y = 3"), ("oxygen, carbon and hydrogen", "carbon, hydrogen, oxygen"), ("(2.0, 3)", "(2, 3)"),
    ("2; 3", [2, 3]),
    # short text
    ("The mitochondria", "mitochondria"), ("increases", "It increases"), ("Rayleigh  scattering", "rayleigh scattering"), ("co-operative", "cooperative"),
]  # fmt: skip


@pytest.mark.parametrize("row", EQUAL, ids=lambda row: f"{row[0]} | {row[1]}")
def test_equal(row: tuple[Any, ...]) -> None:
    decision = judge(*row)
    assert verdict(decision) == "equal"


NOT_EQUAL: list[tuple[str, Any] | tuple[str, Any, str]] = [
    ("41 = 42", "42"), ("42 or 43", "42"), ("42, 43", "42"), ("42 43", "42"), ("not 42", "42"), ("not x = 42", "42"), ("x/2 = 42", "42"), ("2x = 42", "42"),
    ("x > 42", "42"), ("x \\neq 42", "42"), ("42 \\pm 1", "42"), ("42!", "42"), ("42i", "42"), ("42x", "42"), ("42^2", "42"), ("40+2", "42"), ("43", "42"), ("-42", "42"),
    ("42.4", "42"), ("420", "42"), ("0.25 = 26\\%", "0.25"), ("5.0\\text{ m} (50 cm)", "5.0 m"), ("at least 42", "42"), ("42 or so", "42"), ("42 million", "42"),
    ("between 41 and 43", "42"), ("8.67", "5\\sqrt{3}"), ("0.33", "1/3"), ("0.42", "0.41837"), ("12.4", "12.3456"), ("72 m", "71 m"), ("2018", "2019"), ("2019.4", "2019"),
    ("2 h 90 min", "3.5 h"), ("100 N to the left", "100 N to the right"), ("5 m upward", "5 m downward"), ("\\frac{\\pi}{3}", "30°"), ("No", "Yes, it is"), ("2 h 30 m", "2.5 h"), ("5 m 5 m", "10 m"), ("x^2 = 42", "42"), ("12.3 km/h", "12.3 m/s"), ("12.3 m", "12.3 m/s"), ("12.3 Mm", "12.3 mm"), ("5 rad/s", "5 Hz"), ("10 K", "10 °C"), ("25 °F", "25 °C"), ("5\\%", "5", "How many of them are left?"), ("5000\\%", "50"), ("4/6", "2/3"), ("1=1", "1"), ("2 5", "25"), ("x^2y", "x^{2y}"), ("5 and 6 m", "5 m"), ("(lambda: 42)()", "42"), ("1250\\%", "12.5%"),
    ("5 km", "5", "How far is it, in m?"), ("€8,645.09", "$8,645.09"), ("none of the above", "5 m"), ("large", "5 m"),
    ("Co", "CO"), ("H2O2", "H2O"), ("Fe2+", "Fe3+"), ("SO_3^{2-}", "SO_4^{2-}"), ("NaCl(s)", "NaCl(aq)"), ("NaCl", "NaCl(aq)", "Give the formula with its state."),
    ("H_2 + O_2 \\to H_2O", "2H2 + O2 -> 2H2O"), ("2H_2O \\to 2H_2 + O_2", "2H2 + O2 -> 2H2O"), ("H2 + 1/2 O2 -> H2O", "2H2 + O2 -> 2H2O", "Balance with the smallest whole numbers."),
    ("4H2 + O2 -> 4H2O", "2H2 + O2 -> 2H2O"), ("^{13}C", "carbon-14"), ("^{14}_7C", "carbon-14"), ("N-14", "^{14}C"), ("1s^2 2s^2 2p^5", "1s^2 2s^2 2p^6"),
    ("\\frac12 m v", "\\frac{mv^2}{2}"), ("mv^2", "\\frac{mv^2}{2}"), ("0.5", "\\frac{mv^2}{2}"),
    ("No", "Yes"), ("yes or no", "Yes"), ("unknown", "No"), ("another", "No"), ("maybe", "Yes"), ("Yes, but no", "Yes"), ("true and false", "True"), ("not true", "True"),
    ("C", "(b)"), ("(a) (b) (c)", "(b)"), ("not b", "(b)"), ("B", "A"), ("B) 5 m", "A"),
    ("x = 3, y = 2", "x = 2, y = 3"), ("2, 4", "2, 3"), ("2, 3, 4", "2, 3"), ("2", "2, 3"), ("carbon, oxygen, neon", "carbon, oxygen"),
    ("decreases", "increases"), ("42", "mitochondria"), ("photon, electron", "photon"), ("either scattering or absorption", "scattering"),
]  # fmt: skip


@pytest.mark.parametrize("row", NOT_EQUAL, ids=lambda row: f"{row[0]} | {row[1]}")
def test_not_equal(row: tuple[Any, ...]) -> None:
    assert verdict(judge(*row)) == "not equal"


ASKS: list[tuple[str, Any, str, str]] = [
    ("light is scattered by the air", "Rayleigh scattering", "", "prose"),
    ("ribosome", "mitochondria", "", "prose"),
    ("k T \\ln 2", "k_B T \\ln 2", "", "other_symbols"),
    ("a = F/m", "F = ma", "", "other_symbols"),
    ("v", "V", "", "letter_case"),
    ("the square root of the product", "\\sqrt{gh}", "", "prose_for_an_expression"),
    ("sodium chloride", "NaCl", "", "other_notation"),
    ("CH3OCH3", "CH3CH2OH", "", "isomers"),
    ("3, 2", "2, 3", "", "order"),
    ("5 neutrons", "5 protons", "", "other_label"),
    ("5 km", "5", "How far is it?", "unit_not_asked_for"),
    ("15", "15g", "", "unit_or_variable"),
    ("carbon dioxide gas", "(b)", "", "option_by_its_text"),
    ("100 N", "100 N to the right", "", "other_remark"),
    ("5 m north", "5 m east", "", "other_remark"),
    ("CB", "BC", "", "letters_or_elements"),
    ("it takes 42 days to finish", "42", "", "number_in_prose"),
    ("3.5", "3.5 \\pm 0.2", "", "uncertainty"),
]


@pytest.mark.parametrize(("answer", "gold", "question", "why"), ASKS)
def test_asks_a_judge_and_says_why(answer: str, gold: Any, question: str, why: str) -> None:
    decision = judge(answer, gold, question)
    assert isinstance(decision, Ask), decision
    assert decision.notes["why"] == why
    assert decision.question.ground_truth == gold
    assert decision.question.question == question


def test_an_opinion_decides_what_the_rules_could_not() -> None:
    handler = load().handlers["science"]
    assert handler.judge is not None
    asked = judge("ribosome", "mitochondria", "Which organelle?")
    assert isinstance(asked, Ask)
    blank = Item("stem__web", "", None)
    told = {said: handler.judge(blank, asked.notes, [Opinion(said, "m")]) for said in Verdict}
    assert {said: (o.score, o.reason) for said, o in told.items() if isinstance(o, Outcome)} == {
        Verdict.YES: (1.0, Reason.JUDGE_YES),
        Verdict.NO: (0.0, Reason.JUDGE_NO),
        Verdict.ABSTAIN: (None, Reason.JUDGE_UNAVAILABLE),
    }


@pytest.mark.parametrize(
    "gold", ["42", "12.3 m/s", "Yes", "(b)", "2, 3", "1/3", "$8,645.09", "^{14}C", "5\\sqrt{3}", "12.5%"]
)
@given(answer=st.text(max_size=40))
def test_numbers_and_closed_vocabularies_are_never_put_to_a_judge_without_the_value(
    gold: str, answer: str
) -> None:
    """Only where the right number stands in prose, or a list or option is written otherwise, may there be doubt."""
    decision = judge(answer, gold)
    if isinstance(decision, Ask):
        assert decision.notes["why"] in {
            "number_in_prose", "order", "items", "option_by_its_text", "other_notation", "other_label", "unknown_unit",
            "prose_for_an_expression",
        }  # fmt: skip
        assert any(character.isalnum() for character in answer)


@pytest.mark.parametrize(
    ("answer_type", "answer", "gold", "equal"),
    [
        ("Percentage", "5\\%", "5", True),
        ("Percentage", "5", "5", True),
        ("Percentage", "0.05", "5", True),
        ("Percentage", "50", "5", False),
        ("Boolean", "1", "1", True),
        ("Multiple Choice", "C", "C", True),
        ("Multiple Choice", "(c) 5 m", "C", True),
        ("Multiple Choice", "A", "C", False),
        ("Chemical Formula", "He", "He", True),
        ("smiles", "OCC", "CCO", True),
        ("smiles", "COC", "CCO", False),
    ],
)
def test_the_answer_type_is_a_hint(answer_type: str, answer: str, gold: str, equal: bool) -> None:
    if answer_type == "smiles":
        pytest.importorskip("rdkit")
    assert verdict(judge(answer, gold, answer_type=answer_type)) == ("equal" if equal else "not equal")


@pytest.mark.parametrize(
    ("response", "score", "reason"),
    [
        ("The final answer is 42.", 1.0, Reason.EQUAL),
        ("So <answer>42</answer>", 1.0, Reason.EQUAL),
        ("<think>\\boxed{41}</think> \\boxed{42}", 1.0, Reason.EQUAL),
        ("\\boxed{41}, no: \\boxed{42}", 1.0, Reason.EQUAL),
        ("\\boxed{42}, no: \\boxed{41}", 0.0, Reason.NOT_EQUAL),
        ("\\boxed{42}. Actually, the answer is 41.", 0.0, Reason.NOT_EQUAL),
        ("<answer>\\boxed{42}</answer>", 1.0, Reason.EQUAL),
        ("It is 42.", 0.0, Reason.NO_ANSWER),
        ("\\boxed{}", 0.0, Reason.NO_ANSWER),
        ("\\boxed{ . }", 0.0, Reason.NO_ANSWER),
        ("\\boxed{42", 0.0, Reason.NO_ANSWER),
        ("<think>\\boxed{42}", 0.0, Reason.NO_ANSWER),
        ("\\boxed{" + "4" * 3_000 + "}", 0.0, Reason.MALFORMED_ANSWER),
        ("\\boxed{42 or 43}", 0.0, Reason.AMBIGUOUS_ANSWER),
        ("", 0.0, Reason.NO_ANSWER),
    ],
)
def test_where_the_answer_stands(response: str, score: float, reason: Reason) -> None:
    outcome = judge(response, "42", whole=True)
    assert isinstance(outcome, Outcome)
    assert (outcome.score, outcome.reason) == (score, reason)


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("\\boxed{42}", 1.0),
        ("<think>\\boxed{42}", 1.0),
        ("\\boxed{42} \\boxed{41}", 0.0),
        ("The answer is 42.", 0.0),
        ("<answer>42</answer>", 0.0),
        ("\\boxed{}", 0.0),
    ],
)
def test_guru_takes_the_last_box_of_the_whole_text(response: str, score: float) -> None:
    outcome = judge(response, "42", whole=True, profile=Profile.GURU)
    assert isinstance(outcome, Outcome)
    assert outcome.score == score


@pytest.mark.parametrize(
    "gold", [None, "", "  ", ".", "?", [], [[1]], {}, {"a": 1}, 1.7e308, "x" * 5_000, [None]]
)
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge("42", gold, profile=profile)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@pytest.mark.parametrize(
    "name",
    [
        "stem_web", "stem__web", "stem__web_3.6k", "stem_web_3.6k", "WebInstruct-verified", "TIGER-Lab/WebInstruct-verified", "nemotron_stem",
        "stem__nemotron_stem", "nemotron_stem_v1", "science", "science__physics", "stem__webinstruct_general", "scibench", "theoremqa", "stem__chem_smiles",
    ],
)  # fmt: skip
def test_names(name: str) -> None:
    route = load().route(name)
    assert route is not None
    assert route.handler.name == "science"


@given(
    st.text(max_size=60),
    st.sampled_from(["42", "12.3 m/s", "H2O", "2H2 + O2 -> 2H2O", "\\frac{a}{b}", "a cat", "1, 2"]),
)
def test_any_text_is_judged_and_always_alike(text: str, gold: str) -> None:
    first, second = judge(text, gold), judge(text, gold)
    assert first == second
    if isinstance(first, Outcome):
        assert first.status is Status.SCORED


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_whole_numbers_are_equal_exactly_when_they_are(one: int, other: int) -> None:
    assert verdict(judge(str(other), str(one))) == ("equal" if one == other else "not equal")


@given(
    st.decimals(min_value=-(10**6), max_value=10**6, places=3, allow_nan=False),
    st.sampled_from(
        [("m", "km", 1000), ("m", "mm", 0.001), ("J", "kJ", 1000), ("s", "ms", 0.001), ("g", "kg", 1000)]
    ),
)
def test_a_converted_quantity_is_the_same_and_an_unconverted_one_is_not(
    value: Any, units: tuple[str, str, float]
) -> None:
    small, large, factor = units
    number = float(value)
    there = f"{number / factor!r} {large}"
    assert verdict(judge(there, f"{number!r} {small}")) == "equal"
    if number:
        assert verdict(judge(f"{number!r} {large}", f"{number!r} {small}")) == "not equal"
