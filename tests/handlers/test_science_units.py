"""Units, written numbers and chemical notation: what they mean, what is none, and what they cost."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers.math import Verdict
from reward_service.handlers.science import chemistry, units
from reward_service.handlers.science.number import read_number
from reward_service.handlers.science.quantity import read_quantity
from reward_service.handlers.science.reading import answer_of
from tests.cost import cpu_within

SAME = [
    ("km/h", "km h^{-1}"), ("km/h", "kilometers per hour"), ("km/h", "km·h^-1"), ("J/(mol K)", "J mol^{-1} K^{-1}"), ("J/mol/K", "J/(mol·K)"), ("kg m^2 s^-2", "J"),
    ("N m", "J"), ("N·m", "Nm"), ("W", "J/s"), ("Pa", "N/m^2"), ("V/m", "N/C"), ("T", "Wb/m^2"), ("Ω", "V/A"), ("μm", "um"), ("μm", "micrometers"), ("cm^3", "mL"),
    ("L", "dm^3"), ("m/s2", "m/s^2"), ("m s-1", "m/s"), ("square meters", "m^2"), ("meters cubed", "m^3"), ("eV", "electron volts"), ("degrees Celsius", "°C"), ("M", "mol/L"),
    ("metres", "meter"), ("%", "percent"), ("s^{-1}", "1/s"[1:]), ("mol", "moles"), ("psi", "lbf/in^2"), ("ft lb", "ft lbf"), ("deg", "°"), ("kWh", "kW h"), ("atm", "atmospheres"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_unit(one: str, other: str) -> None:
    left, right = units.readings(one), units.readings(other)
    assert any(
        a.dims == b.dims and abs(float(a.factor / b.factor) - 1) < 1e-9 and a.zero == b.zero
        for a in left
        for b in right
    )


FACTORS = [
    ("km/h", "m/s", 1 / 3.6), ("atm", "Pa", 101325), ("eV", "J", 1.602176634e-19), ("cal", "J", 4.184), ("kcal", "kJ", 4.184), ("in", "cm", 2.54), ("ft", "m", 0.3048),
    ("mi", "km", 1.609344), ("lb", "kg", 0.45359237), ("G", "T", 1e-4), ("Å", "nm", 0.1), ("amu", "kg", 1.66053906892e-27), ("hp", "W", 745.6998715822702), ("h", "s", 3600),
    ("day", "h", 24), ("mmHg", "Pa", 133.322387415), ("bar", "kPa", 100), ("deg", "rad", 0.017453292519943295), ("gal", "L", 3.785411784), ("ly", "m", 9460730472580800),
    ("D", "C·m", 3.33564e-30), ("BTU", "J", 1055.056), ("t", "kg", 1000), ("dyn", "N", 1e-5), ("erg", "J", 1e-7), ("mM", "mol/m^3", 1), ("ppm", "%", 1e-4), ("rpm", "rad/s", 0.10471975511965977),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "factor"), FACTORS)
def test_factors(one: str, other: str, factor: float) -> None:
    left, right = units.readings(one)[0], units.readings(other)[0]
    assert units.convertible(left, right)
    assert float(left.factor / right.factor) == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m", "s"),
        ("mm", "Mm"),
        ("Hz", "rad/s"),
        ("J", "W"),
        ("°C", "C"),
        ("K", "kg"),
        ("M", "m"),
        ("Pa", "Ps"),
        ("g", "G"),
        ("N", "n"),
    ],
)
def test_different_units(one: str, other: str) -> None:
    same = [
        (a, b)
        for a in units.readings(one)
        for b in units.readings(other)
        if units.convertible(a, b) and a.factor == b.factor
    ]
    assert not same


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apples",
        "x",
        "m^",
        "(m",
        "m)",
        "^2",
        "m//",
        "m^99",
        "m^{1/0}",
        "kPA",
        "a",
        "cfm",
        "the",
        "m;s",
        "5",
        "__import__",
        "m" * 90,
        "/" * 40,
        "(" * 40,
    ],
)
def test_what_is_no_unit(text: str) -> None:
    assert units.readings(text) == ()


def test_pint_is_never_asked_about_what_a_model_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parser would read `a` as a year and `cfm` as centifermi, and evaluates expressions."""
    units.warm_up()

    def refuse() -> None:
        raise AssertionError("pint was asked after the start")

    monkeypatch.setattr(units, "_pint", refuse)
    units.named.cache_clear()
    units.readings.cache_clear()
    for text in (
        "kg m^2/s^2",
        "a",
        "cfm",
        "parsecs",
        "[length]",
        "meter + second",
        "exec",
        "ÅÅ",
        "mmol",
        "GeV",
        "THz",
    ):
        units.readings(text)


@given(st.text(alphabet="kmsgJNPa/·*^{}()-+ 0123456789.°C%", max_size=30))
def test_any_text_is_a_unit_or_none_and_never_raises(text: str) -> None:
    for unit in units.readings(text):
        assert unit.factor > 0


