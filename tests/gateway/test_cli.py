"""The command as a user runs it: real processes, real files, a real service; killed in the middle and resumed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from reward_service.cli import main; main()"]
SOURCE = "logic__graph_logical_dataset"


def call(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with what it says."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        input=stdin,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )


def row(number: int, **more: Any) -> dict[str, Any]:
    word = "owl" if number % 4 else "cat"
    return {
        "data_source": SOURCE,
        "prompt": f"p{number // 4}",
        "response": f"<think>{number}</think><answer>{word}</answer>",
        "ground_truth": "owl",
        **more,
    }


def dump(path: Path, count: int, *, bad: bool = True) -> Path:
    """Rows that differ, with every thousandth line not a row."""
    with path.open("w") as file:
        for number in range(count):
            text = json.dumps(row(number, step=number))
            file.write((text if not bad or number % 1000 != 500 else text[:-9]) + "\n")
    return path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that the command itself starts on a free port."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--processes", "1"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    found = None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            break
    watchdog.cancel()
    assert found, "the service never said where it is"
    yield found.group()
    process.terminate()
    process.stdout.close()
    assert process.wait(timeout=40) in (0, -signal.SIGTERM)


# score


def test_score_prints_a_table_and_pass_at_k(tmp_path: Path) -> None:
    source = dump(tmp_path / "in.jsonl", 40, bad=False)
    done = call("score", source, "-o", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert f"{SOURCE} 40 0.750 30 0.0 %" in words
    assert "by the prompt's text" in words
    assert f"{SOURCE} 10 4 0.750 0.750 1.000 1.000" in words
    assert "40 rows in" in words
    again = call("score", source, "-o", tmp_path / "out.jsonl")
    assert again.returncode == 0 and "40 were there already" in again.stdout
    assert call("score", source, "-o", tmp_path / "out.jsonl", "--overwrite", "--quiet").stdout == ""


def test_exit_code_3_says_that_rows_are_errors(tmp_path: Path) -> None:
    rows = [json.dumps(row(1)), "{broken", json.dumps(row(2, data_source="logic__graf"))]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    done = call("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert done.returncode == 3
    assert "1 × malformed_item" in done.stdout and "line 2" in done.stdout
    assert "1 × unknown_data_source" in done.stdout and "line 3" in done.stdout
    outcomes = [json.loads(line)["outcome"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["score"] for one in outcomes] == [1.0, None, None]
    assert outcomes[2]["detail"]["nearest"][0] == SOURCE


def test_exit_code_2_says_what_is_wrong(tmp_path: Path) -> None:
    source = dump(tmp_path / "in.jsonl", 3)
    for arguments, words in (
        ((tmp_path / "none", "-o", tmp_path / "o.jsonl"), "No such file"),
        ((source, "-o", tmp_path / "o.txt"), "name the output"),
        ((source, "-o", tmp_path / "o.jsonl", "--url", "http://x", "--processes", "2"), "--processes"),
        ((source,), "--out"),
    ):
        done = call("score", *arguments)
        assert done.returncode == 2
        assert words in done.stderr and "Traceback" not in done.stderr


def test_a_dump_from_a_pipe(tmp_path: Path) -> None:
    done = call(
        "score", "-", "-o", tmp_path / "out.jsonl", stdin=json.dumps(row(1)) + "\n" + json.dumps(row(2))
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_guru_profile(tmp_path: Path) -> None:
    bold = row(1, response="<answer>**owl**</answer>")
    (tmp_path / "in.jsonl").write_text(json.dumps(bold))
    for profile, score in (("strict", 1.0), ("guru", 0.0)):
        out = tmp_path / f"{profile}.jsonl"
        assert call("score", tmp_path / "in.jsonl", "-o", out, "--profile", profile, "-q").returncode == 0
        outcome = json.loads(out.read_text())["outcome"]
        assert (outcome["score"], outcome["profile"]) == (score, profile)


# Interruptions


def start_and_signal(arguments: list[object], partial: Path, size: int, number: signal.Signals) -> int | None:
    """Start a run, signal it once its output has `size` bytes, and give its exit code."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if partial.exists() and partial.stat().st_size >= size:
            process.send_signal(number)
            break
        time.sleep(0.002)
    code = process.wait(timeout=60)
    assert_no_process_left(process.pid)
    return code


