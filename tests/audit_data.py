"""The ground truths of ../shared/data as a dump for `reward-service audit`.

`python -m tests.audit_data rows.jsonl [set …]` writes it. A response that is labelled right goes with each row where its
answer can't be written from the ground truth (programs, instructions).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.accuracy import DATA

REFERENCES = ("code_humaneval", "code_leetcode", "ifeval", "ifbench")


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one set, each ground truth once."""
    with path.open() as lines:
        for row in map(json.loads, lines):
            if "samples" not in row:
                if row["label"] and row["kind"] == "answer":  # the texts are whole solutions
                    yield {"data_source": "math", "ground_truth": row["gold"]}
                continue
            extra = {"question": row["question"], **row["gold_meta"]}
            made = {"data_source": row["data_source"], "ground_truth": row["gold"]}
            if row["data_source"] in ("ood__ifeval", "ood__ifbench"):
                made["ground_truth"] = extra.pop("kwargs")
                extra["instruction_id_list"] = row["gold"]
            made["extra_info"] = {name: value for name, value in extra.items() if value is not None}
            if path.stem in REFERENCES:
                right = (
                    s["response"]
                    for s in row["samples"]
                    if s.get("intended", s.get("official")) or s.get("official")
                )
                made["reference_response"] = next(right, None)
            yield made


def rows(sets: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of the named sets, or of all."""
    for path in sorted(DATA.glob("*.jsonl")):
        if not sets or path.stem in sets:
            yield from rows_of(path)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows(sys.argv[2:]))
