"""What every `ports.Cache` keeps to. An adapter joins by a name in `ADAPTERS`; the rest is only the memory's."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_service.adapters.memory import MemoryCache, weight
from reward_service.adapters.redis import RedisCache, TieredCache
from reward_service.engine.ports import Cache
from reward_service.engine.records import TIMINGS
from reward_service.types import Outcome, Reason, Status, cannot_judge, malformed, reject, scored

MakeCache = Callable[[], Awaitable[Cache]]


ADAPTERS = ["memory", "redis", "cluster", "tiered"]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.redis if name != "memory" else ()) for name in ADAPTERS]
)
def make_cache(request: pytest.FixtureRequest, options: Any, closing: Any) -> MakeCache:
    """Makes an empty cache with room for ten thousand small outcomes."""

    async def make() -> Cache:
        if request.param == "memory":
            return MemoryCache()
        cache = RedisCache(options("cluster" if request.param == "cluster" else "redis"))
        closing(cache.close)
        return cache if request.param != "tiered" else TieredCache(MemoryCache(), cache)

    return make


def outcome(number: int) -> Outcome:
    """A scored outcome with something in every field."""
    return Outcome(
        Status.SCORED, Reason.PARTIALLY_EQUAL, number % 7 / 7, number % 7 == 7, f"answer {number}", ("flag", f"f{number}"),
        {"message": "é\u2028", "n": number, "list": [1, None, {"a": 0.5}]}, {}, "handler", "3",
        **{name: 0.25 * place for place, name in enumerate(TIMINGS, 1)},
    )  # fmt: skip


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def same(hit: Outcome | None, put: Outcome) -> bool:
    """Everything but what a hit changes: it is marked, and it did not wait."""
    if hit is None or not hit.cached or hit.queue_ms != 0.0:
        return False
    fields = (
        "status",
        "reason",
        "score",
        "correct",
        "extracted",
        "flags",
        "handler",
        "version",
        *(name for name in TIMINGS if name != "queue_ms"),
    )
    return all(getattr(hit, name) == getattr(put, name) for name in fields) and dict(hit.detail) == dict(
        put.detail
    )


async def test_what_was_put_is_what_comes_back(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.put_many({key(number): outcome(number) for number in range(50)})
    hits = await cache.get_many([key(number) for number in range(50)])
    assert all(same(hit, outcome(number)) for number, hit in enumerate(hits))
    assert all(type(hit.flags) is tuple and hit.reason is Reason.PARTIALLY_EQUAL for hit in hits if hit)


async def test_hits_come_in_the_order_of_the_keys_and_misses_are_none(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.put_many({key(number): outcome(number) for number in range(0, 100, 2)})
    order = [*range(100), *range(100)]
    random.Random(1).shuffle(order)
    hits = await cache.get_many([key(number) for number in order])
    assert len(hits) == 200
    for number, hit in zip(order, hits, strict=True):
        assert same(hit, outcome(number)) if number % 2 == 0 else hit is None


async def test_nothing_asked_nothing_put(make_cache: MakeCache) -> None:
    cache = await make_cache()
    assert await cache.get_many([]) == []
    await cache.put_many({})
    assert await cache.get_many([key(1)]) == [None]


async def test_errors_are_never_kept(make_cache: MakeCache) -> None:
    """A retry may succeed: an outage that is remembered would be an answer for ever."""
    cache = await make_cache()
    errors = [
        malformed("x"),
        *(cannot_judge(Reason(name), "x") for name in ("sandbox_unavailable", "deadline", "internal")),
    ]
    await cache.put_many({key(place): error for place, error in enumerate(errors)} | {key(9): outcome(9)})
    assert await cache.get_many([key(place) for place in range(len(errors))]) == [None] * len(errors)
    assert same((await cache.get_many([key(9)]))[0], outcome(9))


async def test_an_error_does_not_replace_a_score(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.put_many({key(1): outcome(1)})
    await cache.put_many({key(1): malformed("x")})
    assert same((await cache.get_many([key(1)]))[0], outcome(1))


async def test_a_second_put_replaces_the_first(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.put_many({key(1): outcome(1)})
    await cache.put_many({key(1): outcome(2)})
    assert same((await cache.get_many([key(1)]))[0], outcome(2))


async def test_keys_are_bytes_of_any_value_and_near_ones_are_others(make_cache: MakeCache) -> None:
    cache = await make_cache()
    keys = [b"\0" * 16, b"\xff" * 16, b"\0" * 15 + b"\n", b"a b*?[c]\r\n{d}\0\x80\xfe", bytes(range(16))]
    await cache.put_many({name: outcome(place) for place, name in enumerate(keys)})
    assert all(same(hit, outcome(place)) for place, hit in enumerate(await cache.get_many(keys)))
    assert await cache.get_many([name[:-1] + bytes([name[-1] ^ 1]) for name in keys]) == [None] * len(keys)


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "\U0001f600" * 100, '"\\', "null", "x" * 2000, None])
async def test_any_text_can_have_been_extracted(make_cache: MakeCache, text: str | None) -> None:
    cache = await make_cache()
    put = reject(extracted=text, shown=text)
    await cache.put_many({key(1): put})
    (hit,) = await cache.get_many([key(1)])
    assert hit is not None
    assert (hit.extracted, hit.detail["shown"]) == (text, text)


async def test_scores_are_exact(make_cache: MakeCache) -> None:
    cache = await make_cache()
    scores = [0.0, 1.0, 1 / 3, 0.1 + 0.2, 5e-324, math.nextafter(1.0, 0.0)]
    await cache.put_many(
        {key(place): scored(score, Reason.PARTIALLY_EQUAL) for place, score in enumerate(scores)}
    )
    hits = await cache.get_many([key(place) for place in range(len(scores))])
    assert [hit.score for hit in hits if hit] == scores
    assert [hit.correct for hit in hits if hit] == [score == 1.0 for score in scores]


async def test_ten_thousand_in_one_call(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.put_many({key(number): outcome(number) for number in range(10_000)})
    hits = await cache.get_many([key(number) for number in range(10_000)])
    assert sum(hit is not None for hit in hits) == 10_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 99)), max_size=30))
async def test_it_never_invents(make_cache: MakeCache, steps: list[tuple[bool, int, int]]) -> None:
    """Against a dictionary: a hit is the last that was put under that very key."""
    cache = await make_cache()
    model: dict[bytes, Outcome] = {}
    for write, place, number in steps:
        if write:
            model[key(place)] = outcome(number)
            await cache.put_many({key(place): outcome(number)})
        else:
            (hit,) = await cache.get_many([key(place)])
            assert hit is None or same(hit, model[key(place)])


# The memory's own: how much it keeps


async def test_memory_throws_out_what_was_used_least_recently() -> None:
    cache = MemoryCache(capacity=3)
    for number in range(3):
        await cache.put_many({key(number): outcome(number)})
    await cache.get_many([key(0)])
    await cache.put_many({key(3): outcome(3)})
    hits = await cache.get_many([key(number) for number in range(4)])
    assert [hit is not None for hit in hits] == [True, False, True, True]
    assert len(cache) == 3


async def test_a_write_is_a_use() -> None:
    cache = MemoryCache(capacity=2)
    await cache.put_many({key(0): outcome(0), key(1): outcome(1)})
    await cache.put_many({key(0): outcome(5)})
    await cache.put_many({key(2): outcome(2)})
    assert [hit is not None for hit in await cache.get_many([key(0), key(1), key(2)])] == [True, False, True]


@pytest.mark.parametrize("capacity", [0, -1])
async def test_no_capacity_is_no_cache(capacity: int) -> None:
    cache = MemoryCache(capacity)
    await cache.put_many({key(1): outcome(1)})
    assert await cache.get_many([key(1)]) == [None]
    assert len(cache) == 0


async def test_memory_is_bounded_in_bytes_too() -> None:
    """The policy decides how long an extracted answer is: counting outcomes alone is no bound."""
    large = scored(0.0, Reason.NOT_EQUAL, "\U0001f600" * 2000)
    assert weight(large) > 8_000
    cache = MemoryCache(capacity=10_000, capacity_bytes=100 * weight(large))
    for number in range(1_000):
        await cache.put_many({key(number): large})
    assert len(cache) == 100
    await cache.put_many({key(number): reject() for number in range(2_000, 3_000)})
    assert len(cache) >= 1_000, "room that large outcomes left is used again"


async def test_replacing_does_not_use_up_room() -> None:
    cache = MemoryCache(capacity=10, capacity_bytes=5 * weight(outcome(1)))
    for _ in range(100):
        await cache.put_many({key(1): outcome(1), key(2): outcome(2)})
    assert len(cache) == 2


def test_a_weight_grows_with_everything_that_a_response_can_make_long() -> None:
    base = weight(reject())
    assert weight(reject(extracted="x" * 1000)) > base + 900
    assert weight(reject(message="x" * 1000)) > base + 900
    assert weight(reject(flags=["x" * 1000])) > base + 900
    assert base < 1_000


def test_the_sample_outcome_fills_every_field() -> None:
    """Else `same` would compare defaults."""
    sample, empty = outcome(1), Outcome(Status.ERROR, Reason.INTERNAL, None, None)
    unset = {name for name in Outcome.__slots__ if getattr(sample, name) == getattr(empty, name)}
    assert unset == {"trace", "cached"}
    assert json.dumps(dict(sample.detail))