def assert_no_process_left(session: int) -> None:
    """The checking processes end when their supervisor does, however it ends."""
    until = time.monotonic() + 5
    while in_session(session) and time.monotonic() < until:
        time.sleep(0.05)
    assert in_session(session) == []


@pytest.mark.fault
@pytest.mark.parametrize("to", ["jsonl", "jsonl.gz", "parquet"])
def test_kill_9_and_resume_gives_the_same_bytes(tmp_path: Path, to: str) -> None:
    source = dump(tmp_path / "in.jsonl", 12_000)
    assert call("score", source, "-o", tmp_path / f"whole.{to}", "-q").returncode == 3
    out = tmp_path / f"out.{to}"
    partial = tmp_path / f"out.{to}.partial"
    size = 1
    for _ in range(2):
        code = start_and_signal(["score", source, "-o", out, "-q"], partial, size, signal.SIGKILL)
        assert code == -signal.SIGKILL, "it was done before it could be killed"
        assert partial.exists() and not out.exists()
        size = partial.stat().st_size + 1
    with partial.open("ab") as file:
        file.write(b'{"half a li' if to == "jsonl" else b"\x1f\x8b\x08 half a frame")
    done = call("score", source, "-o", out)
    assert done.returncode == 3
    found = re.search(r"12,000 rows \(([\d,]+) were there already\)", done.stdout)
    assert found is not None and int(found.group(1).replace(",", "")) > 0
    assert out.read_bytes() == (tmp_path / f"whole.{to}").read_bytes()
    assert not partial.exists()


