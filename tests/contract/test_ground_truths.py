"""What every `ports.GroundTruths` keeps to. An adapter joins by a name in `ADAPTERS`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.adapters.redis import RedisGroundTruths, TieredGroundTruths
from reward_service.engine.ports import GroundTruths
from reward_service.errors import Overloaded

MakeGroundTruths = Callable[[int], Awaitable[GroundTruths]]


ADAPTERS = ["memory", "redis", "cluster", "tiered"]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.redis if name != "memory" else ()) for name in ADAPTERS]
)
def make_ground_truths(request: pytest.FixtureRequest, options: Any, closing: Any) -> MakeGroundTruths:
    """Makes an empty store of so many bytes."""

    async def make(capacity_bytes: int) -> GroundTruths:
        if request.param == "memory":
            return MemoryGroundTruths(capacity_bytes)
        store = RedisGroundTruths(
            options("cluster" if request.param == "cluster" else "redis"), capacity_bytes
        )
        closing(store.close)
        return (
            store
            if request.param != "tiered"
            else TieredGroundTruths(MemoryGroundTruths(capacity_bytes), store)
        )

    return make


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


VALUES: list[Any] = [
    "42", "", "é\u2028\0", 42, 2**70, -0.5, True, False, 0, [], {}, [1, "2", None, [True]], {"b": 1, "a": {"c": [0.1]}},
    {"inputs": ["1\n"] * 1000, "outputs": ["2"] * 1000},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:20])
async def test_what_was_put_is_what_comes_back(make_ground_truths: MakeGroundTruths, value: Any) -> None:
    store = await make_ground_truths(1 << 20)
    await store.put(digest(value), value, len(json.dumps(value)))
    got = await store.get(digest(value))
    assert got == value
    assert type(got) is type(value)
    if isinstance(value, dict):
        assert list(got) == list(value)  # type: ignore[call-overload]


async def test_what_was_never_put_is_none(make_ground_truths: MakeGroundTruths) -> None:
    store = await make_ground_truths(1 << 20)
    await store.put(digest("a"), "a", 1)
    assert await store.get(digest("b")) is None
    assert await store.get("0" * 64) is None


async def test_a_second_put_changes_nothing(make_ground_truths: MakeGroundTruths) -> None:
    """The address is the content: whoever puts something else under it is wrong, or lying."""
    store = await make_ground_truths(1_000)
    for _ in range(100):
        await store.put(digest("a"), "a", 400)
    await store.put(digest("a"), "changed", 400)
    assert await store.get(digest("a")) == "a"
    await store.put(digest("b"), "b", 400)
    assert await store.get(digest("a")) == "a", "putting it again must not use up room"


async def test_what_can_never_fit_is_refused_and_nothing_is_lost_for_it(
    make_ground_truths: MakeGroundTruths,
) -> None:
    store = await make_ground_truths(1_000)
    await store.put(digest("a"), "a", 900)
    with pytest.raises(Overloaded):
        await store.put(digest("b"), "b", 1_001)
    assert await store.get(digest("a")) == "a"
    assert await store.get(digest("b")) is None


async def test_the_newest_always_fits(make_ground_truths: MakeGroundTruths) -> None:
    """A sender that has just uploaded may refer to it."""
    store = await make_ground_truths(1_000)
    for number in range(50):
        await store.put(digest(number), number, 100 + 17 * number)
        assert await store.get(digest(number)) == number


# The memory's own: what it throws out


async def test_memory_throws_out_what_was_used_least_recently() -> None:
    store = MemoryGroundTruths(1_000)
    for name in "abcd":
        await store.put(digest(name), name, 250)
    await store.get(digest("a"))
    await store.put(digest("b"), "b", 250)
    await store.put(digest("e"), "e", 500)
    assert [await store.get(digest(name)) for name in "abcde"] == ["a", "b", None, None, "e"]


async def test_memory_counts_what_it_throws_out() -> None:
    store = MemoryGroundTruths(1_000)
    for number in range(10_000):
        await store.put(digest(number), number, 1 + number % 300)
    assert 0 < store._used <= 1_000
    assert store._used == sum(size for _, size in store._entries.values())


async def test_a_store_without_room_takes_only_what_has_no_bytes() -> None:
    store = MemoryGroundTruths(0)
    with pytest.raises(Overloaded):
        await store.put(digest("a"), "a", 1)
    assert await store.get(digest("a")) is None