@pytest.mark.parametrize(
    ("text", "value", "digits", "rest"),
    [
        ("12", 12, 2, ""), ("-12.50", Fraction(-25, 2), 4, ""), ("1,234.5 m", Fraction(12345, 10), 5, " m"), ("1 234 567", 1234567, 7, ""), (".5", Fraction(1, 2), 1, ""),
        ("1e3", 1000, 1, ""), ("1.5E-3 s", Fraction(3, 2000), 2, " s"), ("2 × 10^{5}", 200000, 1, ""), ("2*10**5", 200000, 1, ""), ("10^-2", Fraction(1, 100), 1, ""),
        ("3/4", Fraction(3, 4), None, ""), ("\\frac{3}{4} m", Fraction(3, 4), None, " m"), ("3.2 million people", 3200000, 2, " people"), ("1,23", 1, 1, ",23"), ("0.0020", Fraction(1, 500), 2, ""),
        ("5 x 103", 5, 1, " x 103"), ("twelve", 12, 1, ""),
    ],
)  # fmt: skip
def test_numbers(text: str, value: Fraction | int, digits: int | None, rest: str) -> None:
    found = read_number(text)
    assert found is not None
    assert (found[0].value, found[0].digits, found[1]) == (value, digits, rest)


@pytest.mark.parametrize(
    "text", ["", "x", "-", ".", "1e9999", "1/0", "\\frac{1}{0}", "9" * 100, "10^{9999}", "e5"]
)
def test_no_numbers(text: str) -> None:
    found = read_number(text)
    assert found is None or found[1].strip()


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("x = 5", "x", "5"), ("v_{\\text{max}} \\approx 5", "v_{ max}", "5"), ("\\Delta H = -3 kJ", "\\Delta H", "-3 kJ"), ("F = ma = 5 N", "F", "5 N"), ("P/P_0 = 5", "P/P_0", "5"),
        ("41 = 42", "", "41 = 42"), ("x/2 = 5", "", "x/2 = 5"), ("not x = 5", "", "not x = 5"), ("y = 3, x = 2", "", "y = 3, x = 2"), ("the answer is 5", "", "5"), ("about 5 m", "", "5 m"),
    ],
)  # fmt: skip
def test_names_in_front(text: str, name: str, rest: str) -> None:
    assert answer_of(text) == (name, rest)


# Chemistry


@pytest.mark.parametrize(
    ("text", "atoms", "charge", "state"),
    [
        ("Fe2(SO4)3", {"Fe": 2, "S": 3, "O": 12}, 0, ""), ("K_4[Fe(CN)_6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}, 0, ""), ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}, 0, ""),
        ("SO_4^{2-}(aq)", {"S": 1, "O": 4}, -2, "aq"), ("H3O+", {"H": 3, "O": 1}, 1, ""), ("Ca2+", {"Ca": 1}, 2, ""), ("SO42-", {"S": 1, "O": 4}, -2, ""), ("e^-", {"e": 1}, -1, ""),
        ("MnO4^-", {"Mn": 1, "O": 4}, -1, ""), ("\\ce{H2O}", {"H": 2, "O": 1}, 0, ""), ("H₂O", {"H": 2, "O": 1}, 0, ""),
    ],
)  # fmt: skip
def test_species(text: str, atoms: dict[str, int], charge: int, state: str) -> None:
    first = chemistry.species(text)[0]
    assert (dict(first.atoms), first.charge, first.state) == (atoms, charge, state)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "h2o",
        "H2O)",
        "(H2O",
        "H0",
        "H99999",
        "()",
        "2",
        "H2O^{+-}",
        "Na^{2+3}",
        "F=ma",
        "H" * 500,
        "(" * 100,
        "H_",
        "[]2",
    ],
)
def test_no_species(text: str) -> None:
    assert chemistry.species(text) == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(["H", "C", "Na", "Cl", "Fe"]), st.integers(1, 9)), min_size=1, max_size=5
    )
)
def test_a_formula_is_its_count(parts: list[tuple[str, int]]) -> None:
    counts: dict[str, int] = {}
    for element, count in parts:
        counts[element] = counts.get(element, 0) + count
    text = "".join(f"{element}{count}" for element, count in parts)
    wrapped = "".join(f"({element})_{{{count}}}" for element, count in parts)
    for written in (text, wrapped):
        assert dict(chemistry.species(written)[0].atoms) == counts


@given(st.integers(1, 9), st.permutations(["2 H_2", "O_2", "N_2"]))
def test_an_equation_stays_itself_when_multiplied_and_reordered(factor: int, left: list[str]) -> None:
    gold = chemistry.equation("2H2 + O2 + N2 -> 2HNO + H2O")
    sides = [f"{factor * (2 if part.startswith('2') else 1)} {part.removeprefix('2 ')}" for part in left]
    answer = chemistry.equation(" + ".join(sides) + f" \\rightarrow {factor} H2O + {2 * factor} HNO")
    assert gold is not None and answer is not None
    assert chemistry.same_equation(gold, answer) is Verdict.EQUAL
    wrong = chemistry.equation(" + ".join(sides) + f" -> {factor + 1} H2O + {2 * factor} HNO")
    assert wrong is not None
    assert chemistry.same_equation(gold, wrong) is Verdict.NOT_EQUAL


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "H",
        "H2",
        "+",
        "->",
        "H+",
        "·5H2O",
        "[(",
        "^{2-}",
        "_2",
        "m/",
        "m ",
        "kg·",
        "1,",
        "×10^",
        "\\frac{",
        "x = ",
        "°",
        "(m",
        "5 m, ",
        " and ",
    ],
)
def test_long_texts_are_cheap(piece: str) -> None:
    text = piece * (2_000 // len(piece))
    with cpu_within(1.0):
        for read in (
            units.readings,
            chemistry.species,
            chemistry.equation,
            chemistry.nuclide,
            read_quantity,
            read_number,
            answer_of,
        ):
            read(text)
