"""`reward-service batch …` and `rescore` as a user types them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest


def row(number: int, right: bool = True) -> dict[str, Any]:
    words = ["owl", "crow"] if right else ["crow", "owl"]
    return {
        "id": number,
        "data_source": "logic__ordering_puzzle",
        "response": f"{number}: <answer>{words}</answer>",
        "ground_truth": ["owl", "crow"],
        "mine": number,
    }


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "reward_service.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps(row(n, n % 4 > 0)) + "\n" for n in range(400)))
    return path


def test_submit_watch_fetch_list_cancel(url: str, dump: Path, tmp_path: Path) -> None:
    batch = run("batch", "submit", str(dump), "--url", url).stdout.strip()
    assert (
        run("batch", "submit", str(dump), "--url", url).stdout.strip() == batch
    )  # the same file: the same batch
    assert "completed" in run("batch", "watch", batch, "--url", url).stdout
    out = tmp_path / "results.jsonl"
    run("batch", "fetch", batch, "-o", str(out), "--url", url)
    whole = out.read_bytes()
    results = [json.loads(line) for line in whole.splitlines()]
    assert [result["id"] for result in results] == list(range(400))
    assert [result["score"] for result in results] == [float(n % 4 > 0) for n in range(400)]
    # Cut anywhere: it goes on behind the last whole line.
    out.write_bytes(whole[: len(whole) // 3])
    run("batch", "fetch", batch, "-o", str(out), "--url", url)
    assert out.read_bytes() == whole
    assert batch in run("batch", "list", "--url", url).stdout
    assert "400 of 400" in run("batch", "cancel", batch, "--url", url).stdout


def test_compressed_and_parquet_dumps(url: str, dump: Path, tmp_path: Path) -> None:
    packed = tmp_path / "dump.jsonl.gz"
    packed.write_bytes(gzip.compress(dump.read_bytes()))
    columns = tmp_path / "dump.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row(n) for n in range(30)]), columns)
    for path in (packed, columns):
        done = run("batch", "submit", str(path), "--url", url, "--watch")
        assert done.stdout.startswith("batch_")


def test_what_goes_wrong_is_said(url: str, dump: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(dump.read_text() + "{broken\n")
    done = run("batch", "submit", str(bad), "--url", url, code=2)
    assert "line 401" in done.stderr
    assert "nothing was submitted" in done.stderr
    run("batch", "watch", "batch_no", "--url", url, code=2)
    run("batch", "submit", str(dump), "--url", "http://127.0.0.1:9", code=1)
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    run("batch", "fetch", "batch_no", "-o", str(other), "--url", url, code=2)
    assert other.read_text() == "{}\n"


def test_rescore_reports_the_flips(dump: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in dump.read_text().splitlines()]
    for number, one in enumerate(rows):
        one["outcome"] = {"score": float(number % 4 > 0), "reason": "recorded"}
    rows[7]["outcome"]["score"] = 0.0
    rows[8]["outcome"]["score"] = 1.0
    rows[9]["outcome"] = {"score": None, "reason": "deadline"}
    scored = tmp_path / "scored.jsonl"
    scored.write_text("".join(json.dumps(one) + "\n" for one in rows))
    out = tmp_path / "rescored.jsonl"
    told = json.loads(run("rescore", str(scored), "-o", str(out), "--json").stdout)
    total = told["total"]
    assert (total["rows"], total["compared"], total["up"], total["down"], total["only_now"]) == (
        400,
        399,
        1,
        1,
        1,
    )
    assert [flip["line"] for flip in told["flips"]] == [8, 9]
    assert told["flips"][0]["reason_before"] == "recorded"
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["outcome"] for one in written] == [one["outcome"] for one in rows]
    assert written[7]["rescored"]["score"] == 1.0
    table = run("rescore", str(scored), "-o", str(out), "--overwrite").stdout
    assert "wrong → right" in table
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({**row(n), "reward": {"score": 0}}) + "\n" for n in range(5)))
    told = json.loads(
        run(
            "rescore", str(bare), "-o", str(tmp_path / "b.jsonl"), "--before", "reward.score", "--json"
        ).stdout
    )
    assert told["total"]["up"] == 5
