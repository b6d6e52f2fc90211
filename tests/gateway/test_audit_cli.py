"""`reward-service audit` as a user runs it: real processes, exit codes, reports that show the same again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.test_cli import call


@pytest.fixture(autouse=True)
def _without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these rows needs one, and it takes a while to start."""
    monkeypatch.setenv("REWARD_SERVICE_SANDBOX", "none")


GOOD = {"data_source": "logic__graph", "ground_truth": "beaver"}
BROKEN = {"data_source": "table__hitab", "ground_truth": "12", "reference_response": "\\boxed{13}"}


def dump(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_no_violation_is_exit_code_0(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = call(
        "audit",
        dump(tmp_path / "rows.jsonl", GOOD, GOOD, {"ground_truth": 1}),
        "--json",
        out,
        "--processes",
        1,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no violation" in done.stdout
    assert "line 3: no data_source" in done.stderr
    report = json.loads(out.read_text())
    (source,) = report["sources"]
    assert (source["handler"], source["rows"]) == ("graph", 1)
    assert source["probes"]["must_accept"] > 10
    assert source["probes"]["invariant"] > 0
    assert report["violations"] == []


def test_a_violation_is_shown_kept_argued_and_told_when_unused(tmp_path: Path) -> None:
    rows, saved, out = tmp_path / "rows.jsonl", tmp_path / "saved.jsonl", tmp_path / "report.json"
    dump(rows, BROKEN, GOOD)
    done = call("audit", rows, "--save", saved, "--json", out, "--processes", 1)
    assert done.returncode == 3, done.stderr
    assert "reference.given must score 1, got score 0, not_equal" in done.stdout
    (found,) = json.loads(out.read_text())["violations"]
    assert (found["violation"], found["row"], found["count"]) == ("reference.given", 1, 1)
    assert found["explain"] in done.stdout
    again = call(*shlex.split(found["explain"])[1:], "--json")
    assert json.loads(again.stdout)["reason"] == "not_equal"
    assert json.loads(saved.read_text())["response"] == "\\boxed{13}"
    known = tmp_path / "accepted.toml"
    known.write_text(
        '[[accepted]]\nviolation = "reference.given"\ndata_source = "table__hitab"\nreason = "a slip of the pen"\n'
        '[[accepted]]\nviolation = "miss.*"\nreason = "was there once"\n'
    )
    done = call("audit", rows, "--accept", known, "--processes", 1)
    assert done.returncode == 0, done.stdout
    assert "1 argued" in done.stdout
    assert "unused: miss.*" in done.stdout


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    rows = dump(tmp_path / "rows.jsonl", GOOD)
    bad = tmp_path / "bad.toml"
    bad.write_text("[[accepted]]\nviolation = 'x.y'\n")
    for arguments, words in (
        ((), "--examples"),
        ((rows, "-d", "zzqq"), "no data source 'zzqq'"),
        ((rows, "--accept", bad), "reason"),
    ):
        done = call("audit", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert words in done.stderr


def test_nothing_judged_is_exit_code_1(tmp_path: Path) -> None:
    done = call("audit", dump(tmp_path / "rows.jsonl", GOOD), "-d", "table__hitab", "--processes", 1)
    assert done.returncode == 1
    assert "nothing could be judged" in done.stderr
