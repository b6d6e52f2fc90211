"""AReaL's own wrapper: a process pool, a time limit, and tries of its own."""

from __future__ import annotations

import asyncio
import multiprocessing

import pytest
from areal.api.reward_api import AsyncRewardWrapper

from reward_service.client.trainers import areal as adapter
from tests.trainers.conftest import Wire
from tests.trainers.rows import CASES, MANY, Case, rewards


async def judge(wrapper: AsyncRewardWrapper, case: Case) -> float:
    return await wrapper("p", case.response, [1], [2], data_source=case.data_source, answer=case.ground_truth)


@pytest.fixture
def wrapper() -> AsyncRewardWrapper:
    AsyncRewardWrapper._executors.clear()  # workers that were forked with another test's environment
    assert multiprocessing.get_start_method() == "fork"
    return AsyncRewardWrapper(adapter.reward_fn, max_workers=2)


async def test_rewards(wrapper: AsyncRewardWrapper, wire: Wire) -> None:
    good = [case for case in CASES if case.reward is not None]
    assert [await judge(wrapper, case) for case in good] == rewards(good, 0.0)
    assert await asyncio.gather(*(judge(wrapper, case) for case in MANY[:40])) == rewards(MANY[:40], 0.0)


async def test_what_can_not_be_judged_rejects_the_rollout(wrapper: AsyncRewardWrapper, wire: Wire) -> None:
    with pytest.raises(adapter.Unjudged, match="unknown_data_source"):
        await judge(wrapper, CASES[5])


async def test_slow(wrapper: AsyncRewardWrapper, wire: Wire) -> None:
    wire.delay = 2.0
    assert await judge(wrapper, CASES[0]) == 1.0
