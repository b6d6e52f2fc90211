"""Values are counted as a parser would count them, before one parses them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.errors import TooLarge
from reward_service.gateway.weight import Most, check_values

PLENTY = 10**9
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(['"', "\\", '\\"', "[{,", ',"', "a\\\\"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


def separators(value: Any) -> tuple[int, int]:
    """(separators, objects) of a value's JSON text: its brackets, and the commas between what they hold."""
    if not isinstance(value, list | dict):
        return 0, 0
    inner = [separators(one) for one in (value.values() if isinstance(value, dict) else value)]
    own = 1 + max(0, len(inner) - 1)
    return own + sum(one for one, _ in inner), isinstance(value, dict) + sum(one for _, one in inner)


def passes(text: bytes, values: int, objects: int) -> bool:
    try:
        check_values(text, Most(values, objects))
    except TooLarge:
        return False
    return True


@given(
    st.lists(JSON, max_size=6) | st.dictionaries(st.text(), JSON, max_size=6),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_count_is_exact(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    values, objects = separators(value)
    assert passes(text, values, PLENTY) and passes(text, PLENTY, objects)
    assert not passes(text, values - 1, PLENTY)
    if objects:
        assert not passes(text, PLENTY, objects - 1)


@pytest.mark.parametrize(
    ("text", "values", "objects", "fine"),
    [
        (b"[" + b"1," * 50 + b"1]", 51, 0, True),
        (b"[" + b"1," * 50 + b"1]", 50, 0, False),
        (b"  [" + b"{}," * 50 + b"{}]", 200, 51, True),
        (b"  [" + b"{}," * 50 + b"{}]", 200, 50, False),
        (b'["' + b",[{" * 100 + b'"]', 1, 0, True),  # one string
        (b'["\\"' + b',\\"[{' * 100 + b'"]', 1, 0, True),
        (b'"' + b",[{" * 100 + b'"', 1, 0, True),
        (b"1,2,3 and {more} of a text, which, is, no, JSON", 1, 0, True),
        (b"", 0, 0, True),
        (b'["never ends' + b",{" * 100, 10, 10, False),  # no JSON either: refused sooner
    ],
)
def test_by_hand(text: bytes, values: int, objects: int, fine: bool) -> None:
    assert passes(text, values, objects) is fine
