"""Agreement of the handlers with the labelled sets in ../shared/data: `make accuracy`.

`python -m tests.accuracy table wtq --show 20` narrows it to sets by name and prints disagreements. Items are
judged by the handlers directly (no service). The `math_*` sets hold bare pairs: an answer is put into a box, a text is
read in the `anywhere` mode; `--beside` judges them by math-verify too (its default recipe). `--bare` leaves all metadata out (only data source, response and
ground truth), `--profile guru` compares with the published scorer's labels (`r360`) instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from reward_service.registry import Route, load
from reward_service.runs import Work
from reward_service.types import Item, Outcome, Profile, Status

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

IN_THE_SANDBOX = ("code_humaneval", "code_leetcode", "cruxeval_o")
"""Sets whose every item needs a sandbox: `python -m tests.accuracy_code` judges them."""


class Labelled(NamedTuple):
    """One labelled response: `intended` is a careful human's verdict, `published` the R360 score."""

    set: str
    data_source: str
    row: str
    variant: str
    response: str
    gold: Any
    extra: dict[str, Any]
    intended: bool | None
    format_ok: bool
    published: float | None


def labelled(path: Path) -> Iterator[Labelled]:
    """Every labelled response of one file; the `math_*` files hold bare pairs, boxed here where they are."""
    name = path.stem
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            if "samples" not in row:
                response = (
                    row["answer"]
                    if row["kind"] == "text"
                    else f"The final answer is \\boxed{{{row['answer']}}}."
                )
                extra = {"extraction": "anywhere"} if row["kind"] == "text" else {}
                yield Labelled(
                    name, "math", row["id"], row["source"].rpartition("/")[2], response, row["gold"], extra,
                    row["label"], True, None,
                )  # fmt: skip
                continue
            extra = {"question": row["question"], **row["gold_meta"]}
            for sample in row["samples"]:
                yield Labelled(
                    name, row["data_source"], row["id"], sample["variant"], sample["response"], row["gold"], extra,
                    sample.get("intended"), bool(sample.get("format_ok", True)), sample.get("r360"),
                )  # fmt: skip


def math_verify(sample: Labelled) -> bool:
    """What math-verify says about the same pair, as its README uses it."""
    from math_verify import parse, verify

    gold = parse(
        f"${sample.gold}$" if "$" not in sample.gold and "\\boxed" not in sample.gold else sample.gold
    )
    return bool(verify(gold, parse(sample.response)))


def item_for(route: Route, sample: Labelled, profile: Profile, bare: bool) -> Item:
    """The item that the engine would build from a row of this data source."""
    extra = (
        {} if bare else {k: sample.extra[k] for k in route.handler.reads if sample.extra.get(k) is not None}
    )
    return Item(route.data_source, sample.response, sample.gold, extra, profile, route.source.name)


def main() -> int:
    """Print the table, and the disagreements asked for. Exit 1 if a set could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="substrings of set names (default: all)")
    parser.add_argument("--show", type=int, default=0, help="print so many disagreements per set")
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--bare", action="store_true", help="without metadata")
    parser.add_argument("--profile", default="strict", choices=["strict", "guru"])
    parser.add_argument("--beside", action="store_true", help="math-verify on the same pairs (slow)")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    registry = load()
    profile = Profile(arguments.profile)
    print(
        f"{'set':24} {'n':>6} {'false acc.':>10} {'false rej.':>10} {'rej. %':>7} {'lenient rej.':>12} {'µs/item':>8}"
    )
    for path in sorted(arguments.data.glob("*.jsonl")):
        name = path.stem
        if arguments.sets and not any(part in name for part in arguments.sets):
            continue
        if name in IN_THE_SANDBOX:
            continue
        counts: Counter[str] = Counter()
        variants: dict[str, Counter[str]] = defaultdict(Counter)
        shown = 0
        spent = theirs_spent = 0.0
        for sample in labelled(path):
            if arguments.variant and sample.variant != arguments.variant:
                continue
            if profile is Profile.GURU:
                wanted = None if sample.published is None else sample.published >= 1.0
            else:
                wanted = sample.intended
            if wanted is None:
                continue
            route = registry.route(sample.data_source)
            if route is None:
                print(f"{name:24} no handler for {sample.data_source}")
                break
            item = item_for(route, sample, profile, arguments.bare)
            start = time.process_time()
            outcome = route.handler.plan(item)
            spent += time.process_time() - start
            if not isinstance(outcome, Outcome):
                counts["sandbox" if isinstance(outcome, Work) else "judge"] += 1
                continue
            counts["n"] += 1
            counts["positive"] += wanted
            if arguments.beside and name.startswith("math_"):
                start = time.process_time()
                theirs = math_verify(sample)
                theirs_spent += time.process_time() - start
                counts["theirs accept" if theirs else "theirs reject"] += theirs is not wanted
            if outcome.status is Status.ERROR:
                kind = "error"
            elif outcome.correct and not wanted:
                kind = "accept"
            elif not outcome.correct and wanted:
                kind = "reject" if sample.format_ok else "lenient"
            else:
                continue
            counts[kind] += 1
            variants[sample.variant][kind] += 1
            if shown < arguments.show and kind != "lenient":
                shown += 1
                print(
                    f"  {kind}: {sample.row} {sample.variant}: gold {str(sample.gold)[:150]!r} "
                    f"response …{sample.response[-250:]!r} -> {outcome.reason} {str(outcome.extracted)[:80]!r} "
                    f"{dict(outcome.detail)}"
                )
        if counts["n"]:
            rate = 100 * counts["reject"] / max(1, counts["positive"])
            print(
                f"{name:24} {counts['n']:6} {counts['accept']:10} {counts['reject']:10} {rate:7.2f} "
                f"{counts['lenient']:12} {1e6 * spent / counts['n']:8.0f}"
                + "".join(
                    f"  {counts[kind]} {words}"
                    for kind, words in (
                        ("error", "errors"),
                        ("sandbox", "need the sandbox"),
                        ("judge", "need a judge model"),
                    )
                    if counts[kind]
                )
            )
            if arguments.beside and name.startswith("math_"):
                print(
                    f"{'  math-verify':24} {counts['n']:6} {counts['theirs accept']:10} {counts['theirs reject']:10} "
                    f"{100 * counts['theirs reject'] / max(1, counts['positive']):7.2f} {'':12} "
                    f"{1e6 * theirs_spent / counts['n']:8.0f}"
                )
            if arguments.show:
                for variant, kinds in sorted(variants.items(), key=lambda pair: -sum(pair[1].values())):
                    print(f"    {variant:28} {dict(kinds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
