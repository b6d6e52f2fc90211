"""The trainers' adapters, called as each trainer's own code calls them, against the real service."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import pickle
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reward_service.client import trainers
from reward_service.client.trainers import (
    areal,
    atropos,
    common,
    easyr1,
    ms_swift,
    nemo_rl,
    openrlhf,
    skyrl,
    torchforge,
    trl,
    verifiers,
    verl,
)

SOURCE = "logic__ordering_puzzle"
GOLD = ["owl", "crow"]
RIGHT, WRONG = "<answer>['owl', 'crow']</answer>", "<answer>['crow', 'owl']</answer>"
LABEL = json.dumps({"data_source": SOURCE, "ground_truth": GOLD})
UNKNOWN = json.dumps({"data_source": "nothing like it", "ground_truth": GOLD})


@pytest.fixture(autouse=True)
def service(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment that a user sets."""
    monkeypatch.setenv("REWARD_SERVICE_URL", url)
    monkeypatch.delenv("REWARD_SERVICE_DATA_SOURCE", raising=False)
    yield
    common.close()


def modules() -> list[str]:
    folder = Path(trainers.__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", modules())
def test_importing_an_adapter_imports_no_trainer_and_connects_to_nothing(name: str) -> None:
    module = import_module(f"reward_service.client.trainers.{name}")
    assert module.__doc__
    assert not {"torch", "ray", "trl", "transformers"} & set(sys.modules)
    for function in vars(module).values():
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            assert pickle.loads(pickle.dumps(function)) is function


# verl


def verl_call(solution: str, source: str = SOURCE, **more: Any) -> dict[str, Any]:
    return {
        "data_source": source,
        "solution_str": solution,
        "ground_truth": GOLD,
        "extra_info": {"index": 1, "num_turns": 2},
        **more,
    }


async def test_verl_reward_loop() -> None:
    # The reward loop awaits one call per sample and adds arguments of its own.
    calls = [
        verl_call(RIGHT, reward_router_address=None, reward_model_tokenizer=None),
        verl_call(WRONG),
        verl_call(RIGHT, "nothing", fallback=-1.0),
    ]
    found = await asyncio.gather(*(verl.compute_score(**call) for call in calls))
    assert [one["score"] for one in found] == [1.0, 0.0, -1.0]
    assert [one["valid"] for one in found] == [1.0, 1.0, 0.0]
    assert len({tuple(one) for one in found}) == 1  # aggregated by the keys of sample 0
    assert all(type(value) is float for one in found for value in one.values())
    await common.async_client(None, verl.SECONDS).aclose()


def test_verl_other_managers() -> None:
    assert verl.compute_score_sync(**verl_call(RIGHT))["score"] == 1.0
    assert verl.compute_score_float(SOURCE, WRONG, GOLD, None) == 0.0
    batch = verl.compute_score_batch([SOURCE] * 300, [RIGHT, WRONG] * 150, [GOLD] * 300, [None] * 300)
    assert [one["score"] for one in batch] == [1.0, 0.0] * 150


# TRL and its relatives


def test_trl_strings_and_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: dict[str, float] = {}
    scores = trl.reward(
        prompts=["p"] * 3,
        completions=[RIGHT, WRONG, RIGHT],
        completion_ids=[[1]] * 3,
        data_source=[SOURCE, SOURCE, "nothing like it"],
        ground_truth=[GOLD] * 3,
        trainer_state=None,
        log_extra=None,
        log_metric=lambda name, value: logged.update({name: value}),
    )
    assert scores == [1.0, 0.0, None]  # None: TRL masks it
    assert logged["reward_service/unjudged"] == pytest.approx(1 / 3)
    monkeypatch.setenv("REWARD_SERVICE_DATA_SOURCE", SOURCE)
    chats = [[{"role": "assistant", "content": text}] for text in (RIGHT, WRONG)]
    prompts = [[{"role": "user", "content": "Order them."}]] * 2
    assert trl.reward(prompts, chats, answer=[GOLD, GOLD]) == [1.0, 0.0]
    with pytest.raises(ValueError, match="ground truth"):
        trl.reward(prompts, chats, other=[1, 2])
    assert trl.reward.__name__ == "reward"
    assert inspect.iscoroutinefunction(trl.reward_async)


async def test_trl_async() -> None:
    scores = await trl.reward_async(None, [RIGHT, WRONG], data_source=[SOURCE] * 2, ground_truth=[GOLD] * 2)
    assert scores == [1.0, 0.0]
    await common.async_client(None, trl.SECONDS).aclose()


def test_ms_swift_runs_coroutines_with_a_loop_of_their_own() -> None:
    columns: dict[str, Any] = {"data_source": [SOURCE] * 2, "solution": [GOLD] * 2, "trainer_state": None}
    assert ms_swift.RewardServiceORM(None)([RIGHT, WRONG], **columns) == [1.0, 0.0]
    asynchronous = ms_swift.RewardServiceAsyncORM(None)
    for _ in range(2):
        assert asyncio.run(asynchronous([RIGHT, WRONG], **columns)) == [1.0, 0.0]


# One module each


def test_openrlhf_file(monkeypatch: pytest.MonkeyPatch) -> None:
    value = openrlhf.reward_func(["q" + RIGHT, WRONG, RIGHT], ["q", "q", "q"], [LABEL, LABEL, UNKNOWN])
    assert value["rewards"] == [1.0, 0.0, 0.0]
    assert value["extra_logs"]["valid"] == [1.0, 1.0, 0.0]
    assert all(type(number) is float for numbers in value["extra_logs"].values() for number in numbers)
    monkeypatch.setenv("REWARD_SERVICE_DATA_SOURCE", SOURCE)
    assert openrlhf.reward_func([RIGHT], [""], [GOLD])["scores"] == [1.0]


async def test_verifiers_rubric() -> None:
    info = {"data_source": SOURCE}
    state: dict[str, Any] = {}
    completion = [{"role": "assistant", "content": RIGHT}]
    assert (
        await verifiers.reward(completion=completion, answer=GOLD, prompt="p", info=info, state=state) == 1.0
    )
    assert (
        await verifiers.valid(completion=completion, answer=GOLD, prompt="p", info=info, state=state) == 1.0
    )
    assert await verifiers.valid(completion=completion, answer=GOLD, info={"data_source": "?"}) == 0.0
    group = await verifiers.group_reward([RIGHT, WRONG], [GOLD, GOLD], None, [info, info])
    assert group == [1.0, 0.0]
    await common.async_client(None, verifiers.SECONDS).aclose()


def test_skyrl_env() -> None:
    extras = {"data_source": SOURCE, "reward_spec": {"ground_truth": GOLD}, "extra_info": {}}
    env = skyrl.RewardServiceEnv({"fallback": -1.0}, extras)
    prompt, _ = env.init([{"role": "user", "content": "Order them."}])
    step = env.step(RIGHT)
    assert (step["reward"], step["done"], step["metadata"]["valid"]) == (1.0, True, 1.0)
    assert prompt
    assert (
        skyrl.RewardServiceEnv({"fallback": -1.0}, {**extras, "data_source": "?"}).step(RIGHT)["reward"]
        == -1.0
    )
    env.close()


def test_nemo_rl_environment() -> None:
    logs = [
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}] for text in (RIGHT, WRONG)
    ]
    rows = [{"data_source": SOURCE, "ground_truth": GOLD, "kept": 1}] * 2
    step = nemo_rl.RewardServiceEnvironment({"fallback": 0.5}).step(logs, rows)
    assert list(step.rewards) == [1.0, 0.0]
    assert list(step.terminateds) == [True, True]
    assert step.metadata[0]["kept"] == 1
    assert step.metadata[0]["valid"] == 1.0


