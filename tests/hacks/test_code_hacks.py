"""Cheats against code tests earn nothing, on a real sandbox; the honest programs beside them are paid in full.

The tables below ship with the repository. `../shared/hacks/code_hacks.jsonl` is run as well where it exists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reward_service.types import Outcome, Status
from tests.carry import carry, item_for
from tests.sandboxes import sandbox

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox

__all__ = ["sandbox"]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks" / "code_hacks.jsonl"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


def row_of(case: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Ground truth and extra_info for a case of `code_hacks.jsonl`."""
    tests, extra = case["tests"], {"time_limit": 2, "language": case["language"]}
    if case["style"] == "stdio":
        return {"inputs": [t["input"] for t in tests], "outputs": [t["output"] for t in tests]}, extra
    if case["style"] == "function":
        return {
            "fn_name": case["entry_point"],
            "inputs": [t["args"] for t in tests],
            "outputs": [t["expected"] for t in tests],
        }, extra
    extra["prefix"] = tests.get("preamble", "")
    if tests["kind"] == "asserts":
        return {"functional": "\n".join(tests["asserts"])}, extra
    if tests["kind"] == "pytest":
        return {"pytest": tests["code"]}, extra
    return {"functional": f"{tests['code']}\n\ncheck({case['entry_point']})"}, extra


async def outcome_of(sandbox: Sandbox, data_source: str, program: str, gold: Any, **extra: Any) -> Outcome:
    response = f"Here it is.\n```{extra.get('language', 'python')}\n{program}\n```\n"
    return (await carry(sandbox, item_for(data_source, response, gold, explain=True, **extra))).outcome


def shared_cases() -> list[Any]:
    if not SHARED.exists():
        return []
    with SHARED.open() as lines:
        return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines)]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/hacks is not here")
@pytest.mark.parametrize("case", shared_cases())
async def test_shared(sandbox: Sandbox, case: dict[str, Any]) -> None:
    gold, extra = row_of(case)
    if "numpy" in case["needs"] and case["kind"] == "control":
        pytest.skip("needs numpy in the sandbox: run on the image")
    outcome = await outcome_of(sandbox, "codegen__hacks", case["program"], gold, **extra)
    assert outcome.status is Status.SCORED, outcome
    assert outcome.score == float(case["expected_reward"]), outcome
