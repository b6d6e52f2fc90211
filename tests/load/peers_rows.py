"""The rows of the side-by-side benchmark: labelled ones, cheats, and what is timed.

`../shared/data` and `../shared/hacks` where they are, else rows that ship here (the load generator's rollouts, whose rewards are
known, and the cheats of `tests/hacks`). A row is `{id, response, gold or tests, right}`.
Tests are `{inputs, outputs}`, the same with `fn_name`, or `{functional, prefix}`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_service.load.rollouts import rollouts
from tests.accuracy_code import outside
from tests.load.code_bench import stdio_item

SHARED = Path(__file__).resolve().parents[3] / "shared"
Row = dict[str, Any]
TOO_BIG = ("resource",)
"""Classes of cheats that nobody is given: a peer without limits would take the machine down."""


@dataclass(frozen=True, slots=True)
class Rows:
    """timed: right or wrong as they come, nothing hangs; labelled: what a careful human would say; cheats: none is right."""

    timed: list[Row]
    labelled: list[Row]
    cheats: list[Row]
    source: str


def lines(path: Path) -> Iterator[Row]:
    """The rows of a file."""
    with path.open() as text:
        for line in text:
            yield json.loads(line)


def boxed(answer: str) -> str:
    """A response with a boxed answer."""
    return f"The final answer is \\boxed{{{answer}}}."


def fenced(source: str) -> str:
    """A response with a program."""
    return f"Here it is.\n```python\n{source}\n```\n"


def math(shared: Path = SHARED) -> Rows:
    """Pairs of a ground truth and a response."""
    if shared.exists():
        labelled = [
            {
                "id": row["id"],
                "gold": row["gold"],
                "response": boxed(row["answer"]),
                "right": row["label"],
            }
            for name in ("math_gsm8k_openai_600", "math_hardverify")
            for row in lines(shared / "data" / f"{name}.jsonl")
        ]
        cheats = [
            {"id": row["id"], "gold": row["gold"], "response": row["answer"], "right": False}
            for row in lines(shared / "hacks" / "math_hacks.jsonl")
            if not row["label"]
        ]
        source = "600 answers of models to GSM8K and HardVerify-Math, cheats of `../shared/hacks`"
    else:
        from tests.hacks.test_math_hacks import CHEATS

        labelled = [
            {
                "id": str(number),
                "gold": str(one.item["ground_truth"]),
                "response": one.item["response"],
                "right": one.reward == 1.0,
            }
            for number, one in enumerate(rollouts(7, 4_000, 4))
            if one.domain == "math" and one.reward is not None
        ]
        cheats = [
            {"id": name, "gold": gold, "response": response, "right": False}
            for name, (gold, response) in CHEATS.items()
        ]
        source = "generated rollouts, cheats of `tests/hacks`"
    random.Random(5).shuffle(labelled)
    timed = [{**row, "response": f"({turn}) {row['response']}"} for turn in range(4) for row in labelled]
    return Rows(timed, labelled, cheats, source)


def code(shared: Path = SHARED) -> Rows:
    """Programs and tests. Timed are right programs with five tests on stdin each."""
    timed = []
    for number in range(400):
        item = stdio_item(number, 5)
        timed.append(
            {
                "id": str(number),
                "response": item["response"],
                "tests": item["ground_truth"],
                "right": True,
                "style": "stdio",
            }
        )
    if shared.exists():
        labelled = list(labelled_programs(shared / "data"))
        cheats = list(shared_cheats(shared / "hacks" / "code_hacks.jsonl"))
        source = "HumanEval and LeetCode with mutants, cheats of `../shared/hacks`"
    else:
        from tests.hacks.test_code_hacks import HACKS, TASKS

        labelled = [
            {
                "id": str(number),
                "response": one.item["response"],
                "tests": json.loads(one.item["ground_truth"]),
                "right": one.reward == 1.0,
                "style": "stdio",
            }
            for number, one in enumerate(rollouts(7, 2_000, 4))
            if one.item["data_source"] == "codegen__taco"
        ]
        cheats = [
            {
                "id": f"{task}: {name}",
                "response": fenced(program),
                "tests": {**TASKS[task][0], **TASKS[task][1]},
                "right": False,
                "style": style(TASKS[task][0]),
            }
            for task, programs in HACKS.items()
            if {"inputs", "functional"} & TASKS[task][0].keys()
            for name, program in programs.items()
        ]
        source = "generated rollouts, cheats of `tests/hacks`"
    random.Random(5).shuffle(labelled)
    random.Random(6).shuffle(cheats)
    return Rows(timed, labelled[:200], cheats, source)


def style(tests: dict[str, Any]) -> str:
    """How tests are put to a program."""
    return "assert" if "functional" in tests else "function" if tests.get("fn_name") else "stdio"


def labelled_programs(folder: Path) -> Iterator[Row]:
    """References and mutants whose tests are plain calls, with the imports that their prompts have."""
    for name in ("code_humaneval", "code_leetcode"):
        for row in lines(folder / f"{name}.jsonl"):
            tests = outside(json.loads(row["gold"])["functional"])
            if tests is None:
                continue
            prefix = row["gold_meta"].get("prefix") or ""
            for sample in row["samples"]:
                if sample["intended"] is not None:
                    response = sample["response"].replace("```python\n", f"```python\n{prefix}\n", 1)
                    yield {
                        "id": row["id"],
                        "response": response,
                        "tests": tests,
                        "right": sample["intended"],
                        "style": "function",
                    }


def shared_cheats(path: Path) -> Iterator[Row]:
    """Hostile Python programs; none may be paid."""
    for case in lines(path):
        if case["kind"] != "hack" or case["language"] != "python" or case["class"] in TOO_BIG:
            continue
        tests: dict[str, Any]
        given = case["tests"]
        if case["style"] == "stdio":
            tests = {"inputs": [t["input"] for t in given], "outputs": [t["output"] for t in given]}
        elif case["style"] == "function":
            tests = {
                "fn_name": case["entry_point"],
                "inputs": [t["args"] for t in given],
                "outputs": [t["expected"] for t in given],
            }
        elif given["kind"] in ("asserts", "check"):
            text = (
                "\n".join(given["asserts"])
                if given["kind"] == "asserts"
                else f"{given['code']}\n\ncheck({case['entry_point']})"
            )
            tests = {"functional": text, "prefix": given.get("preamble", "")}
        else:
            continue
        yield {
            "id": case["id"],
            "response": fenced(case["program"]),
            "tests": tests,
            "right": False,
            "style": case["style"],
        }