def test_easyr1_batch() -> None:
    inputs = [
        {"response": RIGHT, "response_length": 3, "ground_truth": LABEL},
        {"response": WRONG, "response_length": 3, "ground_truth": LABEL},
    ]
    found = easyr1.compute_score(inputs)
    assert [one["overall"] for one in found] == [1.0, 0.0]
    assert len({tuple(one) for one in found}) == 1
    assert (
        easyr1.compute_score(
            [{"response": RIGHT, "response_length": 1, "ground_truth": json.dumps(GOLD)}], data_source=SOURCE
        )[0]["overall"]
        == 1.0
    )


def test_areal_rejects_the_rollout_instead_of_training_on_it() -> None:
    row = {"data_source": SOURCE, "ground_truth": GOLD}
    assert areal.reward_fn("p", RIGHT, [1], [2], **row) == 1.0
    with pytest.raises(areal.Unjudged) as raised:
        areal.reward_fn("p", RIGHT, [1], [2], **{**row, "data_source": "?"})
    assert str(pickle.loads(pickle.dumps(raised.value))) == "unknown_data_source"


async def test_atropos_drops_a_group_that_was_not_judged() -> None:
    assert await atropos.score_group(SOURCE, GOLD, [RIGHT, WRONG]) == [1.0, 0.0]
    assert await atropos.score_group("?", GOLD, [RIGHT, WRONG]) is None
    await common.async_client(None, atropos.SECONDS).aclose()


def test_torchforge_and_rllm() -> None:
    assert torchforge.reward("p", RIGHT, LABEL) == 1.0
    assert torchforge.reward("p", RIGHT, UNKNOWN) == 0.0
    task = {"data_source": SOURCE, "ground_truth": GOLD, "question": "Order them."}
    output = torchforge.rllm_reward(task, WRONG)
    assert (output.reward, output.is_correct, output.metadata["valid"]) == (0.0, False, 1.0)


def test_a_service_that_is_down_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_SERVICE_URL", "http://127.0.0.1:9")
    found = verl.compute_score_sync(**verl_call(RIGHT, url="http://127.0.0.1:9", deadline_seconds=0.5))
    assert found == {"score": 0.0, "valid": 0.0, "correct": 0.0, "flagged": 0.0}
    assert not math.isnan(found["score"])
