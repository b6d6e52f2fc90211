"""TRL's GRPOTrainer: a few steps of real training with our reward functions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from examples.grpo.train import model, rows, tokenizer
from reward_service.client.trainers.trl import reward, reward_async
from tests.trainers.conftest import Service, Wire


def train(folder: Path, function: Any, data: Dataset, steps: int = 3) -> list[dict[str, Any]]:
    words = tokenizer()
    config = GRPOConfig(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=32, num_generations=8,
        max_completion_length=2, logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
        disable_tqdm=True, seed=3, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model(words), reward_funcs=[function], args=config, train_dataset=data, processing_class=words
    )
    trainer.train()
    return [entry for entry in trainer.state.log_history if "reward" in entry]


def logged(entries: list[dict[str, Any]], name: str) -> list[float]:
    return [float(entry[name]) for entry in entries]


@pytest.mark.parametrize("function", [reward, reward_async])
def test_training_steps(tmp_path: Path, wire: Wire, function: Any) -> None:
    entries = train(tmp_path, function, rows(200))
    assert len(entries) == 3
    assert logged(entries, "reward_service/unjudged") == [0.0] * 3
    assert all(0.0 <= value <= 1.0 for value in logged(entries, "reward"))


def test_what_can_not_be_judged_is_masked(tmp_path: Path, wire: Wire) -> None:
    data = rows(200).map(lambda row: {**row, "data_source": "nothing like it"})
    entries = train(tmp_path, reward, data)
    assert logged(entries, "reward_service/unjudged") == [1.0] * 3
    # Every advantage is 0: nothing was learnt from what nobody measured.
    assert logged(entries, "loss") == [0.0] * 3
    assert all(value == 0.0 or math.isnan(value) for value in logged(entries, "grad_norm"))


def test_a_service_that_refuses_and_is_slow(tmp_path: Path, wire: Wire) -> None:
    wire.refuse, wire.delay = [503, 429], 0.2
    assert logged(train(tmp_path, reward, rows(200)), "reward_service/unjudged") == [0.0] * 3


def test_a_restart_between_steps(tmp_path: Path, service: Service, wire: Wire) -> None:
    calls = 0

    def restarting(**given: Any) -> list[float | None]:
        nonlocal calls
        calls += 1
        if calls == 2:
            service.stop()
            service.start()
        return reward(**given)

    assert logged(train(tmp_path, restarting, rows(200)), "reward_service/unjudged") == [0.0] * 3
