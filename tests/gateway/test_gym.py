"""Every task of reasoning-gym over real HTTP: its answer scores 1 after JSON, nothing and junk score 0, bombs score 0 in time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2

from reward_service.handlers.gym.tasks import NO_ANSWER, TASKS
from tests.handlers.test_gym import made


def rows(answers: dict[str, str]) -> list[dict[str, Any]]:
    found = []
    for task, answer in answers.items():
        gold, _, metadata = made(task)
        found.append(
            {
                "id": task,
                "data_source": "reasoning_gym",
                "response": f"<think>Hm.</think>\n<answer>{answer}</answer>",
                "ground_truth": gold,
                "extra_info": {"task": task, "metadata": json.loads(metadata)},
            }
        )
    return found


def scores(http: httpx2.Client, answers: dict[str, str]) -> dict[str, float | None]:
    reply = http.post("/v1/score/batch", json={"items": rows(answers)}, timeout=120)
    assert reply.status_code == 200, reply.text
    return {result["id"]: result["score"] for result in reply.json()["results"]}


def test_the_answer_of_every_task_scores_one(http: httpx2.Client) -> None:
    tasks = sorted(TASKS)
    got = scores(http, {task: made(task)[1] for task in tasks})
    assert got == dict.fromkeys(tasks, 1.0)


def test_nothing_and_junk_score_zero(http: httpx2.Client) -> None:
    for text in ("", "zzqq zzqq"):
        assert set(scores(http, dict.fromkeys(sorted(TASKS), text)).values()) == {0.0}


def test_code_and_bombs_score_zero_in_time(http: httpx2.Client, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for text in (
        f"__import__('os').system('touch {mark}')",
        "9**9**9**9",
        "A+99999999999999999999",
        "1e999999999/3",
    ):
        started = time.monotonic()
        assert set(scores(http, dict.fromkeys(sorted(TASKS - NO_ANSWER), text)).values()) == {0.0}
        assert time.monotonic() - started < 30
    assert not mark.exists()
