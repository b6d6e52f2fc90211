"""What scoring a dump costs, and that its memory is flat: `python -m tests.load.dump_bench`.

Makes a dump of `--rows` rows (a million) out of the registry's examples without math, each response different and
four rows to a prompt, scores it with the command, and prints rows per second, CPU microseconds per row, and the
resident memory of the command's own process every tenth of the way. Then once more with the rows that repeat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reward_service.registry import load
from reward_service.types import Domain
from tests.load.measure import Cpu, cpu_of, rss

DOMAINS = {Domain.TABLE, Domain.LOGIC, Domain.SCIENCE, Domain.SIMULATION}


def write_dump(path: Path, rows: int, *, distinct: bool) -> None:
    """Examples of the rule-checked domains, over and over."""
    examples = [
        (source.name.rstrip("*") + ("x" if source.name.endswith("*") else ""), source.example)
        for handler in load().handlers.values()
        if handler.domain in DOMAINS
        for source in handler.sources
    ]
    with path.open("w") as file:
        for number in range(rows):
            name, example = examples[number // 4 % len(examples)]
            thought = f"<think>Attempt {number}: let me see.</think>\n" if distinct else ""
            row = {
                "data_source": name,
                "prompt_id": number // 4,
                "response": thought + example.response,
                "ground_truth": example.ground_truth,
                "extra_info": dict(example.extra_info),
            }
            file.write(json.dumps(row) + "\n")


def measure(label: str, dump: Path, rows: int) -> None:
    """One run of the command, watched."""
    out, partial = dump.with_suffix(".out.jsonl"), dump.with_suffix(".out.jsonl.partial")
    code = "from reward_service.cli import main; main()"
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "score", str(dump), "-o", str(out), "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    size = dump.stat().st_size
    spent, marks, tenth = Cpu(0.0, 0.0), [], 1
    while process.poll() is None:
        try:
            spent = cpu_of(process.pid)
            memory = rss(process.pid)
            # An output row is about as long as its input row and an outcome.
            share = partial.stat().st_size / (size + 170 * rows) if partial.exists() else 0.0
        except OSError:
            break
        if share >= tenth / 10:
            marks.append(f"{memory / 2**20:.0f}")
            tenth += 1
        time.sleep(0.2)
    said, _ = process.communicate()
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(f"{label}: exit code {process.returncode}\n{said}")
    print(
        f"{label:28} {rows:10,} rows {rows / seconds:9,.0f} rows/s wall; CPU µs/row: own {1e6 * spent.own / rows:.1f},"
        f" pool {1e6 * spent.below / rows:.1f}; RSS MiB: {' '.join(marks)}",
        flush=True,
    )


def main() -> None:
    """Both runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        for label, distinct in (("every response different", True), ("repeated rows", False)):
            dump = Path(folder) / "dump.jsonl"
            write_dump(dump, rows, distinct=distinct)
            measure(label, dump, rows)


if __name__ == "__main__":
    main()