@pytest.mark.fault
def test_ctrl_c_keeps_what_is_written_and_leaves_no_process(tmp_path: Path) -> None:
    source = dump(tmp_path / "in.jsonl", 12_000)
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    process = subprocess.Popen(
        # A test run in the background of a shell has SIGINT ignored, and this would inherit it.
        ["env", "--default-signal=INT", *COMMAND, "score", str(source), "-o", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (partial.exists() and partial.stat().st_size):
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the children get it too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; " in said and "goes on from there" in said and "Traceback" not in said
    rows = partial.read_bytes().count(b"\n")
    assert 0 < rows < 12_000
    assert_no_process_left(process.pid)
    done = call("score", source, "-o", out)
    assert f"({rows:,} were there already)" in done.stdout


def in_session(session: int) -> list[int]:
    """The live processes of a session. Linux only; elsewhere nothing is seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of, *_ = path.read_text().rpartition(")")[2].split()
            if int(of) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


# A service


def test_a_service_gives_the_same_output(tmp_path: Path, url: str) -> None:
    source = dump(tmp_path / "in.jsonl", 3_000)
    assert call("score", source, "-o", tmp_path / "here.jsonl", "-q").returncode == 3
    done = call("score", source, "-o", tmp_path / "there.jsonl", "--url", url)
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert re.search(r"3,000 rows in", done.stdout)


def test_a_service_that_is_away_stops_the_run_and_gives_no_score(tmp_path: Path, url: str) -> None:
    source = dump(tmp_path / "in.jsonl", 300)
    out = tmp_path / "out.jsonl"
    done = call("score", source, "-o", out, "--url", "http://127.0.0.1:9", "--patience", 0.2)
    assert done.returncode == 1
    assert "ConnectError" in done.stderr and "0 scored rows are kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert call("score", source, "-o", out, "--url", url, "-q").returncode == 0


def test_serve_says_where_it_is_and_when_it_can_not(url: str) -> None:
    taken = call("serve", "--port", url.rpartition(":")[2])
    assert taken.returncode == 1
    assert "already in use" in taken.stderr.lower() and "--port 0" in taken.stderr
    assert call("serve", "--port", 70_000).returncode == 2


def test_where_others_can_connect_it_says_that_keys_are_off() -> None:
    from reward_service.server import greeting

    assert "Keys are off" in greeting("http://x", open_to_all=True)
    assert "Keys are off" not in greeting("http://x")
    assert "X-API-Key" in greeting("http://x", keys=True)


def test_the_example_of_serve_works_when_pasted(url: str) -> None:
    from reward_service.server import greeting

    line = next(line for line in greeting(url).splitlines() if "curl" in line)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stdout)["score"] == 1.0


# The rest


def test_data_sources() -> None:
    everything = call("data-sources")
    assert everything.returncode == 0 and SOURCE in everything.stdout
    rows = json.loads(call("data-sources", "--json").stdout)
    assert {"data_source", "handler", "ground_truth", "example"} <= set(rows[0])
    assert json.loads(call("data-sources", "graph_logical", "--json").stdout)["data_source"] == SOURCE
    unknown = call("data-sources", "grahp_logical")
    assert unknown.returncode == 2 and SOURCE in unknown.stderr


def test_the_example_of_a_data_source_scores_1_when_pasted(tmp_path: Path) -> None:
    shown = call("data-sources", SOURCE).stdout.splitlines()
    line = next(line for line in shown if line.startswith("{"))
    told = json.loads(call("explain", "-", "--json", stdin=line).stdout)
    assert told["score"] == 1.0


def test_explain(tmp_path: Path) -> None:
    rows = [row(1), row(4)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = call("explain", tmp_path / "in.jsonl", "--line", 2)
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert "score 0 not_equal" in words and "extracted cat" in words and "trace: gold owl" in words
    told = json.loads(
        call("explain", tmp_path / "in.jsonl", "--response", "<answer>owl</answer>", "--json").stdout
    )
    assert (told["score"], told["extracted"], told["handler"], told["rule"][:4]) == (
        1.0,
        "owl",
        "graph",
        "One ",
    )


@pytest.mark.parametrize(
    ("gold", "given"),
    [("[[1, 0], [0, 2]]", [[1, 0], [0, 2]]), ("owl", "owl"), ('"7"', "7"), ("{oops", "{oops")],
)
def test_explain_by_flags(gold: str, given: Any) -> None:
    from reward_service.local import item_in

    item = item_in(None, 1, {"data_source": SOURCE, "response": "r", "ground_truth": gold})
    assert (item.ground_truth, item.response) == (given, "r")


def test_explain_with_extra_info() -> None:
    arguments = ("-d", "table__tatqa", "-r", "\\boxed{1.5 million}", "-g", "1,500", "--json")
    told = json.loads(call("explain", *arguments, "--extra-info", '{"scale": "thousand"}').stdout)
    assert told["score"] == 1.0
    assert (
        json.loads(call("explain", *arguments, "--extra-info", '{"scale": "million"}').stdout)["score"] == 0.0
    )
    assert call("explain", *arguments, "--extra-info", "thousand").returncode == 2


def test_explain_reads_one_document_over_several_lines(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(row(1), indent=2))
    assert json.loads(call("explain", tmp_path / "item.json", "--json").stdout)["score"] == 1.0


def test_explain_says_what_it_misses(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"response": 5}\n')
    for arguments, words in (
        ((), "give a file"),
        ((tmp_path / "in.jsonl",), "response"),
        ((tmp_path / "in.jsonl", "--line", 9), "no line 9"),
        ((tmp_path / "none",), "No such file"),
    ):
        done = call("explain", *arguments)
        assert done.returncode == 2 and words in done.stderr, done
    done = call("explain", "-d", "nothing_like_it", "-r", "x", "--json")
    assert json.loads(done.stdout)["reason"] == "unknown_data_source"


def test_version() -> None:
    from reward_service import __version__

    assert call("version").stdout.strip() == __version__


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from reward_service.cli import app;"
        "print(CliRunner().invoke(app, ['score', '--help']).exit_code);"
        "print([name for name in ('fastapi', 'sympy', 'sqlite3', 'httpx2', 'pyarrow', 'uvicorn', 'zstandard')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split("\n")[:2] == ["0", "[]"]


def test_the_demo(tmp_path: Path) -> None:
    source = ROOT / "examples" / "rollouts.jsonl"
    done = call("score", source, "-o", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line)["outcome"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(outcomes) >= 50
    assert {0.0, 1.0} < {one["score"] for one in outcomes}
    assert {"equal", "not_equal", "no_answer", "ambiguous_answer", "partially_equal"} <= {
        one["reason"] for one in outcomes
    }
    assert "pass@4" in done.stdout
