"""This service beside what else could give the rewards, on the same rows in one run: `make bench ARGS=peers`.

`--write` keeps the figures in docs/benchmarks.json and writes docs/benchmarks.md's tables and docs/benchmarks.svg. A peer that is
missing or breaks is a row with its reason. Sides take turns while they are timed, so their ratios hold on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.load import peers_rows
from tests.load.peers_page import DOCS, keep, line
from tests.load.peers_rows import Row, Rows
from tests.load.peers_sides import CORES, ENTRANTS, Entrant, Judged, Side

ROUNDS = 3
WARM = 16


def wrong(rows: list[Row], judged: Judged) -> dict[str, int]:
    """judged: rows that it came to; accepted, refused: wrongly (no answer to a right row refuses it); silent: no answer."""
    counts = {"judged": len(judged.scores), "accepted": 0, "refused": 0, "silent": 0}
    for number, score in judged.scores.items():
        paid, right = score is not None and score >= 1.0, rows[number]["right"]
        counts["accepted"] += paid and not right
        counts["refused"] += right and not paid
        counts["silent"] += score is None
    return counts


def measured(
    kind: str, entrants: tuple[Entrant, ...], rows: Rows, seconds: float, limit: float
) -> list[dict[str, Any]]:
    """A row of figures, or of a reason, for each. seconds: of a timed round; limit: of the labelled rows, and of the cheats."""
    found: dict[str, dict[str, Any]] = {
        one.name: {"kind": kind, "name": one.name, "rows": rows.source} for one in entrants
    }
    sides: dict[str, Side] = {}
    with ExitStack() as stack:

        def attempt(one: Entrant, work: Any) -> None:
            """A broken peer is a row: what else could it raise that should end the run?"""
            if "missing" in found[one.name]:
                return
            try:
                work(sides.get(one.name))
            except Exception as error:
                found[one.name]["missing"] = " ".join((str(error) or repr(error)).split())[:240]
                print(f"  {one.name}: {found[one.name]['missing']}", flush=True)

        for one in entrants:

            def start(_: Any, one: Entrant = one) -> None:
                sides[one.name] = stack.enter_context(one.open())
                sides[one.name].judge(rows.timed[-WARM:], CORES, 60)
                found[one.name]["version"] = sides[one.name].version

            attempt(one, start)
        turns: dict[str, list[Judged]] = {one.name: [] for one in entrants}
        for _ in range(ROUNDS):
            for one in entrants:
                attempt(
                    one,
                    lambda side, one=one: turns[one.name].append(
                        side.judge(rows.timed, 32 if one.wide else CORES, seconds)
                    ),
                )
        for one in entrants:

            def verdicts(side: Any, one: Entrant = one) -> None:
                at_once = 32 if one.wide else CORES
                labelled = [row for row in rows.labelled if row.get("style", "stdio") in one.styles]
                cheats = [row for row in rows.cheats if row.get("style", "stdio") in one.styles]
                began = time.monotonic()
                found[one.name]["labelled"] = wrong(labelled, side.judge(labelled, at_once, limit))
                # Programs one by one: one that kills its judge must not take others with it.
                alone = 1 if kind == "code" else at_once
                found[one.name]["cheats"] = wrong(cheats, side.judge(cheats, alone, limit))
                done = turns[one.name]
                if not all(turn.scores for turn in done):
                    raise RuntimeError("judged nothing in the time that it had")
                found[one.name]["rate"] = statistics.median(len(turn.scores) / turn.wall for turn in done)
                found[one.name]["cpu"] = 1e6 * statistics.median(turn.cpu / len(turn.scores) for turn in done)
                print(f"  {line(found[one.name])} ({time.monotonic() - began:.0f} s of verdicts)", flush=True)

            attempt(one, verdicts)
    first = found[entrants[0].name]
    for figures in found.values():
        if "missing" not in figures and "missing" not in first:
            figures["ratio"] = figures["cpu"] / first["cpu"]
    return list(found.values())


def main() -> None:
    """Measure, print, and keep if asked."""
    parser = argparse.ArgumentParser(prog="peers", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the figures, and write the page")
    parser.add_argument("--only", choices=list(ENTRANTS))
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="of a timed round of each side, at the most"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=60.0,
        help="seconds of the labelled rows, and of the cheats, at the most",
    )
    parser.add_argument("--own", action="store_true", help="only rows that ship here")
    asked = parser.parse_args()
    shared = Path("/nonexistent") if asked.own else peers_rows.SHARED
    everything: list[dict[str, Any]] = []
    for kind, entrants in ENTRANTS.items():
        if asked.only in (None, kind):
            rows = getattr(peers_rows, kind)(shared)
            print(
                f"{kind}: {len(rows.timed)} timed, {len(rows.labelled)} labelled, {len(rows.cheats)} cheats ({rows.source})",
                flush=True,
            )
            everything += measured(kind, entrants, rows, asked.seconds, asked.limit)
    print(json.dumps(everything))
    if asked.write:
        path = DOCS / "benchmarks.json"
        kept = json.loads(path.read_text())
        others = [row for row in kept.get("peers", []) if asked.only not in (None, row["kind"])]
        keep(
            {
                **kept,
                "peers": sorted([*others, *everything], key=lambda row: list(ENTRANTS).index(row["kind"])),
            }
        )


if __name__ == "__main__":
    main()
