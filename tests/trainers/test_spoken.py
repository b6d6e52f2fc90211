"""Clients that don't install here: what each sends and makes of the answers, spoken with the HTTP library that it uses.

slime (not on the package index), open-instruct (not on it), ROLL (not on it), axolotl's and NeMo Gym's own clients (Python 3.13),
LLaMA-Factory (its module imports torchaudio). The requests, tries and time limits are the ones that reference/trainers.md records
from their code; the libraries, and so the bytes on the wire, are the real ones.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import random
import time
import zlib
from typing import Any

import aiohttp
import pytest
import requests

from tests.trainers.conftest import Service, Wire
from tests.trainers.rows import CASES, MANY, Case, rewards

# slime: a session of 64 connections, ten tries, pauses of up to 30 s, then an exception ends the rollout


async def slime(url: str, cases: list[Case], *, pause: float = 0.05) -> list[Any]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64), timeout=aiohttp.ClientTimeout(total=120)
    ) as session:

        async def one(case: Case) -> Any:
            payload = {
                "prompt": [{"role": "user", "content": "q"}],
                "response": case.response,
                "label": case.label,
            }
            for attempt in range(10):
                try:
                    async with session.post(url, json=payload) as response:
                        response.raise_for_status()
                        return await response.json()
                except Exception:
                    if attempt == 9:
                        raise
                    await asyncio.sleep(min(2.0**attempt, 30) * pause + random.random() * pause)
            raise AssertionError

        return list(await asyncio.gather(*(one(case) for case in cases)))


async def test_slime(wire: Wire) -> None:
    assert await slime(f"{wire.url}/slime", CASES) == rewards(CASES, 0.0)
    objects = await slime(f"{wire.url}/slime?format=object&fallback=-1", CASES)
    assert [one["score"] for one in objects] == rewards(CASES, -1.0)
    assert [one["valid"] for one in objects] == [float(case.reward is not None) for case in CASES]


async def test_slime_two_hundred_refused_and_slow(wire: Wire) -> None:
    wire.refuse, wire.delay = [503, 429, 502] * 5, 0.1
    assert await slime(f"{wire.url}/slime", MANY) == rewards(MANY, 0.0)


async def test_slime_over_a_restart(service: Service, wire: Wire) -> None:
    service.stop()
    waiting = asyncio.create_task(slime(f"{wire.url}/slime", MANY[:30], pause=1.0))
    await asyncio.sleep(2)
    await asyncio.to_thread(service.start)
    assert await waiting == rewards(MANY[:30], 0.0)


# ROLL: submit, then a GET with a JSON body every two seconds


def roll(url: str, case: Case, info: Any) -> float:
    headers = {"XRL-Authorization": "Bearer k", "BusinessType": "x"}
    body = {
        "priority": 1, "project_id": "p", "experiment_id": "e", "global_step": 1, "data_id": "d", "rollout_id": "r",
        "prompt": "q", "response": case.response, "reward_info": info, "reward_manager": [], "timeout": 300,
    }  # fmt: skip
    submitted = requests.post(f"{url}/roll/submit", json=body, headers=headers, timeout=20).json()
    assert submitted["errcode"] == 0
    until = time.monotonic() + 60
    while time.monotonic() < until:
        asked = {"reward_request_id": submitted["reward_request_id"]}
        found = requests.get(f"{url}/roll/result", json=asked, headers=headers, timeout=20).json()
        if found["errcode"] == 0:
            assert all(isinstance(entry, dict) for entry in found["dimention_reward_score"].values())
            return float(found["reward_score"])
        assert found["errcode"] == 1
        time.sleep(2)
    raise AssertionError("no result")


def test_roll(wire: Wire) -> None:
    assert [roll(wire.url, case, case.row) for case in CASES] == rewards(CASES, 0.0)


# axolotl: a request for each completion, thirty seconds, every error is 0; URLs from the head server


def test_axolotl(wire: Wire) -> None:
    discovery = requests.get(f"{wire.url}/global_config_dict_yaml", timeout=5).json()
    assert "math_with_judge:" in discovery
    found = []
    for case in CASES:
        body = {
            "responses_create_params": {"input": [{"role": "user", "content": "q"}]},
            "response": {
                "id": "r", "created_at": 0, "model": "m", "object": "response", "parallel_tool_calls": True,
                "tool_choice": "auto", "tools": [],
                "output": [
                    {
                        "id": "m", "type": "message", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": case.response, "annotations": []}],
                    }
                ],
            },
            **case.row,
        }  # fmt: skip
        reply = requests.post(f"{wire.url}/verify", json=body, timeout=30)
        assert {name: reply.json()[name] for name in body} == body
        found.append(float(reply.json()["reward"]))
    assert found == rewards(CASES, 0.0)


# LLaMA-Factory: no status is looked at, and an answer without `scores` ends the training


def test_llamafactory(wire: Wire) -> None:
    marks = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    messages = [f"{marks}{case.response}<|im_end|>" for case in CASES[:2]]
    reply = requests.post(
        f"{wire.url}/llamafactory?data_source=math__dapo&ground_truth=42",
        json={"model": "model", "messages": messages},
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert json.loads(reply.text)["scores"] == [1.0, 0.0]


# open-instruct: one POST, nothing is tried again


@pytest.mark.parametrize("packed", [False, True])
def test_open_instruct(wire: Wire, packed: bool) -> None:
    asserts: Any = ["assert add(1, 2) == 3", "assert add(1, 2) == 4"]
    pairs: Any = [{"input": "1 2\n", "output": "3\n"}, {"input": "4 4\n", "output": "9\n"}]

    def post(path: str, program: str, tests: Any) -> Any:
        if packed:
            tests = base64.b64encode(zlib.compress(pickle.dumps(tests))).decode()
        body = {"program": program, "tests": tests, "max_execution_time": 3.0}
        return requests.post(f"{wire.url}{path}", json=body, timeout=30).json()

    found = post("/test_program", "def add(a, b):\n    return a + b", asserts)
    assert (found["results"], found["runtimes"][1]) == ([1, 0], -1.0)
    found = post("/test_program_stdio", "print(sum(map(int, input().split())))", pairs)
    assert (found["results"], found["runtimes"][1]) == ([1, 0], -1.0)
