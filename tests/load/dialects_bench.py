"""What a trainer's wire format costs over our own: `python -m tests.load.dialects_bench`.

The same rows to the same no-op handler, as a batch and one by one, in our format and in the trainers'. Rounds alternate, so that
both see the same machine; CPU time of the service (gateway and checking processes) per item, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx2

from tests.load.measure import cpu_of, service

BATCH = 256
TEXT = "The owls are ordered by their age, as the third clue says. " * 35
PROMPT = "<|im_start|>user\nOrder the owls.<|im_end|>\n<|im_start|>assistant\n"


class Way(NamedTuple):
    """A route, how it wants rows, and how many rewards an answer holds."""

    name: str
    path: str
    body: Callable[[Sequence[str]], Any]
    batch: bool
    rewards: Callable[[Any], list[float]]


def native(texts: Sequence[str]) -> Any:
    return {
        "items": [
            {"data_source": "noop", "response": text, "ground_truth": "x", "prompt": PROMPT} for text in texts
        ]
    }


def one(texts: Sequence[str]) -> Any:
    return {"data_source": "noop", "response": texts[0], "ground_truth": "x", "prompt": PROMPT}


def openrlhf(texts: Sequence[str]) -> Any:
    return {
        "query": [PROMPT + text for text in texts],
        "prompts": [PROMPT] * len(texts),
        "labels": ["x"] * len(texts),
    }


def slime(texts: Sequence[str]) -> Any:
    return {"prompt": PROMPT, "response": texts[0], "label": "x"}


def gym(texts: Sequence[str]) -> Any:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": texts[0]}]}
    return {"responses_create_params": {"input": PROMPT}, "response": {"output": [message]}, **one(texts)}


WAYS = [
    Way("native batch", "/v1/score/batch", native, True, lambda reply: [r["score"] for r in reply["results"]]),
    Way("OpenRLHF batch", "/openrlhf?data_source=noop", openrlhf, True, lambda reply: reply["rewards"]),
    Way(
        "LLaMA-Factory batch", "/llamafactory?data_source=noop&ground_truth=x",
        lambda texts: {"model": "model", "messages": [PROMPT + text for text in texts]}, True,
        lambda reply: reply["scores"],
    ),
    Way("native single", "/v1/score", one, False, lambda reply: [reply["score"]]),
    Way("OpenRLHF single", "/openrlhf?data_source=noop", openrlhf, False, lambda reply: reply["rewards"]),
    Way("slime", "/slime?data_source=noop", slime, False, lambda reply: [reply]),
    Way("NeMo Gym", "/verify", gym, False, lambda reply: [reply["reward"]]),
]  # fmt: skip


def round_of(client: httpx2.Client, pid: int, way: Way, items: int, start: int) -> float:
    """CPU microseconds per item."""
    size = BATCH if way.batch else 1
    bodies = [
        json.dumps(way.body([f"{at + offset} {TEXT}" for offset in range(size)])).encode()
        for at in range(start, start + items, size)
    ]
    before = cpu_of(pid)
    for body in bodies:
        reply = client.post(way.path, content=body, headers={"content-type": "application/json"})
        if way.rewards(reply.json()) != [1.0] * size:
            raise SystemExit(f"{way.name}: {reply.status_code} {reply.text[:200]}")
    time.sleep(0.05)
    return 1e6 * (cpu_of(pid) - before).total / items


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {way.name: [] for way in WAYS}
    start = 0
    with (
        service("tests.load.noop:registry", cache_items="0", processes="1") as (url, pid),
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        for number in range(arguments.rounds + 1):
            for way in WAYS:
                items = 10_240 if way.batch else 1_000
                cost = round_of(client, pid, way, items, start)
                start += items
                if number:  # the first round warms up
                    found[way.name].append(cost)
    print(f"{'way':<22}{'CPU µs per item':>16}{'over native':>13}")
    for way in WAYS:
        cost = statistics.median(found[way.name])
        base = statistics.median(found["native batch" if way.batch else "native single"])
        print(f"{way.name:<22}{cost:16.1f}{100 * (cost / base - 1):+12.1f}%")


if __name__ == "__main__":
    main()
