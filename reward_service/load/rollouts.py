"""A step's rollouts: 512 prompts times 16 responses in Guru's mix, each with the reward that it must get.

Made here from a seed, so that nothing is copied and everything is known. Responses are as long as reasoning models write them
and all different, since a step of real rollouts hits no cache. The mix is the one that guru.md §4 gives for its training steps.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

PROMPTS, SAMPLES = 512, 16
RIGHT_SHARE = 0.45
TEXT = (
    "so we have that the sum of both sides must be even which means let us check case two again wait maybe 3 times 7 is "
    "not what was asked hence by symmetry the remaining value follows and therefore x equals y plus 1 in every row of it"
)
WORDS = TEXT.split()


class Rollout(NamedTuple):
    """One item, and what it must get (None: partial credit, not compared)."""

    domain: str
    kind: str
    item: dict[str, Any]
    reward: float | None


Maker = Callable[[random.Random], tuple[str, Any, str, str, dict[str, Any]]]
"""From a generator: data source, ground truth, the end of a right response, the end of a wrong one, extra_info."""


def boxed(text: str) -> str:
    return f"Therefore the answer is \\boxed{{{text}}}."


def integer(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    value = dice.randrange(2, 5_000)
    return "math__dapo", str(value), boxed(str(value)), boxed(str(value + dice.randrange(1, 9))), {}


def fraction(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    value = Fraction(dice.randrange(1, 60), dice.choice((2, 4, 5, 8, 20)))
    gold = f"\\frac{{{value.numerator}}}{{{value.denominator}}}" if value.denominator > 1 else str(value)
    dress = dice.choice((str(value), gold, str(float(value))))
    return "math__dapo", gold, boxed(dress), boxed(str(value + 1)), {}


def surd(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    factor, radicand = dice.randrange(2, 9), dice.choice((2, 3, 5, 7))
    right = dice.choice((f"{factor}\\sqrt{{{radicand}}}", f"\\sqrt{{{factor * factor * radicand}}}"))
    return (
        "math__dapo",
        f"{factor}\\sqrt{{{radicand}}}",
        boxed(right),
        boxed(f"{factor + 1}\\sqrt{{{radicand}}}"),
        {},
    )


def formula(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    a, b = dice.randrange(2, 9), dice.randrange(1, 9)
    gold = f"x^2 + {a + b}x + {a * b}"
    other = f"{a * b}+{a + b}x+x^{{2}}"  # not its factors: whether they answer a sum is a question of form
    wrong = f"x^2 + {a + b}x - {a * b}"
    return "math__dapo", gold, boxed(dice.choice((gold, other))), boxed(wrong), {}


def interval(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    low = dice.randrange(-9, 9)
    high = low + dice.randrange(1, 9)
    return "math__dapo", f"({low}, {high}]", boxed(f"({low},{high}]"), boxed(f"[{low},{high}]"), {}


def fenced(source: str) -> str:
    return f"```python\n{source}\n```"


def stdio(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    factor = dice.randrange(2, 50)
    inputs = [" ".join(str(dice.randrange(1_000)) for _ in range(6)) + "\n" for _ in range(8)]
    outputs = [str(factor * sum(map(int, text.split()))) + "\n" for text in inputs]
    right = f"numbers = list(map(int, input().split()))\nprint({factor} * sum(numbers))"
    wrong = dice.choice(
        (
            f"numbers = list(map(int, input().split()))\nprint({factor} * max(numbers))",
            "print(input().split()[9])",
        )
    )
    gold = json.dumps({"inputs": inputs, "outputs": outputs})
    return "codegen__taco", gold, fenced(right), fenced(wrong), {}


def function(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    factor = dice.randrange(2, 50)
    numbers = [[dice.randrange(100) for _ in range(5)] for _ in range(6)]
    tests = "\n".join(f"assert scaled({one}) == {[factor * n for n in one]}" for one in numbers)
    right = f"def scaled(numbers):\n    return [{factor} * n for n in numbers]"
    wrong = f"def scaled(numbers):\n    return [{factor} * n for n in sorted(numbers)]"
    return "codegen__mbpp", json.dumps({"functional": tests}), fenced(right), fenced(wrong), {}


def ordering(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    birds = ["owl", "crow", "finch", "robin", "swan", "wren"]
    dice.shuffle(birds)
    wrong = [birds[1], birds[0], *birds[2:]]
    return "logic__ordering_puzzle", birds, f"<answer>{birds}</answer>", f"<answer>{wrong}</answer>", {}


def zebra(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    jobs = dice.sample(["cook", "pilot", "painter", "nurse"], 3)
    table = {"header": ["Position", "Job"], "rows": [[str(n + 1), job] for n, job in enumerate(jobs)]}
    other = {**table, "rows": [[str(n + 1), job] for n, job in enumerate(reversed(jobs))]}
    return "logic__zebra_puzzle_dataset", table, f"<answer>{json.dumps(table)}</answer>", f"<answer>{json.dumps(other)}</answer>", {}  # fmt: skip


def hitab(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    value = dice.randrange(1_000, 90_000) / 10
    return "table__hitab", str(value), boxed(f"{value:,}"), boxed(str(value + 50)), {}


def choice(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    right, wrong = dice.sample("ABCD", 2)
    return "stem__gpqa_diamond", right, boxed(right), boxed(wrong), {}


def grid(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    cells = [[dice.randrange(10) for _ in range(8)] for _ in range(8)]
    other = [[(cell + 1) % 10 for cell in cells[0]], *cells[1:]]
    return "simulation__arcagi1", cells, f"<answer>{cells}</answer>", f"<answer>{other}</answer>", {}


def codeio(dice: random.Random) -> tuple[str, Any, str, str, dict[str, Any]]:
    total = dice.randrange(1_000)
    value = {"total": total, "names": dice.sample(["a", "b", "c"], 2)}
    wrong = {**value, "total": total + 1}
    text = json.dumps({"output": value})
    return "simulation__codeio", text[1:-1], f"```json\n{text}\n```", f"```json\n{json.dumps({'output': wrong})}\n```", {}  # fmt: skip


KINDS: list[tuple[str, float, Maker]] = [
    ("math", 0.33, integer),
    ("math", 0.11, fraction),
    ("math", 0.06, surd),
    ("math", 0.05, formula),
    ("math", 0.04, interval),
    ("code", 0.10, stdio),
    ("code", 0.10, function),
    ("logic", 0.05, ordering),
    ("logic", 0.02, zebra),
    ("table", 0.06, hitab),
    ("science", 0.04, choice),
    ("simulation", 0.02, grid),
    ("simulation", 0.02, codeio),
]


def rollouts(seed: int = 7, prompts: int = PROMPTS, samples: int = SAMPLES) -> Iterator[Rollout]:
    """The step, prompt by prompt."""
    dice = random.Random(seed)  # noqa: S311 - load, not secrets
    makers = dice.choices(KINDS, weights=[weight for _, weight, _ in KINDS], k=prompts)
    for domain, _, maker in makers:
        source, gold, right, wrong, extra = maker(dice)
        for _ in range(samples):
            good = dice.random() < RIGHT_SHARE
            thoughts = " ".join(dice.choices(WORDS, k=dice.randrange(150, 1_400)))
            response = f"<think>\n{thoughts}\n</think>\n{right if good else wrong}"
            item = {"data_source": source, "response": response, "ground_truth": gold}
            if extra:
                item["extra_info"] = extra
            reward = None if maker is zebra and not good else float(good)
            yield Rollout(domain, maker.__name__, item, reward)
