"""`reward-service load` as a user types it, against a live service."""

from __future__ import annotations

import json
import subprocess
import sys


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from reward_service.cli import main; main()", "load", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_every_reward_is_the_known_one(url: str) -> None:
    done = run("--url", url, "--rate", "160", "--seconds", "2", "--batch", "16", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert said["mix"] == "rules"  # that service has no sandbox
    assert said["clean"] and said["items"]["scored"] == said["items"]["sent"] > 100
    text = run("--url", url, "--rate", "32", "--seconds", "1", "--batch", "8", "--max-p99-ms", "0.001")
    assert text.returncode == 3, "the limit does not hold"
    assert "0 wrong rewards" in text.stdout and "p99" in text.stdout


def test_what_cannot_be_judged_is_said_by_the_exit_code(url: str) -> None:
    done = run("--url", url, "--rate", "16", "--seconds", "1", "--batch", "8", "--mix", "code", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 3
    assert set(said["items"]["errors"]) == {"sandbox_unavailable"}


def test_a_ramp(url: str) -> None:
    done = run("--url", url, "--ramp", "--rate", "64", "--seconds", "1", "--batch", "16", "--limit-ms", "1", "--max-steps", "2", "--json")  # fmt: skip
    said = json.loads(done.stdout)
    assert not said["wrong"]
    assert [step["carried"] for step in said["steps"]] == [
        False,
        False,
    ]  # nobody answers within a millisecond


def test_nobody_there() -> None:
    done = run("--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr
