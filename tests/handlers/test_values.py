"""Tagged values: what comes back as it was, what is refused, and what equals what."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers import _values
from reward_service.handlers._values import (
    Decoder,
    Encoder,
    Opaque,
    Record,
    ValueRefused,
    dumps,
    encode,
    parse,
    plain_equal,
)
from tests.cost import cpu_within


def there_and_back(value: Any) -> Any:
    encoder = Encoder()
    encoded = encoder.encode(value)
    frame = parse(dumps({"v": encoded, "o": encoder.heap}))
    return Decoder(frame["o"]).decode(frame["v"])


VALUES = [
    None, True, 0, -1, 1 << 53, (1 << 53) + 1, -(1 << 64), 10**400, 1.5, -0.0, math.inf, -math.inf, "", "a\n\x00é\ud800😀",
    [], [1, [2, [3.5, "x", None]]], (), (1,), ((1, 2), [3]), set(), {1, "a", (2, 3)}, frozenset({1}), {}, {"a": 1},
    {(1, 2): {3: [4]}, None: True, 1.5: "x"}, b"\x00\xff", bytearray(b"abc"), 1 + 2j, complex(0, math.inf), range(5),
    range(10, 0, -3), Fraction(22, 7), Fraction(-(10**30), 10**25 + 1), Decimal("1.50"), Decimal("-Infinity"), datetime.datetime(2024, 5, 6, 7, 8, 9, 10),
    datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC), datetime.date(2024, 5, 6), datetime.time(1, 2),
    datetime.timedelta(days=-1, seconds=3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_comes_back_as_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(value) and back == value
    assert plain_equal(value, back)


class Level(IntEnum):
    LOW = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        (Level.LOW, 1),
        (Point(1, 2), (1, 2)),
        (deque([1, 2]), [1, 2]),
        ({"a": 1}.keys(), {"a"}),
        (type("Text", (str,), {"__str__": lambda s: "other"})("x"), "x"),
        (type("Number", (float,), {})(0.5), 0.5),
    ],
)
def test_honest_subclasses_decay(value: Any, plain: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(plain) and back == plain


def test_arrays_become_lists_of_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    for value in (
        numpy.arange(6).reshape(2, 3), numpy.array([1.5, numpy.nan]), numpy.array([True, False]), numpy.zeros((2, 0)),
        numpy.array([1 + 2j]), numpy.array(["a", "bc"]), numpy.array([[1, "x"]], dtype=object), numpy.uint8([200]),
        numpy.float32([0.5]), numpy.array(3),
    ):  # fmt: skip
        assert plain_equal(value.tolist(), there_and_back(value))
    assert there_and_back(numpy.float64(0.25)) == 0.25 and type(there_and_back(numpy.float64(0.25))) is float
    assert there_and_back([numpy.int64(7), numpy.bool_(True)]) == [7, True]


class Node:
    def __init__(self, value: Any, link: Any = None) -> None:
        self.value = value
        self.link = link


def nodes(values: Any) -> Any:
    head = None
    for value in reversed(values):
        head = Node(value, head)
    return head


def records(value: Any) -> Any:
    encoder = Encoder(lambda kind: "Node" if kind is Node else None)
    encoded = encoder.encode(value)
    frame = parse(dumps({"v": encoded, "o": encoder.heap}))
    return Decoder(frame["o"]).decode(frame["v"])


def test_objects_travel_flat_and_compare_by_attributes() -> None:
    assert plain_equal(records(nodes(range(20_000))), records(nodes(range(20_000))))
    assert not plain_equal(records(nodes([1, 2, 3])), records(nodes([1, 2, 4])))
    loop = Node(1)
    loop.link = loop
    twice = Node(1, Node(1))
    twice.link.link = twice
    assert plain_equal(records(loop), records(loop))
    assert isinstance(records(loop).attributes["link"], Record)
    assert not plain_equal(records(Node(1)), records(loop))


def test_everything_else_is_opaque_and_equals_nothing() -> None:
    for value in (object(), len, Node(1), iter([1]), json):
        back = there_and_back(value)
        assert type(back) is Opaque
        assert not plain_equal(back, back) and not plain_equal(1, back) and not plain_equal([back], [back])


HOSTILE = {
    "two tags": '{"t": [], "s": []}',
    "no tag": "{}",
    "unknown tag": '{"zz": 1}',
    "not a list": '{"t": 1}',
    "a set of lists": '{"s": [[1]]}',
    "a dict of lists": '{"d": [[[1], 2]]}',
    "a pair of three": '{"d": [[1, 2, 3]]}',
    "hex without digits": '{"i": "0x"}',
    "decimal digits": '{"i": "12"}',
    "hex of a megabyte": '{"i": "0x%s"}' % ("f" * 1_000_000),
    "a float tag that is none": '{"f": "1.5"}',
    "bytes that are none": '{"b": "*"}',
    "a zero step": '{"r": [0, 1, 0]}',
    "a fraction of a megabyte": '{"fr": [{"i": "0x'
    + "f" * 100_000
    + '"}, {"i": "0x'
    + "e" * 100_001
    + '"}]}',
    "a zero denominator": '{"fr": [1, 0]}',
    "a decimal that is none": '{"de": "x"}',
    "a decimal of a megabyte": '{"de": "%s"}' % ("9" * 1_000_000),
    "a day that is none": '{"da": "2024-02-31"}',
    "an array of objects": '{"nd": ["O8", [1], "AAAAAAAAAAA="]}',
    "an array with a wrong shape": '{"nd": ["i8", [2], "AAAAAAAAAAA="]}',
    "an array of a billion": '{"nd": ["i8", [1000000, 1000], ""]}',
    "a negative shape": '{"no": [[-1], []]}',
    "an object that isn't there": '{"o": 0}',
    "a handle without number": '{"h": ["1", "x"]}',
    "NaN": "NaN",
    "a float out of range": "1e999",
    "digits": "9" * 100_000,
    "nesting": "[" * 100_000 + "]" * 100_000,
    "nesting below the parser's limit": "[" * 100 + "]" * 100,
    "not JSON": "{",
    "too long": '"' + "x" * _values.MAX_TEXT + '"',
    "too many": "[" + "0," * 500_000 + "0]",
    "colliding keys": json.dumps({"d": [[{"i": hex(i * ((1 << 61) - 1))}, 0] for i in range(3_000)]}),
    "colliding elements": json.dumps({"s": [{"t": [{"i": hex(i * ((1 << 61) - 1))}]} for i in range(3_000)]}),
    "a table with ragged rows": '{"df": [["a"], [0], [[1, 2]]]}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_quickly(text: str) -> None:
    with cpu_within(2.0), pytest.raises(ValueRefused):
        Decoder().decode(parse(text))


@pytest.mark.parametrize(
    "heap",
    [{"a": 1}, [1], [["Node", {}]], [[1, {}, None]], [["Node", [], None]], [["Node", {}, "0"]]],
    ids=str,
)
def test_malformed_heaps_are_refused(heap: Any) -> None:
    with pytest.raises(ValueRefused):
        Decoder(heap)


@pytest.mark.parametrize(
    "value", [[0] * 500_000, 1 << 4_000_000, [[]] * 300_000 + [[]] * 300_000], ids=["wide", "digits", "many"]
)
def test_values_beyond_the_caps_are_not_sent(value: Any) -> None:
    with pytest.raises(ValueRefused):
        encode(value)


def test_nesting_beyond_the_cap_is_not_sent() -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ValueRefused):
        encode(deep)


ALIKE = [
    (1, 1.0), (1.0, 1), ([1, 2], (1, 2)), ({1, 2}, frozenset((2, 1))), (math.nan, math.nan), (Fraction(1, 2), Decimal("0.5")),
    ({"a": [1]}, {"a": (1,)}), ("a", "a"), (10**30, 10**30), (None, None), (b"a", b"a"),
]  # fmt: skip
DIFFERENT = [
    (1, True), (True, 1), (0, False), (0, None), (1, "1"), ([1], 1), ([1, 2], [2, 1]), ([1], {1}), ({1: 2}, [(1, 2)]),
    ({"a": 1}, {"a": 1, "b": 2}), (1.0, 1.0 + 1e-9), (10**30, 10**30 + 1), (math.inf, -math.inf), (math.inf, 1e308),
    (b"a", "a"), ("a", b"a"), (b"a", bytearray(b"a")), ("", None), ([], ()[:0] or None), ({}, []), (1 << 60, float(1 << 60) + 256),
    (datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "got"), ALIKE, ids=repr)
def test_equal(expected: Any, got: Any) -> None:
    assert plain_equal(expected, got)


@pytest.mark.parametrize(("expected", "got"), DIFFERENT, ids=repr)
def test_not_equal(expected: Any, got: Any) -> None:
    assert not plain_equal(expected, got)
    assert not plain_equal([expected], [got])


def test_tolerance_is_for_floats_only() -> None:
    assert plain_equal(0.5, 0.5 + 1e-7, 1e-6) and plain_equal([1e9], [1e9 + 100], 1e-6)
    assert (
        plain_equal(2.0, 2, 1e-6)
        and plain_equal(2.5, Decimal("2.5"), 1e-6)
        and not plain_equal(0.5, 0.51, 1e-6)
    )
    assert not plain_equal(1_000_000_007, 1_000_000_008, 1e-6) and not plain_equal(3, 3.0000001, 1e-6)
    assert (
        not plain_equal(0.5, math.nan, 1e-6)
        and not plain_equal(0.5, math.inf, 1e-6)
        and not plain_equal(1.0, 10**400, 1e-6)
    )


def test_sequences_can_be_told_apart() -> None:
    assert not plain_equal([1], (1,), sequences_alike=False)
    assert plain_equal([(1,)], [(1,)], sequences_alike=False)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20)
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.booleans(), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=3), max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_any_plain_value_comes_back(value: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(value) and back == value
    assert plain_equal(value, back)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "t",
                        "s",
                        "fs",
                        "d",
                        "i",
                        "f",
                        "b",
                        "nd",
                        "no",
                        "df",
                        "se",
                        "h",
                        "o",
                        "r",
                        "fr",
                        "de",
                        "dt",
                        "td",
                    ]
                ),
                inner,
                max_size=2,
            )
        ),
    )
)
def test_any_json_is_a_value_or_refused(frame: Any) -> None:
    try:
        Decoder().decode(parse(dumps(frame)))
    except ValueRefused:
        pass
