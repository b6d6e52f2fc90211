"""What happens to each trainer when the service is down, slow, overloaded, or can't judge one item: a table in docs/trainers/README.md.

Times come from the code that keeps to them; what a client does was run or read (reference/trainers.md), and for the ones that
install here it is tested (tests/trainers). `tests/tables.py` writes the table, `tests/unit/test_tables.py` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from reward_service.client.trainers import (
    areal,
    atropos,
    easyr1,
    nemo_rl,
    openenv,
    rlinf,
    skyrl,
    torchforge,
    trl,
    verifiers,
    verl,
)
from reward_service.client.trainers import (
    openrlhf as openrlhf_file,
)
from reward_service.client.trainers import (
    slime as slime_function,
)
from reward_service.gateway.dialects import llamafactory, nemo_gym, openrlhf, roll, sandbox_fusion, slime

ADAPTER_DOWN = "waits for it, until its own deadline"
ADAPTER_FULL = "comes back after Retry-After, until its own deadline"


class Trainer(NamedTuple):
    """One row. seconds: after which every sample has an answer. tested: with the trainer's own code, here."""

    page: str
    name: str
    way: str
    seconds: str
    down: str
    overloaded: str
    unjudged: str
    tested: bool


def within(seconds: float, more: str = "") -> str:
    return f"answered within {seconds:g} s{more}"


def answer(module_seconds: float, margin: float) -> str:
    return within(module_seconds - margin, f", of its {module_seconds:g}")


def adapter(
    page: str, name: str, seconds: float, unjudged: str, *, tested: bool, way: str = "function"
) -> Trainer:
    """A function or class of ours in the trainer's process: one client, one conduct."""
    return Trainer(page, name, way, within(seconds), ADAPTER_DOWN, ADAPTER_FULL, unjudged, tested)


FALLBACK = "`fallback`, with `valid` 0 beside it"
TRAINERS: Sequence[Trainer] = (
    Trainer(
        "openrlhf", "OpenRLHF", "URL", answer(openrlhf.CLIENT_SECONDS, openrlhf.MARGIN),
        "its client tries 5 times in 5 s, then the training ends: two services behind one address, or the file form",
        "waits for a place; never refused", "`fallback`, `extra_logs.valid` 0, counted", True,
    ),
    adapter("openrlhf", "OpenRLHF", openrlhf_file.SECONDS, "`REWARD_SERVICE_FALLBACK`, `extra_logs.valid` 0", tested=True, way="Python file"),
    Trainer(
        "slime", "slime", "URL", answer(slime.CLIENT_SECONDS, slime.MARGIN),
        "its client tries 10 times in about 150 s, then the rollout ends", "waits for a place; then a 503, tried again",
        "`fallback`, counted; `valid` 0 with `format=object`", False,
    ),
    adapter("slime", "slime, miles", slime_function.SECONDS, "fallback, `metadata.reward_service_valid` 0", tested=False),
    adapter("verl", "verl", verl.SECONDS, FALLBACK, tested=True),
    Trainer(
        "sandbox-fusion", "verl code, ROLL code, SandboxFusion's client", "URL", f"504 after compile + run + {sandbox_fusion.GRACE_SECONDS:g} s, of its 10",
        "verl: the test counts as failed; its own client: 5 tries", "waits for a place; then a 504, the one status verl tries again",
        "504 (verl: 3 tries, then failed)", True,
    ),
    adapter("trl", "TRL", trl.SECONDS, "None: masked", tested=True),
    adapter("axolotl", "axolotl", trl.SECONDS, "None: masked", tested=False),
    Trainer(
        "axolotl", "axolotl, NeMo Gym integration", "URL", within(nemo_gym.AXOLOTL_SECONDS - nemo_gym.MARGIN, f", of its {nemo_gym.AXOLOTL_SECONDS:g}"),
        "its client takes 0.0", "waits for a place", "`fallback`, which its client takes for a reward, counted", False,
    ),
    adapter("unsloth", "unsloth", trl.SECONDS, "None: masked", tested=False),
    adapter("ms-swift", "ms-swift", trl.SECONDS, "None: NaN, left out", tested=True),
    Trainer(
        "verifiers", "verifiers 1, prime-rl", "URL", answer(nemo_gym.CLIENT_SECONDS, nemo_gym.MARGIN),
        "the trace is dropped", "waits for a place", "with the header `X-On-Error: status` an HTTP error: the trace is dropped; else 0.0 and the metric `mask_sample`", True,
    ),
    adapter("verifiers", "verifiers 0.1", verifiers.SECONDS, "fallback, metric `valid` 0", tested=True),
    Trainer(
        "nemo-gym", "NeMo Gym, NeMo-RL", "URL", answer(nemo_gym.CLIENT_SECONDS, nemo_gym.MARGIN), "its client connects again for ever",
        "waits for a place", "`mask_sample`: out of the loss", False,
    ),
    adapter("nemo-gym", "NeMo-RL without Gym", nemo_rl.SECONDS, "fallback, `metadata.valid` 0", tested=False),
    adapter("skyrl", "SkyRL", skyrl.SECONDS, "fallback, `metadata.valid` 0", tested=True),
    adapter("easyr1", "EasyR1", easyr1.SECONDS, FALLBACK, tested=False),
    adapter("areal", "AReaL", areal.SECONDS, "`Unjudged` is raised: the rollout is rejected", tested=True),
    Trainer(
        "roll", "ROLL", "URL", answer(roll.CLIENT_SECONDS, roll.MARGIN), "5 tries, then 0", "waits for a place; beyond 65,536 samples a 429, tried again",
        "`errcode` 2: submitted again, 5 times; what can't ever be judged: `fallback`, counted", False,
    ),
    Trainer(
        "open-instruct", "open-instruct", "URL", "503 three seconds before its own deadline", "its client takes 0.0", "waits for a place",
        "503 or 422, which its client takes for 0.0: it has no other way", False,
    ),
    Trainer(
        "llamafactory", "LLaMA-Factory", "URL", within(llamafactory.SECONDS), "the training ends: its client tries nothing again", "waits for a place",
        "`fallback`, counted", False,
    ),
    adapter("atropos", "Atropos", atropos.SECONDS, "None: the group is dropped", tested=False),
    adapter("torchforge", "torchforge, rllm", torchforge.SECONDS, "fallback; rllm: `metadata.valid` 0", tested=False),
    adapter("rlinf", "RLinf", rlinf.SECONDS, "fallback, `valid` of the class", tested=False),
    adapter("openenv", "OpenEnv", openenv.SECONDS, "None", tested=False),
)  # fmt: skip


def trainers(table: Callable[[Sequence[str], Iterable[Sequence[object]]], str]) -> str:
    """The table."""
    return table(
        ("trainer", "way", "slow", "down or restarting", "overloaded", "an item can't be judged", "its own code tested"),
        (
            (
                f"[{one.name}]({one.page}.md)", one.way, one.seconds, one.down, one.overloaded, one.unjudged,
                "yes" if one.tested else "",
            )
            for one in TRAINERS
        ),
    )  # fmt: skip
