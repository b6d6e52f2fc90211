"""The trainers' adapters, called as each trainer's own code calls them, against the real service."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import pickle
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reward_service.client import ClientError, trainers
from reward_service.client.trainers import (
    areal,
    atropos,
    common,
    easyr1,
    ms_swift,
    nemo_rl,
    openenv,
    openrlhf,
    rlinf,
    skyrl,
    slime,
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


class Sample:
    """slime's, as far as a reward sees it."""

    def __init__(self, response: str, label: Any, metadata: Any) -> None:
        self.prompt, self.response, self.label, self.metadata = "Order them.", response, label, metadata


async def test_slime_function_with_metadata_and_groups() -> None:
    samples = [
        Sample(RIGHT, GOLD, {"data_source": SOURCE}),
        Sample(WRONG, LABEL, {}),
        Sample(RIGHT, None, {"data_source": SOURCE, "ground_truth": GOLD}),
        Sample(RIGHT, GOLD, {"data_source": "nothing like it"}),
    ]
    assert await slime.reward(None, samples) == [1.0, 0.0, 1.0, 0.0]
    assert [one.metadata["reward_service_valid"] for one in samples] == [1.0, 1.0, 1.0, 0.0]
    assert await slime.reward(None, Sample(RIGHT, LABEL, None)) == 1.0
    await common.async_client(None, slime.SECONDS).aclose()


def test_rlinf_class() -> None:
    judge = rlinf.RewardServiceReward({"data_source": SOURCE, "fallback": -1.0})
    assert judge.get_reward([RIGHT, WRONG, RIGHT], [GOLD, LABEL, UNKNOWN], ["q"] * 3) == [1.0, 0.0, -1.0]
    assert judge.valid == [True, True, False]


async def test_openenv_rubric() -> None:
    rubric = openenv.ServiceRubric(SOURCE)
    assert await rubric.forward(RIGHT, {"ground_truth": GOLD}) == 1.0
    assert await rubric.forward({"message": WRONG}, {"metadata": {"ground_truth": GOLD}}) == 0.0
    assert await rubric.forward(RIGHT, {"ground_truth": GOLD, "data_source": "nothing"}) is None
    await common.async_client(None, openenv.SECONDS).aclose()


@pytest.mark.parametrize(
    ("query", "prompt", "response"),
    [
        ("<s>" + "q" * 60 + RIGHT, "q" * 60, RIGHT),
        ("q" * 49 + RIGHT, "Q" * 900 + "q" * 49, RIGHT),
        (RIGHT, "another prompt that is not in it", RIGHT),
        (RIGHT, "", RIGHT),
    ],
)
def test_openrlhf_file_finds_the_response(query: str, prompt: str, response: str) -> None:
    assert openrlhf.response_of(query, prompt) == response


def test_messages_of_a_library_s_own_class() -> None:
    class Message:
        def __init__(self, role: str, content: str) -> None:
            self.role, self.content = role, content

    said = [Message("assistant", "first"), Message("tool", "not the policy's"), Message("assistant", "last")]
    assert common.completion_text(said) == "last"


# When the service can't be reached, or isn't one


def answering(status: list[int]) -> Any:
    """A server whose answers have this status, while the list says so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            items = json.loads(self.rfile.read(int(self.headers["content-length"])))["items"]
            results = [{"status": "scored", "score": 1.0, "reason": "equal"} for _ in items]
            body = json.dumps({"results": results}).encode()
            self.send_response(status[0])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def test_a_mistake_ends_the_run_at_its_start_and_never_later(caplog: pytest.LogCaptureFixture) -> None:
    status = [404]
    with answering(status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(ClientError, match="404"):
            verl.compute_score_sync(**verl_call(RIGHT, url=url))
        status[0] = 200
        assert verl.compute_score_sync(**verl_call(RIGHT, url=url))["score"] == 1.0
        status[0] = 404  # a proxy, while the service behind it is being replaced
        for _ in range(3):
            assert verl.compute_score_sync(**verl_call(RIGHT, url=url))["valid"] == 0.0
        common.close()
        server.shutdown()
    said = [record.message for record in caplog.records if "no reward" in record.message]
    assert len(said) == 1  # once a minute, not once a sample
    assert "service_unreachable" in said[0]


def test_a_service_that_never_answers_is_given_up_before_the_trainer_gives_up() -> None:
    # AReaL takes 15 s without an answer for a reward of 0.
    assert areal.SECONDS < 15
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        found = verl.compute_score_sync(**verl_call(RIGHT, url=url, deadline_seconds=1.5))
        assert time.monotonic() - began < 2.0
    assert found["valid"] == 0.0


def test_a_service_that_is_down_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_SERVICE_URL", "http://127.0.0.1:9")
    found = verl.compute_score_sync(**verl_call(RIGHT, url="http://127.0.0.1:9", deadline_seconds=0.5))
    assert found == {"score": 0.0, "valid": 0.0, "correct": 0.0, "flagged": 0.0}
    assert not math.isnan(found["score"])
