"""CodeI/O: which JSON value is the answer, and when it equals the reference."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._json_answer import close, read_value, same_value
from reward_service.handlers.json_output import parse_gold
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

SOURCE = "simulation__codeio"
OUTPUT = '"output": {"total": 42, "names": ["Ida", "Bo"], "mean": 10.5}'
RIGHT = '{"output": {"total": 42, "names": ["Ida", "Bo"], "mean": 10.5}}'
WRONG = '{"output": {"total": 41, "names": ["Ida", "Bo"], "mean": 10.5}}'
INPUT = '"input": {"weights": [4, 7], "limit": 9}'


def judge(
    response: str,
    gold: Any = OUTPUT,
    extra: dict[str, Any] | None = None,
    *,
    profile: Profile = Profile.STRICT,
) -> Outcome:
    route = load().route(SOURCE)
    assert route is not None
    return route.handler.plan(Item(SOURCE, response, gold, extra or {}, profile, SOURCE))


@pytest.mark.parametrize(
    "response",
    [
        f"Adding up.\n```json\n{RIGHT}\n```",
        f"```json{RIGHT}```",
        f"```\n{RIGHT}\n```",
        f"~~~json\n{RIGHT}\n~~~",
        f"Answer {RIGHT}",
        RIGHT,
        RIGHT.replace(" ", ""),
        json.dumps(json.loads(RIGHT), indent=4),
        f"\\boxed{{{RIGHT}}}",
        f"$\\boxed{{\\text{{{RIGHT}}}}}$.",
        f"\\boxed{{{OUTPUT}}}",
        f"```json\n\\boxed{{{RIGHT}}}\n```",
        "\\boxed{\\{" + OUTPUT.replace("{", "\\{").replace("}", "\\}") + "\\}}",
        '{"output": {"mean": 10.5, "names": ["Ida", "Bo"], "total": 42}}',
        '{"output": {"mean": 10.5, "names": ["Ida", "Bo"], "total": 42.0}}',
        '{"output": {"mean": 1.05e1, "names": ["Ida", "Bo"], "total": 42}}',
        "{'output': {'total': 42, 'names': ['Ida', 'Bo'], 'mean': 10.5}}",
        "{'output': {'total': 42, 'names': ('Ida', 'Bo'), 'mean': 10.5,}}",
        '{"reasoning": "the sum of {1, 2}\nand so on", "output": ' + RIGHT[11:],
        '{"reasoning": "so \\( x > 1 \\)", "output": ' + RIGHT[11:],
        '{"input": {"n": 3}, "output": ' + RIGHT[11:],
        '{"total": 42, "names": ["Ida", "Bo"], "mean": 10.5}',
        '\\boxed{{"total": 42, "names": ["Ida", "Bo"], "mean": 10.5}}',
        f"{RIGHT}\nHope this helps {{smile}}",
        f"{RIGHT}\nwhere $\\frac{{84}}{{2}}$ is the total",
        f"{RIGHT}\n\nThe total is \\boxed{{42}}.",
        f"```json\n{WRONG}\n```\nafter fixing the sum:\n```json\n{RIGHT}\n```",
        f"<think>```json\n{WRONG}\n```</think>\n{RIGHT}",
        f'For {{"input": {{"n": 3}}}} we get\n{RIGHT}',
        f"{RIGHT}\n{RIGHT}",
        f"{RIGHT}<|im_end|>",
    ],
)
def test_accepts(response: str) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (WRONG, Reason.NOT_EQUAL),
        (f"```json\n{RIGHT}\n```\nno wait:\n```json\n{WRONG}\n```", Reason.NOT_EQUAL),
        (f"{RIGHT}\nno wait: {WRONG}", Reason.NOT_EQUAL),
        ('{"output": null}', Reason.NOT_EQUAL),
        ('{"output": {}}', Reason.NOT_EQUAL),
        ('{"output": ' + RIGHT + "}", Reason.NOT_EQUAL),
        ('{"output": [42, ["Ida", "Bo"], 10.5]}', Reason.NOT_EQUAL),
        ('{"output": {"total": 42, "names": ["Bo", "Ida"], "mean": 10.5}}', Reason.NOT_EQUAL),
        ('{"output": {"total": 42, "names": ["Ida", "Bo"]}}', Reason.NOT_EQUAL),
        ('{"output": {"total": 42, "names": ["Ida", "Bo"], "mean": 10.5, "more": 1}}', Reason.NOT_EQUAL),
        ('{"output": {"total": "42", "names": ["Ida", "Bo"], "mean": 10.5}}', Reason.NOT_EQUAL),
        ('{"output": {"total": [42, 41], "names": ["Ida", "Bo"], "mean": 10.5}}', Reason.NOT_EQUAL),
        (json.dumps({"output": RIGHT[11:-1]}), Reason.NOT_EQUAL),
        ("", Reason.NO_ANSWER),
        ("I can't tell.", Reason.NO_ANSWER),
        ("```json\n```", Reason.NO_ANSWER),
        ('{"result": 42}', Reason.NO_ANSWER),
        ('{"input": {"total": 42}}', Reason.NO_ANSWER),
        (f"<think>{RIGHT}</think> done", Reason.NO_ANSWER),
        (f"<think>{RIGHT}", Reason.NO_ANSWER),
        ('{"output": <your output>}', Reason.MALFORMED_ANSWER),
        ('{"output": {"total": 42, "names": ["Ida"', Reason.MALFORMED_ANSWER),
        ('{"answer": ' + RIGHT + "}", Reason.MALFORMED_ANSWER),
        ('{"output": ' + RIGHT[11:-1] + ", oops}", Reason.MALFORMED_ANSWER),
        ('{"output": NaN}', Reason.MALFORMED_ANSWER),
        ('{"output": 1e999}', Reason.MALFORMED_ANSWER),
        ('{"output": 40 + 2}', Reason.MALFORMED_ANSWER),
        (f'{{"output": 1, {RIGHT[1:]}', Reason.MALFORMED_ANSWER),
        (f'{RIGHT} or rather {{"output": 41, "output": 42}}', Reason.MALFORMED_ANSWER),
        (f'{RIGHT}\nHm, once more:\n```json\n{{"output": {{"total": 4', Reason.MALFORMED_ANSWER),
        (f"{WRONG} {RIGHT}", Reason.AMBIGUOUS_ANSWER),
        (f"{RIGHT}, or {WRONG}", Reason.AMBIGUOUS_ANSWER),
        (f"```json\n{WRONG}\n```\n```json\n{RIGHT}\n```", Reason.AMBIGUOUS_ANSWER),
        (f"[{WRONG}, {RIGHT}]", Reason.AMBIGUOUS_ANSWER),
        (f"The output is not {RIGHT}", Reason.AMBIGUOUS_ANSWER),
        (f"{RIGHT} or 42", Reason.AMBIGUOUS_ANSWER),
    ],
)
def test_rejects(response: str, reason: Reason) -> None:
    outcome = judge(response)
    assert (outcome.score, outcome.reason) == (0.0, reason)


SAME = [
    ("true", "true"),
    ("null", "null"),
    ("3", "3"),
    ("3", "3.0"),
    ("-1", "-1.0"),
    ("0", "-0.0"),
    ("0.0", "0"),
    ("2.0", "2"),
    ("2.5", "2.5024"),
    ("-14.25", "-14.26"),
    ("123456789012345678901", "123456789012345678901"),
    ("123456789012345678901", "123456789012345678901.0"),
    ('"Q"', '"Q"'),
    ('"a\\nb"', '"a\\nb"'),
    ('"é"', '"\\u00e9"'),
    ("[]", "[]"),
    ("[[1.0, 2.5], [], {}]", "[[1, 2.501], [], {}]"),
    ('{"1": true}', '{"1": true}'),
]
OTHER = [
    ("true", "1"),
    ("true", '"true"'),
    ("false", "0"),
    ("false", "null"),
    ("false", "[]"),
    ("null", '"null"'),
    ("null", "{}"),
    ("null", "false"),
    ("1", "true"),
    ("1.0", "true"),
    ("3", "3.0000001"),
    ("3", "4"),
    ("3", '"3"'),
    ("3", "[3]"),
    ("3", "[3, 4]"),
    ("1000000", "1000001"),
    ("123456789012345678901", "123456789012345678902"),
    ("123456789012345678901", "123456789012345678902.0"),
    ("123456789012345678901", "1.2345678901234568e20"),
    ("2.0", "1.9999"),
    ("2.5", "2.503"),
    ("7.9999", "8.0"),
    ("75330.8", "75345.9"),
    ("0.0", "1e-9"),
    ("0.5", "-0.5"),
    ("1e300", "1" + "0" * 400),
    ('"Q"', '"q"'),
    ('"Q"', '" Q"'),
    ('"[1]"', "[1]"),
    ("[1]", '"[1]"'),
    ("[1, 2]", "[2, 1]"),
    ("[1, 2]", "[1, 2, 2]"),
    ("[]", "{}"),
    ("{}", "[]"),
    ('{"a": 1}', '{"A": 1}'),
    ('{"a": 1}', '[["a", 1]]'),
]


@pytest.mark.parametrize(("reference", "value"), SAME)
def test_equal_values(reference: str, value: str) -> None:
    assert judge(f'{{"output": {value}}}', f'"output": {reference}').correct
    assert judge(f"\\boxed{{{value}}}", f'"output": {reference}').correct
    if "\\" not in value:
        assert judge(f"\\boxed{{\\text{{{value}}}}}", f'"output": {reference}').correct


@pytest.mark.parametrize(("reference", "value"), OTHER)
def test_other_values(reference: str, value: str) -> None:
    assert judge(f'{{"output": {value}}}', f'"output": {reference}').correct is False
    assert judge(f"\\boxed{{{value}}}", f'"output": {reference}').correct is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': (1, 2), 3: None, True: 'x'}", {"a": [1, 2], "3": None, "true": "x"}),
        ('{"a": "\\frac{1}{2}"}', {"a": "\frac{1}{2}"}),
        ('{"a": "\\(x\\)"}', {"a": "\\(x\\)"}),
        ('{"a": 1,}', {"a": 1}),
    ],
)
def test_what_is_read_as_json_would_have_it(text: str, value: Any) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize(
    "text",
    ["{1, 2}", "1j", "b'x'", "{1: 2, '1': 3}", "f(1)", "[1][0]", "1 + 1", "[*'ab']", "inf", "-Infinity", ""],
)
def test_what_is_not_data_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_value(text)


def test_input_prediction_is_compared_with_the_reference_input() -> None:
    right = '{"input": {"limit": 9, "weights": [4, 7]}}'
    assert judge(f"```json\n{right}\n```", INPUT).correct
    assert judge(f"\\boxed{{{right}}}", INPUT).correct
    assert judge('{"limit": 9, "weights": [4, 7]}', INPUT).correct
    other = judge('{"input": {"limit": 8, "weights": [4, 7]}}', INPUT)
    assert (other.score, other.reason) == (0.0, Reason.NOT_EQUAL)
    assert other.detail == {"compared_with": "the reference input"}
    assert not judge('{"output": {"limit": 9, "weights": [4, 7]}}', INPUT).correct
    assert not judge('{"input": null}', INPUT).correct
    assert not judge('\\boxed{"weights"}', INPUT).correct


@pytest.mark.parametrize(
    ("gold", "extra"),
    [
        ('"output": 3', {}),
        (' "output" : 3 ', {}),
        ('{"output": 3}', {}),
        ({"output": 3}, {}),
        ({"output": 3}, {"mode": "input"}),
        ({"input": {"n": 1}, "output": 3}, {"mode": "output"}),
        ('"input": {"n": 1}, "output": 3', {"mode": "output"}),
    ],
)
def test_ground_truth_forms(gold: Any, extra: dict[str, Any]) -> None:
    assert judge('{"output": 3}', gold, extra).correct
    assert judge('{"output": 4}', gold, extra).correct is False


@pytest.mark.parametrize(
    "gold",
    [
        None,
        "",
        3,
        [1],
        "3",
        "null",
        '"output":',
        '"output": NaN',
        '"output": [1, -Infinity]',
        '"output": 1, "output": 2',
        '"output": f(1)',
        '"result": 3',
        {"result": 3},
        {"output": float("inf")},
        {"input": {"n": 1}, "output": 3},
        '"output": ' + "[" * 400 + "]" * 400,
        '"output": ' + "[" * 50_000 + "]" * 50_000,
    ],
)
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(gold: Any, profile: Profile) -> None:
    outcome = judge('{"output": null}', gold, profile=profile)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_deep_values_are_compared() -> None:
    deep = "[" * 150 + "]" * 150
    assert judge(f'{{"output": {deep}}}', f'"output": {deep}').correct
    assert judge(f'{{"output": {deep[1:-1]}}}', f'"output": {deep}').correct is False


@pytest.mark.parametrize("profile", Profile)
def test_an_unreadable_answer_is_no_null(profile: Profile) -> None:
    for response in ("no idea", "", "```json\n[1\n```", '{"output": <null>}', "```json\nnull\n```"):
        assert judge(response, '"output": null', profile=profile).correct is False
    assert judge('{"output": null}', '"output": null', profile=profile).correct


@pytest.mark.parametrize(
    ("response", "gold", "right"),
    [
        (f"```json\n{RIGHT}\n```", OUTPUT, True),
        (f"Answer {RIGHT}", OUTPUT, True),
        (f"```json\n{RIGHT}\n```\nno wait:\n```json\n{WRONG}\n```", OUTPUT, True),
        (f"```json\n{WRONG}\n```\nno wait:\n```json\n{RIGHT}\n```", OUTPUT, False),
        (f"<think>```json\n{RIGHT}\n```</think>```json\n{WRONG}\n```", OUTPUT, True),
        (f"\\boxed{{{RIGHT}}}", OUTPUT, False),
        (f"\\boxed{{{OUTPUT}}}", OUTPUT, True),
        (f"{RIGHT} {{smile}}", OUTPUT, False),
        ("{'output': 3}", '"output": 3', False),
        ('{"output": 1}', '"output": true', True),
        ('{"output": "true"}', '"output": true', True),
        ('{"output": "[1, 2]"}', '"output": [1, 2]', True),
        ('{"output": 2.0001}', '"output": 2.0', False),
        ('{"input": {"weights": [4, 7], "limit": 9}}', INPUT, True),
        ('{"weights": [4, 7], "limit": 9}', INPUT, True),
        ('{"output": 1, "output": 3}', '"output": 3', True),
        ("```python\nprint(3)\n```\n" + '{"output": 3}', '"output": 3', False),
    ],
)
def test_guru_is_the_published_rule(response: str, gold: str, right: bool) -> None:
    assert judge(response, gold, profile=Profile.GURU).correct is right


def test_flags_several_answers() -> None:
    assert judge(f"{WRONG} so, fixing it, {RIGHT}").flags == ("multiple_answers",)
    assert judge(f"{RIGHT} so, again, {RIGHT}").flags == ()


def test_the_trace_is_filled_in_only_when_asked_for() -> None:
    route = load().route(SOURCE)
    assert route is not None
    asked = route.handler.plan(Item(SOURCE, WRONG, '"output": 3', {}, source=SOURCE, explain=True))
    assert asked.trace == {"mode": "output", "reference": 3}
    assert not judge(WRONG).trace


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_every_value_equals_itself_however_it_is_written(value: Any) -> None:
    gold = f'"output": {json.dumps(value)}'
    assert parse_gold(gold) is not None
    for text in (
        json.dumps({"output": value}),
        json.dumps({"output": value}, indent=2, ensure_ascii=False),
        f"```json\n{json.dumps({'why': 'because', 'output': value}, sort_keys=True)}\n```",
        f"\\boxed{{{json.dumps({'output': value})}}}",
    ):
        assert judge(text, gold).correct, text


@given(JSON, JSON)
def test_values_of_different_types_are_never_equal(one: Any, other: Any) -> None:
    if same_value(one, other):
        numbers = (int, float)
        assert type(one) is type(other) or (type(one) in numbers and type(other) in numbers)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_close_floats_agree_in_sign_and_integer_part(reference: float, value: float) -> None:
    if close(reference, value):
        assert int(reference) == int(value)
        assert abs(reference - value) <= 1e-3 * abs(reference)
    assert close(reference, reference)


@given(st.text(max_size=80), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, profile: Profile) -> None:
    for response in (text, f'{{"output": {text}}}', f"```json\n{text}\n```"):
        outcome = judge(response, profile=profile)
        assert outcome.status is Status.SCORED
        assert outcome == judge(response, profile=profile)


HOSTILE = {
    "openings": '{"output": ' * 20_000,
    "keys": '{"output' * 30_000,
    "single quotes": "{'output': '" * 20_000,
    "nesting": '{"output": ' + "[" * 240_000,
    "nested objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "lists in objects": '{"output":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,' * 5_000,
    "digits": '{"output": ' + "9" * 250_000 + "}",
    "backslashes": '{"output": "' + "\\" * 250_000,
    "boxes": "\\boxed{" * 35_000,
    "boxed values": "\\boxed{1} " * 25_000,
    "answers": '{"output": 1} or ' * 14_000,
    "fences": "```" * 80_000,
    "strings in strings": json.dumps({"output": json.dumps({"output": json.dumps("[" * 60_000)})}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("profile", Profile)
def test_hostile_text_is_judged_in_bounded_time(name: str, profile: Profile) -> None:
    with cpu_within(1.5):
        assert judge(HOSTILE[name], profile=profile).score == 0.0


@pytest.mark.parametrize("profile", Profile)
def test_the_examples_of_the_sources_are_paid(profile: Profile) -> None:
    for source in load().handlers["json_output"].sources:
        assert judge(source.example.response, source.example.ground_truth, profile=profile).correct
        assert not judge(source.example.response, '"output": 7', profile=profile).correct
