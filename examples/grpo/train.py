"""A tiny model with random weights learns to answer, with TRL's GRPOTrainer on the CPU and rewards from the service.

    .venv-trainers/bin/python examples/grpo/train.py            # or `make example-grpo`

The prompt names two digits, the answer is their sum in a box; the model begins with noise and has a vocabulary of a few
dozen pieces, and nothing is downloaded: configuration and tokenizer are made here. The only thing that knows the task is the
service (data source `math__dapo`). What comes out: `reward.png`, `measured.json`, and exit code 1 if nothing was learnt.

REWARD_SERVICE_URL names a running service; without it one is started from the repository's own environment.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_DISABLED", "true")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

import httpx2  # noqa: E402 - the paths and offline switches above come first
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from reward_service.client.trainers import common  # noqa: E402
from reward_service.client.trainers.trl import reward  # noqa: E402

SOURCE = "math__dapo"
LARGEST = 9
BATCH = 512
FILLERS = ("well", "so", "hm", "the", "answer", "is")


def tokenizer() -> PreTrainedTokenizerFast:
    """Pieces: digits and a plus for the prompt, boxed digits and some noise for the response."""
    pieces = [
        "<pad>",
        "<eos>",
        "+",
        "=",
        *map(str, range(10)),
        *(f"\\boxed{{{n}}}" for n in range(10)),
        *FILLERS,
    ]
    inner = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(pieces)}, unk_token="<pad>"))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",  # noqa: S106
        eos_token="<eos>",  # noqa: S106
        padding_side="left",
    )


def model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Two layers, some 100,000 weights, all random."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=32, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id,
            bos_token_id=None,
        )
    )  # fmt: skip


def rows(count: int) -> Dataset:
    """Sums up to 9, the largest one that a box of one digit holds."""
    pairs = [(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1 - a)]
    chosen = [random.choice(pairs) for _ in range(count)]  # noqa: S311 - no secret
    return Dataset.from_list(
        [
            {"prompt": f"{a} + {b} =", "data_source": SOURCE, "ground_truth": str(a + b)}
            for a, b in chosen
        ]
    )  # fmt: skip


@contextmanager
def service() -> Iterator[str]:
    """The URL of a running service: the environment's, or one that lives as long as this."""
    if url := os.environ.get("REWARD_SERVICE_URL"):
        yield url
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ROOT / ".venv" / "bin" / "reward-service"
    process = subprocess.Popen([str(command), "serve", "--port", str(port)], cwd=ROOT)  # noqa: S603 - ours
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx2.get(f"{url}/readyz", timeout=2).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def train(steps: int, folder: Path) -> list[dict[str, Any]]:
    """Train, and return what TRL logged in each step."""
    words = tokenizer()
    config = GRPOConfig(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=BATCH, num_generations=16,
        max_completion_length=2, learning_rate=1e-3, lr_scheduler_type="constant", beta=0.0, temperature=1.0,
        logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
        disable_tqdm=True, seed=7, scale_rewards="group", shuffle_dataset=True, dataloader_num_workers=0,
        max_grad_norm=1.0, adam_beta2=0.99,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model(words),
        reward_funcs=[reward],
        args=config,
        train_dataset=rows(50_000),
        processing_class=words,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "reward" in entry]


def plot(means: Sequence[float], unjudged: Sequence[float], path: Path) -> None:
    """The mean reward of each step, and its mean over the last twenty."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    window = 20
    smooth = [sum(means[max(0, at - window + 1) : at + 1]) / min(window, at + 1) for at in range(len(means))]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    axes.plot(range(1, len(means) + 1), means, color="0.75", linewidth=0.8, label="mean reward of a step")
    axes.plot(range(1, len(means) + 1), smooth, linewidth=2, label=f"mean of the last {window} steps")
    axes.set(
        xlabel=f"training step ({100 * sum(unjudged) / len(unjudged):.1f} % of the samples without a reward)", ylabel="reward", ylim=(0, 1.02), xlim=(1, len(means)),
        title="A random model learns sums from the service's rewards (TRL GRPO, CPU)",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """Train, measure, plot. 1 if the mean reward did not rise by half of what there was to gain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    random.seed(7)
    torch.manual_seed(7)
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with service() as url, tempfile.TemporaryDirectory() as scratch:
        os.environ["REWARD_SERVICE_URL"] = url
        began, cpu = time.monotonic(), time.process_time()
        log = train(arguments.steps, Path(scratch))
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        common.close()
    means = [entry["reward"] for entry in log]
    unjudged = [entry.get("reward_service/unjudged", 0.0) for entry in log]
    part = max(1, len(means) // 20)
    first, last = sum(means[:part]) / part, sum(means[-part:]) / part
    measured = {
        "steps": len(means),
        "samples": BATCH * len(means),
        "mean_reward_first_twentieth": round(first, 4),
        "mean_reward_last_twentieth": round(last, 4),
        "unjudged": round(sum(unjudged) / len(unjudged), 4),
        "wall_seconds": round(wall, 1),
        "trainer_cpu_seconds": round(cpu, 1),
    }
    (arguments.out / "measured.json").write_text(json.dumps(measured, indent=2) + "\n")
    plot(means, unjudged, arguments.out / "reward.png")
    print(json.dumps(measured, indent=2))
    return 0 if last - first > (1 - first) / 2 else 1


if __name__ == "__main__":
    sys.exit(main())
