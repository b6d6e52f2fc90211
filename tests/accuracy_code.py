"""Agreement of the handlers that run code with the labelled sets in ../shared/data, on the bubblewrap sandbox.

`python -m tests.accuracy_code [humaneval leetcode cruxeval codeio] [--show 20]`. The code sets are judged in three forms:
as they are (`functional`: the tests run in the tester process), with the calls of plain asserts taken apart (`outside`:
arguments go in, values come out, compared here), and as HumanEval's own `test` and `entry_point`.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from reward_service.adapters.bubblewrap import BubblewrapSandbox
from reward_service.types import Status
from tests.carry import carry, item_for

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("code_humaneval", "code_leetcode", "cruxeval_o", "codeio")


class Sample(NamedTuple):
    """One labelled response in one form."""

    form: str
    row: str
    variant: str
    data_source: str
    response: str
    gold: Any
    extra: dict[str, Any]
    intended: bool


def outside(functional: str) -> dict[str, Any] | None:
    """The tests as calls and values, if every assertion is `candidate(literals) == literal`."""
    tree = ast.parse(functional)
    entry = ""
    cases: list[tuple[list[Any], Any]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            entry = ast.unparse(node.args[0]).rpartition(".")[2]
        if not isinstance(node, ast.Assert):
            continue
        test = node.test
        if not (
            isinstance(test, ast.Compare)
            and isinstance(test.left, ast.Call)
            and isinstance(test.ops[0], ast.Eq)
        ):
            if isinstance(test, ast.Constant):
                continue
            return None
        try:
            values = [*test.left.args, *(keyword.value for keyword in test.left.keywords)]
            arguments = [ast.literal_eval(argument) for argument in values]
            expected = ast.literal_eval(test.comparators[0])
            if json.loads(json.dumps([arguments, expected])) != [arguments, expected]:
                return None
        except (ValueError, TypeError):
            return None
        cases.append((arguments, expected))
    if not cases or any(isinstance(node, (ast.For, ast.While)) for node in ast.walk(tree)):
        return None
    return {"fn_name": entry, "inputs": [case[0] for case in cases], "outputs": [case[1] for case in cases]}


def samples(name: str) -> Iterator[Sample]:
    """The labelled responses of one set, in every form that it has."""
    with (DATA / f"{name}.jsonl").open() as lines:
        for line in lines:
            row = json.loads(line)
            extra = {"question": row["question"], "time_limit": 2, **row["gold_meta"]}
            forms = [("as it is", row["gold"])]
            extras = {}
            if name == "cruxeval_o":
                forms.append(("functional", json.dumps({"functional": row["gold_meta"]["code"]})))
                prompt = f"{row['gold_meta']['code']}\nassert f({row['gold_meta']['input']}) == ??"
                extras["functional"] = {"question": prompt}
            if name.startswith("code_"):
                functional = json.loads(row["gold"])["functional"]
                calls = outside(functional)
                if calls is not None:
                    forms.append(("outside", calls))
                test, found, entry = functional.rpartition("\n\ncheck(")
                if found:
                    forms.append(("test and entry", {"test": test, "entry_point": entry.strip()[:-1]}))
            for sample in row["samples"]:
                if sample["intended"] is None:
                    continue
                for form, gold in forms:
                    yield Sample(
                        form, row["id"], sample["variant"], row["data_source"], sample["response"], gold, extras.get(form, extra),
                        sample["intended"],
                    )  # fmt: skip


async def main() -> int:
    """Print the table. Exit 1 if a verdict differs from its label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--show", type=int, default=10)
    arguments = parser.parse_args()
    wrong = 0
    print(
        f"{'set':16} {'form':16} {'n':>5} {'false acc.':>10} {'false rej.':>10} {'errors':>6} {'ms CPU, median':>14} {'ms all':>7}"
    )
    async with BubblewrapSandbox(places=1) as sandbox:
        for name in SETS:
            if arguments.sets and not any(part in name for part in arguments.sets):
                continue
            counts: dict[str, Counter[str]] = {}
            spent: dict[str, list[float]] = {}
            here: Counter[str] = Counter()
            for sample in samples(name):
                item = item_for(sample.data_source, sample.response, sample.gold, **sample.extra)
                started = time.process_time()
                outcome, results = await carry(sandbox, item)
                here[sample.form] += int(1e6 * (time.process_time() - started))
                count = counts.setdefault(sample.form, Counter())
                count["n"] += 1
                if results:
                    spent.setdefault(sample.form, []).append(
                        1e3 * sum(result.cpu_seconds for result in results)
                    )
                if outcome.status is Status.ERROR:
                    kind = "error"
                elif outcome.correct and not sample.intended:
                    kind = "accept"
                elif not outcome.correct and sample.intended:
                    kind = "reject"
                else:
                    continue
                count[kind] += 1
                wrong += 1
                if sum(count[k] for k in ("error", "accept", "reject")) <= arguments.show:
                    print(
                        f"  {kind} {sample.form} {sample.row} {sample.variant}: {outcome.reason} {dict(outcome.detail)}"
                    )
            for form, count in counts.items():
                times = sorted(spent.get(form, [0.0]))
                print(
                    f"{name:16} {form:16} {count['n']:5} {count['accept']:10} {count['reject']:10} {count['error']:6} "
                    f"{times[len(times) // 2]:14.2f} {here[form] / 1e3 / count['n']:7.2f}"
                )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
