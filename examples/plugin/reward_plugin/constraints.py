"""Puzzles whose rules are programs: any assignment that satisfies them is right.

What is decided here: the row's programs run in the sandbox, and the response is nothing but data to them. `plan` reads the
assignment as JSON and asks for one run with it on stdin; `judge` reads what came back. A program that crashes on an
assignment which its own `inputs_check` let through counts as not satisfied; one that doesn't compile is the row's fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from reward_service.registry import Source, handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Work
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_ANSWER = 10_000
MAIN = """
import json as _json, sys as _sys
_inputs = _json.load(_sys.stdin)
_verdicts = [bool(inputs_check(_inputs))]
if _verdicts[0]:
    _verdicts += [bool(_rule(_inputs)) for _rule in constraint_list]
print(_json.dumps(_verdicts))
"""
REASONS = {
    RunStatus.TIME_LIMIT: Reason.TIME_LIMIT,
    RunStatus.MEMORY_LIMIT: Reason.MEMORY_LIMIT,
    RunStatus.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
}


def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
    """Every program said yes to the assignment."""
    result = results[0]
    if result.status is RunStatus.COMPILE_ERROR:
        return malformed("the row's programs don't compile")
    if result.status is not RunStatus.OK:
        return reject(REASONS.get(result.status, Reason.CONSTRAINT_VIOLATED), notes["shown"])
    try:
        verdicts = json.loads(result.stdout[:10_000])
    except ValueError:
        return reject(Reason.CONSTRAINT_VIOLATED, notes["shown"])
    if isinstance(verdicts, list) and len(verdicts) > 1 and all(verdict is True for verdict in verdicts):
        return accept(notes["shown"])
    return reject(Reason.CONSTRAINT_VIOLATED, notes["shown"])


@handler(
    "constraints",
    version="1",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "autologi",
            gold='two programs: `{"inputs_check": "def inputs_check(inputs): …", "constraint_list": "constraint_list = [ … ]"}`',
            example=Example(
                'Ann can\'t be first.\n```json\n{"order": ["Bo", "Ann"]}\n```',
                {
                    "inputs_check": "def inputs_check(inputs):\n    return sorted(inputs['order']) == ['Ann', 'Bo']",
                    "constraint_list": "constraint_list = [lambda inputs: inputs['order'][0] != 'Ann']",
                },
            ),
        )
    ],
    judge=judge,
)
def plan(item: Item) -> Outcome | Work:
    """The assignment in the last JSON block satisfies the row's programs."""
    gold = item.ground_truth
    if not isinstance(gold, dict) or not all(
        isinstance(gold.get(name), str) and name in gold[name] for name in ("inputs_check", "constraint_list")
    ):
        return malformed("the ground truth has the programs inputs_check and constraint_list")
    final = item.response.rpartition("</think>")[2]
    blocks = re.findall(r"```(?:json)?\s*\n([^`]*)```", "" if "<think>" in final else final)
    if not blocks:
        return reject(Reason.NO_ANSWER, message="no closed JSON block")
    if len(blocks[-1]) > MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",))
    try:
        assignment = json.loads(blocks[-1])
    except (ValueError, RecursionError):
        return reject(Reason.MALFORMED_ANSWER, blocks[-1])
    source = "\n".join((gold["inputs_check"], gold["constraint_list"], MAIN))
    program = Program("python", source, limits=RunLimits(cpu_seconds=5.0))
    return Work(program, (Run(stdin=json.dumps(assignment)),), notes={"shown": blocks[-1].strip()[:500]})
