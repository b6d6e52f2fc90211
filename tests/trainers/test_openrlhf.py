"""OpenRLHF's own executor: URL form and Python-file form, from the generated tokens to what the trainer stores."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from openrlhf.utils.agent import SingleTurnAgentExecutor

from reward_service.client.trainers import openrlhf as adapter
from tests.trainers.conftest import Service, Wire
from tests.trainers.rows import CASES, MANY, Case, rewards

PROMPT = "<|im_start|>user\nAn example: \\boxed{7}. Now yours.<|im_end|>\n<|im_start|>assistant\n"


class Characters:
    """A tokenizer with a token for each character: not the client, only what feeds it."""

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    def decode(self, tokens: list[int], **_: Any) -> str:
        return "".join(map(chr, tokens))


class Engine:
    """A generator that says what it is told."""

    def __init__(self, text: str) -> None:
        self._tokens = [ord(letter) for letter in text]

    async def generate(self, *_: Any, **__: Any) -> Any:
        output = SimpleNamespace(token_ids=self._tokens, finish_reason="stop", logprobs=None)
        return SimpleNamespace(outputs=[output])


async def run(executor: SingleTurnAgentExecutor, case: Case, longest: int = 1_000_000) -> dict[str, Any]:
    parameters = SimpleNamespace(max_tokens=300_000, logprobs=None)
    engine = Engine(case.response + "<|im_end|>")
    output: dict[str, Any] = await executor.execute(
        PROMPT, case.label, parameters, longest, Characters(), engine
    )
    return output


def numbers(output: dict[str, Any]) -> tuple[float, float]:
    """The reward and the `valid` mark, as the trainer's tensors get them."""
    reward, logs = output["reward"], output["extra_logs"]
    assert set(logs) == {"valid", "correct", "flagged"}
    for value in (reward, output["scores"], *logs.values()):
        assert torch.tensor(value).dtype is torch.float32
    return float(reward[0]), float(logs["valid"][0])


async def test_url_form(wire: Wire) -> None:
    executor = SingleTurnAgentExecutor(f"{wire.url}/openrlhf")
    outputs = [await run(executor, case) for case in CASES]
    assert [numbers(one)[0] for one in outputs] == rewards(CASES, 0.0)
    assert [numbers(one)[1] for one in outputs] == [float(case.reward is not None) for case in CASES]


async def test_two_hundred_samples_at_once_over_two_urls(wire: Wire) -> None:
    executor = SingleTurnAgentExecutor([f"{wire.url}/openrlhf", f"{wire.url}/openrlhf?fallback=-1"])
    outputs = await asyncio.gather(*(run(executor, case) for case in MANY))
    assert [numbers(one)[0] for one in outputs] == rewards(MANY, 0.0)


async def test_a_prompt_that_was_cut_off(wire: Wire) -> None:
    executor = SingleTurnAgentExecutor(f"{wire.url}/openrlhf")
    case = CASES[0]._replace(response="I do not know.")
    whole = 300_000 + len(PROMPT) - 20  # the first twenty tokens of the prompt are gone
    assert numbers(await run(executor, case, whole)) == (0.0, 1.0)  # and its example is no answer
    assert numbers(await run(executor, CASES[0], whole)) == (1.0, 1.0)


async def test_refused_and_slow(wire: Wire) -> None:
    executor = SingleTurnAgentExecutor(f"{wire.url}/openrlhf")
    wire.refuse = [503, 429]
    wire.delay = 0.5
    assert numbers(await run(executor, CASES[0])) == (1.0, 1.0)


async def test_restart(service: Service, wire: Wire) -> None:
    """The URL form's client gives up after five seconds; the file form waits for the service."""
    service.stop()
    assert (await run(SingleTurnAgentExecutor(f"{wire.url}/openrlhf"), CASES[0]))["reward"] is None
    executor = SingleTurnAgentExecutor(adapter.__file__)
    waiting = asyncio.create_task(run(executor, CASES[0]))
    await asyncio.sleep(6)
    began = time.monotonic()
    await asyncio.to_thread(service.start)
    reward, valid = numbers(await waiting)
    assert (reward, valid) == (1.0, 1.0)
    assert time.monotonic() - began < 60


async def test_file_form(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = SingleTurnAgentExecutor(adapter.__file__)
    outputs = await asyncio.gather(*(run(executor, case) for case in CASES))
    assert [numbers(one)[0] for one in outputs] == rewards(CASES, 0.0)
    monkeypatch.setenv("REWARD_SERVICE_FALLBACK", "-0.5")
    assert [numbers(await run(executor, CASES[5]))] == [(-0.5, 0.0)]
