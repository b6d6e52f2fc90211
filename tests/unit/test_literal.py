"""Data that a model wrote: what becomes a value, what never does, and what the caps are."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._literal import (
    MAX_BITS,
    MAX_CHARS,
    MAX_DEPTH,
    MAX_DIGITS,
    LiteralError,
    check_bounds,
    last_json,
    parse_json,
    parse_literal,
)
from tests.cost import cpu_within


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    return repr(one) == repr(other)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" [1, 2.5, null, true] ", [1, 2.5, None, True]),
        ('{"a": {"b": []}}', {"a": {"b": []}}),
        ('"é\\u00e9"', "éé"),
        ("-0.0", -0.0),
        ("1e308", 1e308),
        ("1e-999", 0.0),
        ("9" * MAX_DIGITS, int("9" * MAX_DIGITS)),
    ],
)
def test_json(text: str, value: Any) -> None:
    assert same(parse_json(text), value)
    assert same(parse_literal(text), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1, 'b': [True, None]}", {"a": 1, "b": [True, None]}),
        ("(1, 2)", (1, 2)),
        ("{1, 2}", {1, 2}),
        ("['it\\'s', \"ok\"]", ["it's", "ok"]),
        ("['a' 'b']", ["ab"]),
        ("b'x'", b"x"),
        ("-1", -1),
        ("1_000", 1000),
        ("0x1f", 31),
        ("[1,]", [1]),
        ("{(1, 2): 'x'}", {(1, 2): "x"}),
        ("{'a': null}", {"a": None}),
        ("{'a': 1, \"b\": '2'}", {"a": 1, "b": "2"}),
        ("'\"'", '"'),
    ],
)
def test_python_literals(text: str, value: Any) -> None:
    assert same(parse_literal(text), value)
    with pytest.raises(LiteralError):
        parse_json(text) if text != "-1" else parse_json("+1")


NEITHER = [
    "", " ", "a", "a b", "[1", "1]", "{'a'}}", "__import__('os')", "open('x')", "a.b", "[x for x in y]", "lambda: 1", "f'{1}'",
    "1 + 1", "2 ** 3", "[1] * 3", "not 1", "1 if 1 else 2", "x := 1", "{**{'a': 1}}", "[*[1]]", "print(1)", "1; 2", "True()",
    "...", "[1, 2, ...]", "\ud800", "\0", "[1\0]", "import os", "{'a': 1, 'a': 2}", '{"a": 1, "a": 2}', '{"a": 1, "\\u0061": 2}',
    "{1: 'a', True: 'b'}", "{1: 'a', 1.0: 'b'}", "{'ab': 1, 'a' 'b': 2}", "[{'x': {0: 1, False: 2}}]", "{(1,): 1, (True,): 2}",
    "NaN", "Infinity", "-Infinity", "[NaN]", '{"a": Infinity}', "nan", "inf",
    "1e999", "-1e999", "[1e999]", "(1e999,)", "{'a': -1e999, \"b\": 1}", "1" * 400 + ".0", "1e999j", "1+1e999j",
]  # fmt: skip


@pytest.mark.parametrize("text", NEITHER)
def test_nothing_else_is_a_value(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_literal(text)
    with pytest.raises(LiteralError):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "1" * (MAX_DIGITS + 1),
        "[" + "1" * (MAX_DIGITS + 1) + "]",
        "[0, -" + "7" * 5000 + "]",
        "0x" + "f" * (MAX_BITS // 4 + 1),
        "0b" + "1" * (MAX_BITS + 1),
        "1" + "_1" * MAX_DIGITS,
        "[0o" + "7" * 100_000 + "]",
        '"' + "x" * MAX_CHARS + '"',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "(" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "'" + "[" * 100_000,
        '"' + "[" * 5_000 + '"' + "]" * 5_000 + '"',
    ],
    ids=lambda text: f"{text[:6]}…{len(text)}",
)
def test_the_caps(text: str) -> None:
    """An answer that is too large is refused before or while it is read; `str` of what is read never raises."""
    with pytest.raises(LiteralError):
        parse_literal(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH,
        "[" + "[]," * 10_000 + "[]]",
        '"' + "[" * 150 + '"',
        '["' + "1" * 5000 + '"]',
        "['" + "(" * 150 + "']",
        "0x" + "f" * (MAX_BITS // 4),
    ],
    ids=lambda text: f"{text[:6]}…{len(text)}",
)
def test_what_the_caps_leave_alone(text: str) -> None:
    assert str(parse_literal(text))


def test_bounds_name_what_is_too_much() -> None:
    for text, message in (
        ("x" * (MAX_CHARS + 1), "longer than"),
        ("[" * 60, "nested deeper"),
        ("1" * 1001, "digits"),
    ):
        with pytest.raises(LiteralError, match=message):
            check_bounds(text)
    check_bounds("plain (text) [of] {any} kind, 123")


@pytest.mark.parametrize("quote", ["'", '"', "'''x'''", '"x" "'])
def test_quotes_hide_no_depth_from_the_bounds(quote: str) -> None:
    """A quote is another thing to JSON, Python and the count: past some depth brackets count wherever they stand."""
    with pytest.raises(LiteralError, match="nested deeper"):
        check_bounds(quote + "[" * 5_000)
    with pytest.raises(LiteralError, match="nested deeper"):
        check_bounds(quote + "[" * 300 + "]" * 300)


# The last one in a text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"x": 1}', {"x": 1}),
        ('so {"x": 1} it is', {"x": 1}),
        ('a {"x": 1} b {"y": {"z": 2}}', {"y": {"z": 2}}),
        ("a {'x': 'y'} b", {"x": "y"}),
        ('{"x": "}"}', {"x": "}"}),
        ('{"x": "{"}', {"x": "{"}),
        ('{"x": "a\\"}"}', {"x": 'a"}'}),
        ('{"x": "a\\\\"}', {"x": "a\\"}),
        ('{"x": "a\\\\\\""}', {"x": 'a\\"'}),
        ('{"x": 1} and a smile }', {"x": 1}),
        ('{"x": 1} {broken}', {"x": 1}),
        ('```json\n{\n  "x": 1\n}\n```', {"x": 1}),
    ],
)
def test_the_last_object(text: str, value: Any) -> None:
    assert last_json(text) == value


def test_the_last_array() -> None:
    assert last_json('[1] then [[2], "]"]', "[") == [[2], "]"]
    assert last_json("(see [3]) so [1, 2].", "[") == [1, 2]


@pytest.mark.parametrize("text", ["", "{", "}", "}{", "no data", "{a}", '{"x": 1', "{" * 50, "}" * 50])
def test_no_object(text: str) -> None:
    with pytest.raises(LiteralError, match="no complete"):
        last_json(text)


# Whatever the text is

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_every_value_comes_back_from_json_and_from_python(value: Any) -> None:
    assert same(parse_json(json.dumps(value)), value)
    assert same(parse_literal(json.dumps(value)), value)
    assert same(parse_literal(json.dumps(value, ensure_ascii=False, indent=2)), value)
    assert same(parse_literal(repr(value)), value)


@given(VALUES.filter(lambda value: isinstance(value, dict)), st.text(alphabet="abc .,\n", max_size=10))
def test_an_object_is_found_in_prose(value: Any, prose: str) -> None:
    assert last_json(f"{prose}{json.dumps(value)}{prose}") == value


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(finite(entry) for pair in value.items() for entry in pair)
    if isinstance(value, list | tuple | set):
        return all(finite(entry) for entry in value)
    return not isinstance(value, float) or math.isfinite(value)


PLAIN = (type(None), bool, int, float, str, bytes, complex, list, tuple, set, dict)
CODE = st.lists(
    st.sampled_from(["[", "]", "{", "}", "(", ")", "'", '"', "\\", ",", ":", "1", "e999", "0x", "-", "+", "not ", "a", ".", " ", "\n",
                     "NaN", "None", "null", "True", "lambda", "if", "else", "*", "f'", "b'", "...", "é", "\ud800"]),
    max_size=20,
).map("".join)  # fmt: skip


@given(CODE | st.text(max_size=40))
def test_any_text_is_a_plain_finite_value_or_a_literal_error(text: str) -> None:
    for parse in (parse_json, parse_literal, last_json):
        try:
            value = parse(text)
        except LiteralError:
            continue
        assert type(value) in PLAIN
        assert finite(value)
        str(value)


@given(CODE)
def test_reading_twice_says_the_same(text: str) -> None:
    def read() -> str:
        try:
            return repr(parse_literal(text))
        except LiteralError as error:
            return f"error {error}"

    assert read() == read()


N = MAX_CHARS - 10
HOSTILE = {
    "minus": "-" * N + "1",
    "not": "not " * (N // 4) + "1",
    "attributes": "a" + ".a" * (N // 2),
    "calls": "f" + "()" * (N // 2),
    "subscripts": "f" + "[0]" * (N // 3),
    "sums": "1" + "+1" * (N // 2),
    "powers": "1" + "**1" * (N // 3),
    "conditions": "1 if 1 else " * (N // 12) + "1",
    "lambdas": "lambda:" * (N // 7) + "1",
    "strings": "'a'" * (N // 3),
    "f-strings": "f'{1}'" * (N // 6),
    "list": "[" + "1," * (N // 2) + "]",
    "tuple": "1," * (N // 2),
    "dict": "{" + ",".join(f"'k{n}':{n}" for n in range(N // 14)) + "}",
    "quotes": '"' * N,
    "apostrophes": "'" * N,
    "escapes": '\\"' * (N // 2),
    "open": "[" * N,
    "closed": "]" * N,
    "braces": "{" * 100 + "}" * (N - 100),
    "pairs": "{}" * (N // 2),
    "digits": "1" * N,
    "separated digits": "1_" * (N // 2) + "1",
    "hex": "0x" + "f" * N,
    "spaces": " " * N,
    "lines": "\n" * N,
    "commas": "," * N,
    "backslash lines": "\\\n" * (N // 2),
    "colons": "{" + ":" * N + "}",
    "stars": "*" * N,
    "walrus": "(a:=" * 40 + "1" * 900,
    "decorated": "@" * N,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_text_crashes_or_takes_long(what: str) -> None:
    """Deep or long, at the cap on length: an error or a value, within 1.5 s of CPU time, and the process lives."""
    with cpu_within(2.5):
        for parse in (parse_literal, last_json):
            try:
                parse(HOSTILE[what])
            except LiteralError:
                pass
